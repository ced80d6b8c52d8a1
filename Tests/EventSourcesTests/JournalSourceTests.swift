// Following the journal: step by step with time held still, and as a thread.

import Base
import Glibc
import Host
import Testing

@testable import EventSources

/// Writes down what is said, in one order.
private final class Notes: EventSink {
    private let notes = Locked<[String]>([])
    private let batches = Locked<[Int]>([])
    private let bell = Bell()

    func publish(_ events: [SourceEvent]) {
        #expect(!events.isEmpty)
        batches.withLock { $0.append(events.count) }
        notes.withLock { notes in notes += events.map { (try? $0.kind == .gap ? gapText($0) : message($0)) ?? "?" } }
        bell.ring()
    }
    func gap(channel: SourceChannel, reason: SourceGap) {
        notes.withLock { $0.append("gap \(channel.rawValue) \(reason.rawValue)") }
        bell.ring()
    }
    func providerStates(_ states: [(id: String, data: [UInt8])]) {}
    func stats(window: StatsWindow, interval: Int, at: Instant, data: [UInt8]) {}

    var all: [String] { notes.withLock { $0 } }
    var sizes: [Int] { batches.withLock { $0 } }
    /// Waits until so much has been said, at most half a minute.
    func wait(for count: Int) { for _ in 0..<300 where all.count < count { bell.sleep(nanoseconds: 100_000_000) } }
}

/// Whether it comes about within half a minute.
private func eventually(_ condition: () -> Bool) -> Bool {
    let bell = Bell()
    for _ in 0..<3000 {
        if condition() { return true }
        bell.sleep(nanoseconds: 10_000_000)
    }
    return false
}

/// A follower without a thread.
private struct Following {
    let folder: Folder
    let clock = ManualClock(TestEntry.began)
    let sink = Notes()
    let published = PublishedPlaces()
    let names = ProviderNames()
    let counters = JournalCounters()
    let health: SourceHealth
    let follower: JournalFollower

    init(_ folder: Folder) {
        self.folder = folder
        health = SourceHealth([.logs], clock: clock)
        follower = JournalFollower(
            journalOptions(folder.path), names: names, published: published, clock: clock, sink: sink, health: health,
            phase: SamplerPhase(clock: clock), counters: counters)
        names.set([])
    }

    /// Lets it do all that is due.
    func settle() { for _ in 0..<20 { _ = follower.step(waits: false) } }
    var place: JournalPlace? { published.entry.withLock { $0 } }
    var status: SourceStatus? { health.status().first }
}

@Suite struct JournalSourceTests {
    let folder: Folder

    init() throws { folder = try Folder() }

    @Test func onlyWhatIsNew() throws {
        try folder.write(numbered(0..<3))
        let following = Following(folder)
        #expect(following.status?.name == "journal" && following.status?.state == .starting)
        following.settle()
        #expect(following.sink.all.isEmpty)
        #expect(following.place?.sequence == 3)
        #expect(following.status == SourceStatus(name: "journal", state: .working, lagMilliseconds: 0, why: ""))
        try folder.write(numbered(3..<6))
        following.settle()
        #expect(following.sink.all == lines(3..<6))
        #expect(following.place?.sequence == 6)
    }

    @Test func anEmptyJournalBeginsNow() throws {
        let following = Following(folder)
        following.settle()
        #expect(following.place == JournalPlace(sequenceID: 0, sequence: 0, realtime: TestEntry.began))
        try folder.write(numbered(1..<3))
        following.settle()
        #expect(following.sink.all == lines(1..<3))
    }

    @Test func batchesHaveABound() throws {
        let following = Following(folder)
        following.settle()
        try folder.write(numbered(0..<600))
        following.settle()
        #expect(following.sink.all == lines(0..<600))
        #expect(following.sink.sizes == [256, 256, 88])
        #expect(following.counters.entries == 600 && following.counters.lines == 600)
    }

    @Test func largeLinesMakeSmallBatches() throws {
        let following = Following(folder)
        following.settle()
        try folder.write((0..<10).map { TestEntry([UInt8](repeating: 0x61, count: 400_000), at: $0) })
        following.settle()
        #expect(following.sink.sizes == [3, 3, 3, 1])
        #expect(following.counters.truncated == 10)
    }

    @Test func gapsInOrder() throws {
        let following = Following(folder)
        following.settle()
        try folder.write([TestEntry("a", at: 1), TestEntry("b", at: 2), TestEntry.suppressed(7, at: 3), TestEntry("c", at: 4)])
        following.settle()
        #expect(following.sink.all == ["a", "b", "gap 7", "c"])
        #expect(following.counters.suppressed == 7)
        #expect(following.place?.sequence == 4)
    }

    @Test func anUnfinishedLineIsGivenOutInTime() throws {
        let following = Following(folder)
        following.settle()
        try folder.write([
            TestEntry("half", at: 1, [("_SYSTEMD_UNIT", gatewayUnit), ("_STREAM_ID", "a"), ("_LINE_BREAK", "line-max")])
        ])
        following.settle()
        following.clock.advance(milliseconds: 2000)
        following.settle()
        #expect(following.sink.all.isEmpty)
        following.clock.advance(milliseconds: 1)
        following.settle()
        #expect(following.sink.all == ["half"])
        #expect(following.counters.parts == 1)
    }

    @Test func namesAreWaitedForButNotLong() throws {
        let clock = ManualClock(TestEntry.began)
        let sink = Notes()
        let names = ProviderNames()
        let published = PublishedPlaces()
        let follower = JournalFollower(
            journalOptions(folder.path), names: names, published: published, clock: clock, sink: sink,
            health: SourceHealth([.logs], clock: clock), phase: SamplerPhase(clock: clock), counters: JournalCounters())
        #expect(follower.step(waits: false) > 0)
        #expect(published.entry.withLock { $0 } != nil, "begun, so nothing is missed")
        try folder.write(numbered(0..<1))
        clock.advance(milliseconds: 499)
        #expect(follower.step(waits: false) > 0)
        #expect(sink.all.isEmpty)
        clock.advance(milliseconds: 1)
        for _ in 0..<5 { _ = follower.step(waits: false) }
        #expect(sink.all == lines(0..<1))
    }

    @Test func aFailingSourceLagsOnceAndGoesOnWhereItWas() throws {
        let following = Following(folder)
        try folder.write(numbered(0..<1))
        following.settle()
        // Nothing can be read from here on until the directory is back; what is open is dropped.
        let away = folder.path + ".away"
        defer { rmdir(away) }
        #expect(rename(folder.path, away) == 0)
        following.follower.forget()
        #expect(following.follower.step(waits: false) == JournalFollower.retryNanoseconds)
        #expect(following.health.check(hanging: nil).isEmpty)
        #expect(following.status?.state == .failing)
        #expect(
            following.status?.why
                == "the journal cannot be read: sd_journal_open_directory \(folder.path): No such file or directory")
        following.clock.advance(milliseconds: 5001)
        #expect(following.health.check(hanging: nil) == [.logs])
        following.clock.advance(milliseconds: 5001)
        #expect(following.health.check(hanging: nil).isEmpty)
        #expect(following.status?.lagMilliseconds == 10_002)
        #expect(rename(away, folder.path) == 0)
        try folder.write(numbered(1..<3))
        following.settle()
        #expect(following.sink.all == lines(1..<3))
        #expect(following.status?.state == .working)
    }

    /// The live reader and the archive together give each line once, wherever history begins.
    @Test func archiveAndHistoryMeet() throws {
        try folder.write(numbered(0..<5))
        let following = Following(folder)
        following.settle()
        let archive = JournalArchive(journalOptions(folder.path), names: noNames, published: following.published)
        func before(_ first: JournalPlace?) throws -> [String] {
            var position = archive.position(from: TestEntry.began)
            let edge = HistoryEdge(requestID: { _ in nil }, firstEntry: first)
            return try archive.next(&position, edge: edge, limit: 1000, deadline: .max).map(message)
        }
        #expect(try before(nil) == lines(0..<5))
        try folder.write(numbered(5..<10))
        #expect(try before(nil) == lines(0..<5), "written, but not yet published")
        following.settle()
        #expect(following.sink.all == lines(5..<10))
        #expect(try before(nil) == lines(0..<10), "published, and history has let go of it")
    }

    @Test(.timeLimit(.minutes(2))) func asAThread() throws {
        let sink = Notes()
        let published = PublishedPlaces()
        let names = ProviderNames()
        names.set([])
        let source = JournalSource(journalOptions(folder.path), names: names, published: published, sink: sink)
        #expect(source.status().state == .starting)
        source.stop()
        #expect(source.start() == nil)
        // Begun is begun: what is written from here on comes.
        #expect(eventually { published.entry.withLock { $0 } != nil })
        let now = SystemClock().now()
        try folder.write(
            (0..<300).map { TestEntry("line \($0)", at: now.microseconds - TestEntry.began.microseconds + Int64($0)) })
        sink.wait(for: 300)
        #expect(sink.all == lines(0..<300))
        // Told to the sink first, and counted then.
        #expect(eventually { source.counters.lines == 300 })
        #expect(eventually { source.status().state == .working })
        source.check()
        source.stop()
        #expect(sink.all.count == 300)
    }
}
