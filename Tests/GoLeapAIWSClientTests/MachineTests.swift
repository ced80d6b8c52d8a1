import Base
import Protocol
import TestSupport
import Testing

@testable import GoLeapAIWSClient

/// A machine with a clock that stands still.
private struct Bench {
    let clock = ManualClock()
    var machine: Machine

    init(channels: Set<Channel> = [.logs], position: Position = Position(), canRenew: Bool = false) {
        machine = Machine(
            clock: clock, seed: 1, subscription: Subscription(channels: channels, filters: Filters()), position: position, canRenew: canRenew)
    }

    mutating func receive(_ text: String) throws -> [Machine.Action] { machine.received(try #require(Envelope(text))) }

    mutating func connect(token: String? = nil) throws -> [Machine.Action] {
        _ = machine.start()
        _ = machine.opened(tlsVersion: nil, token: token)
        return try receive(welcome)
    }

    /// Lets time pass to the next deadline.
    mutating func passToDeadline() {
        let left = (machine.deadline ?? 0) - clock.monotonic()
        clock.advance(.nanoseconds(Int64(left)))
    }
}

private let welcome =
    #"{"type":"welcome","timestamp":"2026-02-05T10:30:00.000Z","data":{"epoch":"e","sequence":7,"position":"e-7","heartbeat_interval":30,"client_timeout":90,"role":"admin"}}"#

private func sent(_ actions: [Machine.Action]) -> [String] { actions.compactMap { if case .send(let text) = $0 { text } else { nil } } }
private func told(_ actions: [Machine.Action]) -> [ClientEvent] { actions.compactMap { if case .tell(let event, _) = $0 { event } else { nil } } }
private func state(_ actions: [Machine.Action]) -> ConnectionState? { if case .state(let state)? = told(actions).last { state } else { nil } }

struct MachineTests {
    @Test func connects() throws {
        var bench = Bench()
        #expect(bench.machine.start() == [.tell(.state(.connecting)), .open(renewsToken: false)])
        #expect(bench.machine.start().isEmpty)
        #expect(bench.machine.opened(tlsVersion: "TLS 1.3", token: nil).isEmpty)
        let actions = try bench.receive(welcome)
        #expect(state(actions) == .connected(.init(role: "admin", epoch: "e", heartbeatInterval: 30, clientTimeout: 90, tlsVersion: "TLS 1.3")))
        #expect(sent(actions) == [#"{"type":"subscribe","id":"c1","data":{"channels":["logs"],"filters":{"logs":{}}}}"#])
    }

    @Test func comesBackAndGoesOn() throws {
        var bench = Bench()
        _ = try bench.connect()
        #expect(told(try bench.receive(#"{"type":"log","id":"e-9","timestamp":"t","data":{"level":"info","message":"hello"}}"#)).count == 1)
        #expect(told(try bench.receive(#"{"type":"log","id":"e-9","timestamp":"t","data":{"level":"info","message":"hello"}}"#)).isEmpty)
        let actions = bench.machine.ended(.failed("cut"))
        guard case .waiting(_, let attempt, let why)? = state(actions) else { return #expect(Bool(false), "\(actions)") }
        #expect(attempt == 1 && why == "cut")
        #expect(bench.machine.tick().isEmpty)
        bench.passToDeadline()
        #expect(bench.machine.tick() == [.tell(.state(.connecting)), .open(renewsToken: false)])
        _ = bench.machine.opened(tlsVersion: nil, token: nil)
        #expect(sent(try bench.receive(welcome)).first?.contains(#""since":"e-9""#) == true)
    }

    @Test func pingsAndGivesUp() throws {
        var bench = Bench()
        _ = try bench.connect()
        var pings = 0
        while true {
            bench.passToDeadline()
            let actions = bench.machine.tick()
            if sent(actions) == [#"{"type":"ping"}"#] {
                pings += 1
                continue
            }
            #expect(actions.first == .drop(nil))
            guard case .waiting(_, _, let why)? = state(actions) else { return #expect(Bool(false), "\(actions)") }
            #expect(why == "nothing has come from the server for 70 s")
            break
        }
        #expect(pings == 2)
        // Any byte puts it off.
        _ = try bench.connect()
    }

    @Test func aSignOfLifePutsTheEndOff() throws {
        var bench = Bench()
        _ = try bench.connect()
        for _ in 0..<20 {
            bench.passToDeadline()
            #expect(sent(bench.machine.tick()) == [#"{"type":"ping"}"#])
            bench.machine.sawLife()
            #expect(told(try bench.receive(#"{"type":"pong","timestamp":"t","data":{"position":"e-20"}}"#)).isEmpty)
        }
        _ = bench.machine.ended(.failed("cut"))
        bench.passToDeadline()
        _ = bench.machine.tick()
        _ = bench.machine.opened(tlsVersion: nil, token: nil)
        #expect(sent(try bench.receive(welcome)).first?.contains(#""since":"e-20""#) == true)
    }

    @Test func anAttemptTakesTooLong() {
        var bench = Bench()
        _ = bench.machine.start()
        bench.clock.advance(.milliseconds(29_999))
        #expect(bench.machine.tick().isEmpty)
        bench.clock.advance(.milliseconds(1))
        #expect(bench.machine.tick().first == .drop(nil))
        // What comes of it all the same is not heeded.
        #expect(bench.machine.opened(tlsVersion: nil, token: nil).isEmpty && bench.machine.ended(.silent).isEmpty)
    }

    @Test func drain() throws {
        var bench = Bench()
        _ = try bench.connect()
        _ = try bench.receive(#"{"type":"drain","timestamp":"t","data":{"reconnect_in_ms":2713,"position":"e-33"}}"#)
        let before = bench.clock.now()
        let actions = bench.machine.ended(.closed(.goingAway, reason: ""))
        guard case .waiting(let until, let attempt, _)? = state(actions) else { return #expect(Bool(false), "\(actions)") }
        #expect(until == before.advanced(byMilliseconds: 2713) && attempt == 0)
    }

    @Test func stops() throws {
        var bench = Bench()
        _ = try bench.connect()
        #expect(bench.machine.ended(.closed(.disconnectedByAdmin, reason: "")) == [
            .tell(.state(.stopped(.init(cause: .closed(code: 4505), why: "the server has closed the connection: 4505 disconnected by an admin"))))
        ])
        #expect(bench.machine.deadline == nil && !bench.machine.isBusy)
        // Until somebody wants it again.
        #expect(bench.machine.start().last == .open(renewsToken: false))
        #expect(bench.machine.stop().first == .drop(nil) && bench.machine.stop().isEmpty)
    }

    @Test func subscribesWhileRunning() throws {
        var bench = Bench(channels: [])
        #expect(sent(try bench.connect()).isEmpty)
        #expect(sent(bench.machine.subscribe([.stats], Filters(stats: .init(window: "1h", interval: 10)))) == [
            #"{"type":"subscribe","id":"c1","data":{"channels":["stats"],"filters":{"stats":{"window":"1h","interval":10}}}}"#
        ])
        #expect(sent(bench.machine.subscribe([.logs], nil)) == [#"{"type":"subscribe","id":"c2","data":{"channels":["logs"],"filters":{"logs":{}}}}"#])
        #expect(sent(bench.machine.unsubscribe([.stats])) == [#"{"type":"unsubscribe","id":"c3","data":{"channels":["stats"]}}"#])
        #expect(bench.machine.subscribers.own == Subscription(channels: [.logs], filters: Filters()))
    }

    /// A token for the instant at which the clock stands, by `exp`.
    private func token(secondsLeft: Int, _ clock: ManualClock) -> String {
        let text = Array("{\"exp\":\(clock.now().milliseconds / 1000 + Int64(secondsLeft))}".utf8)
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        var payload = ""
        for start in stride(from: 0, to: text.count, by: 3) {
            let group = text[start..<min(start + 3, text.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0...group.count { payload.append(alphabet[bits >> (18 - 6 * place) & 63]) }
        }
        return "eyJhbGciOiJIUzI1NiJ9.\(payload).c2ln"
    }

    @Test func renewsTheTokenBeforeItsEnd() throws {
        var bench = Bench(canRenew: true)
        _ = try bench.connect(token: token(secondsLeft: 80, bench.clock))
        // At half of the 80 s; pings go on meanwhile.
        bench.clock.advance(.seconds(39))
        #expect(!bench.machine.tick().contains(.renewToken))
        bench.clock.advance(.seconds(1))
        bench.machine.sawLife()
        #expect(bench.machine.tick().contains(.renewToken) && !bench.machine.tick().contains(.renewToken))
        // It cannot be had at once.
        #expect(bench.machine.renewed(nil).isEmpty)
        bench.clock.advance(.seconds(5))
        bench.machine.sawLife()
        #expect(bench.machine.tick().contains(.renewToken))
        let fresh = token(secondsLeft: 3600, bench.clock)
        #expect(sent(bench.machine.renewed(fresh)) == [#"{"type":"auth","id":"c2","data":{"token":"\#(fresh)"}}"#])
        bench.clock.advance(.seconds(69))
        bench.machine.sawLife()
        #expect(!bench.machine.tick().contains(.renewToken))
    }

    @Test func expiredAllTheSame() throws {
        var bench = Bench(canRenew: true)
        _ = try bench.connect()
        guard case .waiting? = state(bench.machine.ended(.closed(.tokenExpired, reason: ""))) else { return #expect(Bool(false)) }
        #expect(bench.machine.tick().last == .open(renewsToken: true))
    }

    @Test func aServerWithoutWelcome() throws {
        var bench = Bench()
        _ = bench.machine.start()
        _ = bench.machine.opened(tlsVersion: nil, token: nil)
        let actions = try bench.receive(#"{"type":"ping","timestamp":"t","data":{}}"#)
        #expect(told(actions) == [.state(.connected(.init()))])
        #expect(sent(actions).count == 2)
    }
}

struct TokenClockTests {
    @Test(arguments: [("", nil), ("gla_abc", nil), ("a.b", nil), ("a.b.c", nil), ("a.eyJleHAiOjEwfQ.c", 10_000), ("a.eyJleHAiOiIxMCJ9.c", nil), ("a.!.c", nil)] as [(String, Int64?)])
    func ends(token: String, milliseconds: Int64?) {
        #expect(TokenClock.end(of: token) == milliseconds)
    }
}
