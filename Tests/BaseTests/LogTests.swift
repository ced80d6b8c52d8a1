import Testing

@testable import Base

@Suite struct LogTests {
    private func entry(_ message: String = "text", event: LogEvent? = nil, line: UInt = 1, level: LogLevel = .warn) -> LogEntry {
        LogEntry(
            time: Instant(milliseconds: 1_000), level: level, message: message, event: event, fields: [], file: "Module/File.swift", line: line,
            function: "f()")
    }

    // MARK: the limiter

    @Test func aFloodIsCountedAndReportedWhenItsWindowIsOver() {
        var limiter = LogLimiter()
        var written = 0
        for number in 0..<100 where limiter.admits(entry("n\(number)"), at: 5) { written += 1 }
        #expect(written == LogLimiter.burst)
        let early = limiter.takeSuppressed(at: 5)
        #expect(early.isEmpty)
        let left = limiter.takeSuppressed(at: 5 + LogLimiter.window)
        #expect(left.map(\.count) == [100 - LogLimiter.burst])
        #expect(left.first?.entry.message == "n99")
        let again = limiter.takeSuppressed(at: 5 + LogLimiter.window)
        #expect(again.isEmpty)
        let isAdmitted = limiter.admits(entry(), at: 5 + LogLimiter.window)
        #expect(isAdmitted)
    }

    @Test func whatWasLeftOutIsNeverForgotten() {
        var limiter = LogLimiter()
        var (written, told) = (0, 0)
        var now: UInt64 = 0
        for number in 0..<10_000 {
            now += UInt64(number % 7) * 300_000_000
            if limiter.admits(entry(line: UInt(number % 3)), at: now) { written += 1 }
            if number % 50 == 0 { told += limiter.takeSuppressed(at: now).reduce(0) { $0 + $1.count } }
        }
        told += limiter.takeSuppressed(at: now, isLast: true).reduce(0) { $0 + $1.count }
        #expect(written + told == 10_000)
        #expect(written > 3 * LogLimiter.burst)
    }

    @Test func placesInTheCodeDoNotShareALimit() {
        var limiter = LogLimiter()
        for _ in 0..<100 { _ = limiter.admits(entry(line: 1), at: 1) }
        let (other, same) = (limiter.admits(entry(line: 2), at: 1), limiter.admits(entry(line: 1), at: 1))
        #expect(other && !same)
    }

    @Test func anEventMayHaveALimitOfItsOwn() {
        var limiter = LogLimiter()
        let written = (0..<5000).filter { _ in limiter.admits(entry(event: .clientConnected), at: 1) }.count
        #expect(written == LogEvent.clientConnected.burst)
    }

    @Test func aSlowTrickleIsNotLimited() {
        var limiter = LogLimiter()
        for number in 0..<200 {
            let isAdmitted = limiter.admits(entry(), at: UInt64(number) * 2_000_000_000)
            #expect(isAdmitted)
        }
    }

    @Test func everyLimitTogetherStaysBelowThatOfTheJournal() {
        // 10,000 entries in 30 s of one unit: journald.conf(5), RateLimitBurst=.
        #expect(LogEvent.clientConnected.burst + LogEvent.clientDisconnected.burst + LogEvent.clientLost.burst < 9000)
        #expect(LogLimiter.window == 30_000_000_000)
    }

    // MARK: the table of events

    @Test func messageIDsAreWellFormedAndUnique() {
        let ids = LogEvent.all.map(\.id)
        #expect(Set(ids).count == ids.count)
        #expect(Set(LogEvent.all.map(\.name)).count == ids.count)
        for id in ids { #expect(id.utf8.count == 32 && id.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }, "\(id)") }
    }

    // MARK: the writer

    private final class Collector: LogSink {
        let entries = Locked<[LogEntry]>([])
        let gate: Bell?
        /// The first entry has come.
        let begun = Bell()
        init(gate: Bell? = nil) { self.gate = gate }
        func write(_ entry: LogEntry) {
            begun.ring()
            gate?.sleep(nanoseconds: 30_000_000_000)
            gate?.ring()
            entries.withLock { $0.append(entry) }
        }
    }

    @Test func entriesAreWrittenInOrderAndAllAtTheEnd() {
        let (writer, sink) = (LogWriter(), Collector())
        writer.use(sink)
        writer.start()
        for number in 0..<2000 { writer.take(entry("n\(number)", event: .clientConnected)) }
        writer.finish()
        #expect(sink.entries.withLock { $0.map(\.message) } == (0..<2000).map { "n\($0)" })
    }

    @Test func aSinkThatStandsStillHoldsUpNobodyAndLosesNothingUncounted() {
        let gate = Bell()
        let (writer, sink) = (LogWriter(), Collector(gate: gate))
        writer.use(sink)
        writer.start()
        for number in 0..<20_000 { writer.take(entry("n\(number)", event: .clientConnected, line: UInt(number / 1000))) }
        gate.ring()
        // What did not fit is told once there is room.
        while sink.entries.withLock({ $0.count }) < 8192 { _ = Bell().sleep(nanoseconds: 1_000_000) }
        writer.finish()
        let entries = sink.entries.withLock { $0 }
        let told = entries.filter { $0.event == .suppressed }.flatMap(\.fields).compactMap { Int($0.value) }.reduce(0, +)
        #expect(entries.filter { $0.event == .clientConnected }.count + told == 20_000)
        #expect(told > 0)
    }

    /// Also what a notice would have told for which there was no room.
    @Test func aNoticeThatFindsNoRoomIsCountedByWhatItIsAbout() {
        let gate = Bell()
        let (writer, sink) = (LogWriter(), Collector(gate: gate))
        writer.use(sink)
        writer.start()
        writer.take(entry("flood", line: 1))
        sink.begun.sleep(nanoseconds: 30_000_000_000)
        for number in 1..<500 { writer.take(entry("flood \(number)", line: 1)) }
        for number in 0..<9000 { writer.take(entry("n\(number)", event: .clientConnected, line: UInt(number / 2000 + 2))) }
        writer.reportSuppressed(isLast: true)
        gate.ring()
        while sink.entries.withLock({ $0.count }) < 8192 { _ = Bell().sleep(nanoseconds: 1_000_000) }
        writer.finish()
        let entries = sink.entries.withLock { $0 }
        let told = entries.filter { $0.event == .suppressed }.flatMap(\.fields).compactMap { Int($0.value) }.reduce(0, +)
        #expect(entries.filter { $0.event != .suppressed }.count + told == 9500)
    }

    // MARK: lines

    @Test(arguments: [
        ("plain, and ü \u{1F600}", "plain, and ü \u{1F600}"), ("a\nb", "a b"), ("a\r\nb", "a  b"), ("a\u{2028}b\u{85}c", "a b c"), ("", ""),
        ("x\u{1B}[31mEVIL\u{07}\0", "x [31mEVIL  "), ("\u{9B}31m", " 31m"), ("\u{7F}\t", "  "),
    ])
    func anEntryIsOneLineOfText(message: String, expected: String) { #expect(LogWriter.oneLine(message) == expected) }

    @Test func linesCarryTimeAndLevelAndColourWhereWanted() {
        #expect(TextLogSink.text(of: entry("hello"), isColoured: false) == "1970-01-01T00:00:01.000Z warn hello")
        let coloured = TextLogSink.text(of: entry("hello"), isColoured: true)
        #expect(coloured.contains("\u{1B}[33mwarn hello\u{1B}[0m"))
    }
}
