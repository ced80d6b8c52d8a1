import Bench
import Testing

@testable import Daemon

private func plan(_ words: [String], descriptors: Int = 1024) throws -> BenchPlan {
    let arguments = try Arguments(parsing: words, for: try #require(Command.named("bench")))
    return try benchPlan(arguments, url: arguments["--url"] ?? "http://127.0.0.1:8080", descriptors: descriptors)
}

struct BenchCommandTests {
    @Test func defaults() throws {
        let plan = try plan([])
        #expect(plan.clients == 100 && plan.slow == 0 && plan.processes == 1 && plan.channels == ["logs"] && plan.pace == .perSecond(100))
        #expect(plan.nanoseconds == 5_000_000_000 && plan.warmUpNanoseconds == 1_000_000_000 && plan.events == nil && plan.batch == 1)
        #expect(plan.eventBytes == 250 && plan.outstanding == nil && !plan.isIdle && plan.publishes && plan.trust == .system)
    }

    @Test func pace() throws {
        #expect(try plan(["--rate", "5"]).pace == .perSecond(5))
        #expect(try plan(["--outstanding", "64"]).pace == .fullSpeed)
        #expect(try plan(["--outstanding", "64", "--rate", "5"]).pace == .perSecond(5))
        #expect(try plan(["--publisher", "none"]).pace == .none)
        #expect(try !plan(["--idle"]).publishes && !plan(["--publisher=none"]).publishes && plan(["--publisher=self"]).publishes)
    }

    @Test(arguments: [(100, nil, 1), (960, nil, 1), (961, nil, 2), (10_000, nil, 11), (961, 3, 3), (0, nil, 1)] as [(Int, Int?, Int)])
    func processes(clients: Int, wanted: Int?, processes: Int) throws {
        #expect(try plan(["--clients", "\(clients)"] + (wanted.map { ["--processes", "\($0)"] } ?? [])).processes == processes)
    }

    @Test func everythingElse() throws {
        let plan = try plan([
            "--clients=10", "--slow=10", "--channels=logs,stats", "--filter=component=c{n%5}&level=warn", "--event", "level=error", "--batch", "7", "--size",
            "300", "--duration", "1m", "--warmup", "0", "--events", "9", "--ca", "x.pem", "--pid", "77", "--url", "wss://[::1]:99/base/",
        ])
        #expect(plan.slow == 10 && plan.channels == ["logs", "stats"] && plan.batch == 7 && plan.eventBytes == 300 && plan.events == 9)
        #expect(plan.nanoseconds == 60_000_000_000 && plan.warmUpNanoseconds == 0 && plan.trust == .file("x.pem") && plan.serverProcess == 77)
        #expect(plan.target.isSecure && plan.target.host == "::1" && plan.target.port == 99 && plan.target.basePath == "/base")
        #expect(try self.plan(["--insecure"]).trust == .everybody)
        #expect(plan.encoding == .json)
        #expect(try self.plan(["--encoding", "msgpack"]).encoding == .msgpack)
    }

    private func plan(_ words: [String]) throws -> BenchPlan { try DaemonTests.plan(words) }

    @Test(arguments: [
        ["--clients", "-1"], ["--clients", "1000001"], ["--slow", "101"], ["--channels", "secrets"], ["--channels", "logs,"], ["--encoding", "xml"], ["--filter", "x"],
        ["--filter", "a={m}"], ["--event", "=1"], ["--rate", "0"], ["--rate", "0.5"], ["--outstanding", "0"], ["--batch", "0"], ["--size", "0"],
        ["--size", "50"], ["--size", "262145"], ["--duration", "5"], ["--duration", "0s"], ["--duration", "25h"], ["--warmup", "-1s"], ["--events", "0"],
        ["--publisher", "me"], ["--publisher", "none", "--rate", "5"], ["--idle", "--batch", "2"], ["--ca", "x", "--insecure"], ["--pid", "0"],
        ["--processes", "0"], ["--processes", "1", "--clients", "2000"], ["--clients", "1000000"], ["--url", "ftp://x"], ["--url", "http://x/?a"],
        ["--filter", "a={n%9999}&b={n%9998}"], ["--token-file", "/nonexistent/token"], ["--token-file", "/dev/null"],
    ])
    func wrongUsage(words: [String]) throws {
        #expect(throws: UsageError.self) { try plan(words) }
    }
}
