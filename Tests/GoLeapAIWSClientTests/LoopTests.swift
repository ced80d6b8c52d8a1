import Base
import Glibc
import Protocol
import TestSupport
import Testing

@testable import GoLeapAIWSClient

/// A daemon in miniature, one thread for each connection: each `subscribe` is acknowledged; the first one begins a stream of numbered lines,
/// behind the id that it names. A connection is cut after so many of them, until the last one has been sent.
private final class SmallServer: Sendable {
    let port: Int
    let connections = Locked(0)
    private let listener: FileDescriptor
    private let last: UInt64
    private let each: UInt64

    init(last: UInt64, each: UInt64) throws {
        self.last = last
        self.each = each
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        listener = FileDescriptor(owning: number)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, length) + listen(number, 64) + getsockname(number, $0, &length) }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        guard result == 0 else { throw TestFailure("no socket for a server") }
        if let failure = Thread.start(named: "small-server", { [weak self] in while self?.accept() == true {} }) { throw failure }
    }

    /// Ends the thread that accepts.
    func stop() { shutdown(listener.number, Int32(SHUT_RDWR)) }

    private func accept() -> Bool {
        let number = Glibc.accept(listener.number, nil, nil)
        guard number >= 0 else { return false }
        connections.withLock { $0 += 1 }
        return Thread.start(named: "small-connection") { [last, each] in Connection(FileDescriptor(owning: number), last, each).serve() } == nil
    }

    private final class Connection {
        private let descriptor: FileDescriptor
        private let last: UInt64
        private var left: UInt64
        private var input: [UInt8] = []
        private var receiver = FrameReceiver(messageBytesMax: 65_536, acceptsBinary: false)
        private var next: UInt64?
        private var isOver = false

        init(_ descriptor: consuming FileDescriptor, _ last: UInt64, _ each: UInt64) {
            self.descriptor = descriptor
            self.last = last
            left = each
        }

        func serve() {
            while !isOver, !String(decoding: input, as: UTF8.self).hasSuffix("\r\n\r\n") { read() }
            let fields = String(decoding: input, as: UTF8.self).split(separator: "\r\n").first { $0.hasPrefix("Sec-WebSocket-Key: ") }
            write(Handshake.response(key: String(fields?.dropFirst(19) ?? ""), subprotocol: nil))
            say(#"{"type":"welcome","timestamp":"2026-02-05T10:30:00.000Z","data":{"epoch":"e","sequence":0,"position":"e-0"}}"#)
            while !isOver {
                var waiting = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
                if poll(&waiting, 1, next.map { $0 <= last } == true ? 0 : 1) > 0 {
                    input = []
                    read()
                    input.withUnsafeMutableBytes { take($0) }
                }
                guard let number = next, number <= last else { continue }
                if left == 0 { return }
                let level = ["debug", "info", "warn", "error"][Int(number % 4)]
                say(#"{"type":"log","id":"e-\#(number)","timestamp":"2026-02-05T10:30:00.000Z","data":{"level":"\#(level)","message":"\#(number)"}}"#)
                next = number + 1
                left -= 1
            }
        }

        private func take(_ bytes: UnsafeMutableRawBufferPointer) {
            var rest = bytes
            while let action = receiver.next(&rest) {
                switch action {
                case .message(_, let text):
                    guard let message = try? JSON(parsing: text), message["type"]?.string != "ping" else { continue }
                    say(#"{"type":"ack","id":"\#(message["id"]?.string ?? "")","timestamp":"t","data":{"channels":[]}}"#)
                    guard next == nil, message["type"]?.string == "subscribe" else { continue }
                    let since = message["data"]?["since"]?.string.flatMap { EventID($0).sequence }
                    if let since { say(#"{"type":"caught_up","timestamp":"t","data":{"position":"e-\#(since)"}}"#) }
                    next = (since ?? 0) + 1
                case .close(let code, _):
                    write(FrameWriter.close(code))
                    isOver = true
                default: break
                }
            }
        }

        private func say(_ text: String) { write(FrameWriter.text(text)) }

        private func write(_ bytes: [UInt8]) {
            var sent = 0
            while sent < bytes.count, !isOver {
                let count = bytes.withUnsafeBytes { send(descriptor.number, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
                if count <= 0 { isOver = true } else { sent += count }
            }
        }

        private func read() {
            var room = [UInt8](repeating: 0, count: 16_384)
            let count = recv(descriptor.number, &room, room.count, 0)
            if count <= 0 { isOver = true } else { input += room[..<count] }
        }
    }
}

private let levels = ["debug", "info", "warn", "error"]

private func logs(_ level: String) -> Filters { Filters(logs: .init(level: level)) }

private func wanted(_ level: Int, _ last: UInt64) -> [UInt64] { (1...last).filter { $0 % 4 >= level } }

/// The whole client, with its threads, while others use it from theirs; under the thread sanitizer, too.
@Suite(.serialized) struct LoopTests {
    private func numbers(_ subscription: LiveSubscription, until last: UInt64) async -> [UInt64] {
        var numbers: [UInt64] = []
        for await event in subscription {
            guard case .log(let log) = event, let number = UInt64(log.message) else { continue }
            numbers.append(number)
            if number == last { break }
        }
        return numbers
    }

    /// Others come and go, and look at what is there.
    private func disturb(_ join: @escaping @Sendable (Int) throws -> LiveSubscription, _ look: @escaping @Sendable () -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<4 {
                group.addTask {
                    for round in 0..<50 {
                        let one = try join(number + round)
                        look()
                        if round % 3 == 0 { for await _ in one { break } }
                        one.cancel()
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func severalOnOneConnectionThatIsCut() async throws {
        let last: UInt64 = 4003
        let server = try SmallServer(last: last, each: 1000)
        let heard = Locked<[UInt64]>([])
        var options = Options(url: "ws://127.0.0.1:\(server.port)", channels: [.logs])
        options.filters = logs("error")
        let client = try LiveClient(options, Callbacks(onLog: { log in heard.withLock { $0.append(UInt64(log.message) ?? 0) } }))
        let subscriptions = try levels.map { try client.subscription([.logs], filters: logs($0), buffer: 5000) }
        client.start()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (level, subscription) in subscriptions.enumerated() {
                group.addTask { #expect(await self.numbers(subscription, until: last) == wanted(level, last)) }
            }
            group.addTask {
                try await self.disturb({ try client.subscription([.logs, .requests], filters: logs(levels[$0 % 4])) }) {
                    _ = (client.recentLogs(), client.recentRequests(), client.latestStats, client.providers, client.state)
                    client.subscribe([.providers])
                    client.unsubscribe([.providers])
                }
            }
            try await group.waitForAll()
        }
        try waitUntil("the last line of the client's own") { heard.withLock { $0.last } == last }
        #expect(heard.withLock { $0 } == wanted(3, last) && server.connections.withLock { $0 } >= 5)
        client.stop()
        try waitUntil("the end") { if case .stopped? = client.state { true } else { false } }
        server.stop()
    }

    @Test func aPoolOfConnectionsThatAreCut() async throws {
        let last: UInt64 = 2003
        let server = try SmallServer(last: last, each: 700)
        let pool = try ClientPool(Options(url: "ws://127.0.0.1:\(server.port)"), connectionsMax: 3)
        let subscriptions = try (0..<3).map { try pool.subscription([.logs], filters: logs(levels[$0]), buffer: 5000) }
        #expect(pool.connections == 3)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (level, subscription) in subscriptions.enumerated() {
                group.addTask { #expect(await self.numbers(subscription, until: last) == wanted(level, last)) }
            }
            group.addTask {
                try await self.disturb({ try pool.subscription([.logs], filters: logs(levels[$0 % 3])) }) { _ = (pool.connections, pool.connectionsAllowed) }
            }
            try await group.waitForAll()
        }
        #expect(pool.connections == 3)
        for subscription in subscriptions { subscription.cancel() }
        #expect(pool.connections == 0)
        server.stop()
    }

    /// A reader that sees enough, a subscription that nobody holds, a task that is cancelled: each leaves by itself.
    @Test func leavesWithWhoReads() async throws {
        let server = try SmallServer(last: 10, each: 100)
        let pool = try ClientPool(Options(url: "ws://127.0.0.1:\(server.port)"), connectionsMax: 8)
        for await event in try pool.subscription([.logs]) { if case .log = event { break } }
        try waitUntil("the reader has gone") { pool.connections == 0 }
        _ = try pool.subscription([.logs])
        try waitUntil("nobody holds it") { pool.connections == 0 }
        let kept = try pool.subscription([.logs])
        let reading = Task { for await _ in kept {} }
        reading.cancel()
        await reading.value
        try waitUntil("the task has gone") { pool.connections == 0 }
        let others = try [Channel.logs, .requests].map { try pool.subscription([$0]) }
        #expect(pool.connections == 2)
        pool.stop()
        for other in others { for await _ in other {} }
        #expect(pool.connections == 0)
        server.stop()
    }
}
