import Glibc
import Protocol
import Testing

@testable import Bench

struct WireTests {
    @Test(arguments: [
        WorkerCommand.connect(host: "::1", run: .max), .begin(first: 7), .publish(first: 3, events: 10, nanoseconds: nil),
        .publish(first: 0, events: nil, nanoseconds: 5_000_000_000), .stop, .settle(before: 9), .settle(before: nil), .finish,
    ])
    func commands(command: WorkerCommand) throws {
        #expect(WorkerCommand(try JSON(parsing: command.line)) == command)
    }

    @Test func reports() throws {
        var histogram = Histogram()
        for value in [0, 5, 5, 1 << 40, 123_456] as [UInt64] { histogram.add(value) }
        let counts = DeliveryCheck.Counts(delivered: 1, payloadBytes: 2, foreign: 3, gaps: 4, toldLost: 5, lost: 6, repeated: 7, wrong: .max)
        for report in [
            WorkerReport.connected(nanoseconds: .max), .progress(connected: 1, delivered: 2, published: 3), .failed("why \"not\""),
            .published(Publisher.Result(first: 1, next: 2, start: 3, end: 4, answers: histogram)),
            .settled(
                WorkerReport.Part(counts: counts, histogram: histogram, faults: ["a", "b"], lastDelivery: 8, cpuNanoseconds: 9, slowEnded: 10)),
        ] {
            #expect(WorkerReport(try JSON(parsing: report.line)) == report)
        }
    }

    @Test(arguments: ["{}", #"{"do":"begin"}"#, #"{"do":"begin","first":-1}"#, #"{"is":"connected"}"#, #"{"is":"settled","delivered":1}"#, "[]"])
    func refused(text: String) throws {
        let json = try JSON(parsing: text)
        #expect(WorkerCommand(json) == nil && WorkerReport(json) == nil)
    }

    @Test func linesInParts() {
        let bytes = Array("{\"a\":1}\nnonsense\n{\"b\":2}\n{\"c\"".utf8)
        for cut in 0...bytes.count {
            var buffer = LineBuffer()
            let lines = buffer.feed(bytes[..<cut]) + buffer.feed(bytes[cut...])
            #expect(lines.count == 3 && lines[0]?["a"]?.int == 1 && lines[1] == nil && lines[2]?["b"]?.int == 2)
        }
    }
}

struct ServerProcessTests {
    @Test func ticks() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 123 45 0 0"
        for name in ["goleapai-ws", "a b", ") S 1 (", ""] {
            let found = ServerProcess.ticks(in: "77 (\(name)) \(rest)")
            #expect(found?.user == 123 && found?.system == 45)
        }
        #expect(ServerProcess.ticks(in: "") == nil && ServerProcess.ticks(in: "1 (x) S 1") == nil)
    }

    @Test func memory() {
        let text = "55-7f ---p 0 0:0 0 [rollup]\nRss:   1234 kB\nPss: 1 kB\nPrivate_Clean: 3 kB\nPrivate_Dirty:      567 kB\n"
        #expect(ServerProcess.memory(in: text) == ServerProcess.Memory(residentBytes: 1234 * 1024, privateDirtyBytes: 567 * 1024))
        #expect(ServerProcess.memory(in: "") == nil)
    }

    /// Of this very process, which computes.
    @Test func own() throws {
        let own = ServerProcess(number: Int(getpid()))
        let before = try #require(own.cpu())
        var sum = 0
        while try #require(own.cpu()).nanoseconds < before.nanoseconds + 1_000_000 { sum &+= 1 }
        #expect(try #require(own.memory()).residentBytes > 1_000_000)
        #expect(ServerProcess(number: Int(Int32.max)).cpu() == nil)
    }
}

struct ReportTests {
    @Test(arguments: [(0.0, 2, "0.00"), (1.005, 2, "1.00"), (0.0456, 3, "0.046"), (-1.5, 1, "-1.5"), (12.0, 0, "12"), (.nan, 2, "?"), (9.999, 2, "10.00")])
    func numbers(value: Double, digits: Int, text: String) {
        #expect(BenchReport.number(value, digits) == text)
    }

    @Test(arguments: [(1_234_567.0, "1.23 M"), (45_678, "45.7 k"), (999, "999"), (99.96, "100.0"), (0.5, "0.5")])
    func short(value: Double, text: String) {
        #expect(BenchReport.short(value) == text)
    }
}
