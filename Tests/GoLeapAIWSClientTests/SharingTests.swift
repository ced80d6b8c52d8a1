import Base
import Protocol
import TestSupport
import Testing

@testable import GoLeapAIWSClient

/// Several subscribers of one connection; the clock stands still.
private struct Shared {
    let clock = ManualClock()
    var machine: Machine

    init(_ channels: Set<Channel> = [], _ filters: Filters = Filters(), since: String? = nil) {
        machine = Machine(
            clock: clock, seed: 1, subscription: Subscription(channels: channels, filters: filters), position: Position(since: since), canRenew: false)
    }

    mutating func connect() throws -> [Machine.Action] {
        _ = machine.start()
        _ = machine.opened(tlsVersion: nil, token: nil)
        return try receive(
            #"{"type":"welcome","timestamp":"2026-02-05T10:30:00.000Z","data":{"epoch":"e","sequence":7,"position":"e-7","role":"admin"}}"#)
    }

    mutating func receive(_ text: String) throws -> [Machine.Action] { machine.received(try #require(Envelope(text))) }

    mutating func join(_ id: Int, _ channels: Set<Channel>, _ filters: Filters = Filters()) throws -> [Machine.Action] {
        machine.join(.init(id: id, wish: Subscription(channels: channels, filters: filters), filter: try EventFilter(channels, filters)))
    }

    /// What is said once the time for it has come.
    mutating func settle() -> [Machine.Action] {
        clock.advance(.milliseconds(50))
        return machine.tick()
    }

    mutating func log(_ number: Int, _ level: String, component: String = "c") throws -> Recipients? {
        recipients(try receive(#"{"type":"log","id":"e-\#(number)","timestamp":"t","data":{"level":"\#(level)","message":"m","component":"\#(component)"}}"#))
    }
}

private func sent(_ actions: [Machine.Action]) -> [String] { actions.compactMap { if case .send(let text) = $0 { text } else { nil } } }
private func recipients(_ actions: [Machine.Action]) -> Recipients? { actions.compactMap { if case .tell(_, let recipients) = $0 { recipients } else { nil } }.first }

private func logs(_ level: String? = nil, components: [String] = [], text: String? = nil) -> Filters {
    Filters(logs: .init(level: level, components: components, text: text))
}

private func stats(_ window: String?, _ interval: Int? = nil) -> Filters { Filters(stats: .init(window: window, interval: interval)) }

struct SharingTests {
    @Test func theUnionIsAskedForAndEachGetsItsOwn() throws {
        var shared = Shared()
        _ = try shared.join(1, [.logs], logs("error"))
        _ = try shared.join(2, [.logs], logs("warn", components: ["a"]))
        #expect(sent(try shared.connect()) == [#"{"type":"subscribe","id":"c1","data":{"channels":["logs"],"filters":{"logs":{"level":"warn"}}}}"#])
        #expect(try shared.log(8, "error") == .only([1]))
        #expect(try shared.log(9, "error", component: "a") == .only([1, 2]))
        #expect(try shared.log(10, "warn", component: "a") == .only([2]))
        #expect(try shared.log(11, "warn") == .only([]))
    }

    @Test func manyWhoComeAtOnceAreOneMessage() throws {
        var shared = Shared()
        _ = try shared.connect()
        for id in 1...200 { #expect(try shared.join(id, [.logs], logs(components: ["c\(id % 3)"])).isEmpty) }
        let said = sent(shared.settle())
        #expect(said == [#"{"type":"subscribe","id":"c1","data":{"channels":["logs"],"filters":{"logs":{"component":["c0","c1","c2"]}}}}"#])
        #expect(sent(shared.settle()).isEmpty)
        // Who wants what is there already costs no message.
        _ = try shared.join(300, [.logs], logs(components: ["c1"]))
        #expect(sent(shared.settle()).isEmpty)
        #expect(try shared.log(8, "info", component: "c1").map { if case .only(let ids) = $0 { ids.contains(300) && ids.count == 68 } else { false } } == true)
    }

    @Test func whoLeavesNarrowsTheUnion() throws {
        var shared = Shared()
        _ = try shared.join(1, [.logs, .requests], logs("error"))
        _ = try shared.join(2, [.logs])
        _ = try shared.connect()
        shared.machine.leave(2)
        #expect(sent(shared.settle()) == [#"{"type":"subscribe","id":"c2","data":{"channels":["logs"],"filters":{"logs":{"level":"error"}}}}"#])
        // What was on its way by the wider filter is not for who is left.
        #expect(try shared.log(8, "info") == .only([]))
        _ = try shared.join(3, [.providers])
        shared.machine.leave(1)
        #expect(sent(shared.settle()) == [
            #"{"type":"unsubscribe","id":"c3","data":{"channels":["logs","requests"]}}"#,
            #"{"type":"subscribe","id":"c4","data":{"channels":["providers"],"filters":{"providers":{}}}}"#,
        ])
        shared.machine.leave(3)
        #expect(sent(shared.settle()) == [#"{"type":"unsubscribe","id":"c5","data":{"channels":["providers"]}}"#])
        // Nobody has missed anything when the next one comes.
        _ = shared.machine.ended(.failed("cut"))
        _ = try shared.join(4, [.logs])
        shared.clock.advance(.seconds(1))
        _ = shared.machine.tick()
        _ = shared.machine.opened(tlsVersion: nil, token: nil)
        let said = sent(try shared.receive(#"{"type":"welcome","timestamp":"t","data":{"epoch":"e","sequence":90,"position":"e-90"}}"#))
        #expect(said.count == 1 && !said[0].contains("since"))
    }

    @Test func allAndItsParts() throws {
        var shared = Shared()
        _ = try shared.join(1, [.logs], logs("warn"))
        _ = try shared.connect()
        _ = try shared.join(2, [.all])
        #expect(sent(shared.settle()) == [#"{"type":"subscribe","id":"c2","data":{"channels":["all"],"filters":{"logs":{}}}}"#])
        #expect(try shared.log(8, "info") == .only([2]))
        shared.machine.leave(2)
        #expect(sent(shared.settle()) == [
            #"{"type":"unsubscribe","id":"c3","data":{"channels":["stats","providers","requests"]}}"#,
            #"{"type":"subscribe","id":"c4","data":{"channels":["logs"],"filters":{"logs":{"level":"warn"}}}}"#,
        ])
        #expect(try shared.log(9, "error") == .only([1]))
    }

    @Test func theClientsOwnIsOneOfThem() throws {
        var shared = Shared([.logs], logs("error"))
        _ = try shared.connect()
        // Alone it gets what the daemon gives.
        #expect(try shared.log(8, "info") == .everyone)
        _ = try shared.join(1, [.logs], logs("info"))
        #expect(sent(shared.settle()) == [#"{"type":"subscribe","id":"c2","data":{"channels":["logs"],"filters":{"logs":{"level":"info"}}}}"#])
        #expect(try shared.log(9, "info") == .only([1]))
        #expect(try shared.log(10, "error") == .only([1, 0]))
        #expect(sent(shared.machine.unsubscribe([.logs])).isEmpty)
        #expect(try shared.log(11, "error") == .only([1]))
    }

    @Test func gapsGoToWhomTheyConcern() throws {
        var shared = Shared()
        _ = try shared.join(1, [.logs], logs("error"))
        _ = try shared.join(2, [.requests])
        _ = try shared.join(3, [.all])
        _ = try shared.connect()
        let slow = #"{"type":"gap","timestamp":"t","data":{"reason":"slow_consumer","channels":["logs"],"after":"e-8","resume":"e-9","dropped":1}}"#
        #expect(recipients(try shared.receive(slow)) == .only([0, 1, 3]))
        let lost = #"{"type":"gap","id":"e-10","timestamp":"t","channel":"requests","data":{"reason":"source_lost","channels":["requests"]}}"#
        #expect(recipients(try shared.receive(lost)) == .only([2, 3]))
        #expect(recipients(try shared.receive(#"{"type":"gap","timestamp":"t","data":{"reason":"restarted","channels":["all"]}}"#)) == .only([0, 1, 2, 3]))
        #expect(recipients(shared.machine.ended(.failed("cut"))) == .everyone)
    }

    /// A connection goes on where it was for all of them, and who comes while it is away is there from the break on.
    @Test func aBreakConcernsAll() throws {
        var shared = Shared()
        _ = try shared.join(1, [.logs], logs("error"))
        _ = try shared.connect()
        _ = try shared.log(8, "error")
        _ = shared.machine.ended(.failed("cut"))
        _ = try shared.join(2, [.logs])
        shared.clock.advance(.seconds(1))
        _ = shared.machine.tick()
        _ = shared.machine.opened(tlsVersion: nil, token: nil)
        let said = sent(try shared.receive(#"{"type":"welcome","timestamp":"t","data":{"epoch":"e","sequence":90,"position":"e-90"}}"#))
        #expect(said == [#"{"type":"subscribe","id":"c2","data":{"channels":["logs"],"filters":{"logs":{}},"since":"e-8"}}"#])
        #expect(try shared.log(8, "error") == nil)
        #expect(try shared.log(9, "info") == .only([2]))
    }

    /// What one has asked for of before is not for who comes meanwhile.
    @Test func whoComesDuringAReplayWaitsForItsEnd() throws {
        var shared = Shared(since: "5m")
        _ = try shared.join(1, [.logs])
        #expect(sent(try shared.connect())[0].contains(#""since":"#))
        _ = try shared.join(2, [.logs])
        _ = shared.settle()
        #expect(try shared.log(3, "info") == .only([1]))
        #expect(recipients(try shared.receive(#"{"type":"caught_up","timestamp":"t","data":{"position":"e-7"}}"#)) == .only([0, 1]))
        #expect(try shared.log(8, "info") == .only([1, 2]))
    }

    @Test func aReplayThatIsRefusedHoldsNobodyUp() throws {
        var shared = Shared(since: "nonsense")
        _ = try shared.join(1, [.logs])
        _ = try shared.connect()
        _ = try shared.join(2, [.logs])
        _ = shared.settle()
        let refusal = #"{"type":"error","id":"c1","timestamp":"t","data":{"code":"invalid_message","message":"invalid since"}}"#
        #expect(recipients(try shared.receive(refusal)) == .everyone)
        _ = shared.settle()
        #expect(try shared.log(8, "info") == .only([1, 2]))
    }

    /// A channel that one may not have: the rest is acknowledged, and its replay comes.
    @Test func aReplayThatIsRefusedInPartGoesOn() throws {
        var shared = Shared(since: "5m")
        _ = try shared.join(1, [.logs, .requests])
        _ = try shared.connect()
        _ = try shared.join(2, [.logs])
        _ = try shared.receive(#"{"type":"error","id":"c1","timestamp":"t","data":{"code":"forbidden","message":"channel not allowed"}}"#)
        _ = try shared.receive(#"{"type":"ack","id":"c1","timestamp":"t","data":{"channels":["logs"]}}"#)
        _ = shared.settle()
        #expect(try shared.log(3, "info") == .only([1]))
    }

    @Test func oneWindowOfStatistics() throws {
        var shared = Shared()
        _ = try shared.join(1, [.stats], stats("5m", 10))
        _ = try shared.connect()
        for (id, filters) in [(2, stats("1h", 10)), (3, stats("5m")), (4, stats(nil, 5))] {
            let refused = try shared.join(id, [.logs, .stats], filters)
            #expect(recipients(refused) == .only([id]) && refused.last == .finish(id))
        }
        // Five minutes are what one gets without a wish.
        #expect(try shared.join(5, [.stats], stats(nil, 10)).isEmpty)
        // It has come before, so the daemon is not going to give it again.
        let member = Subscribers.Member(id: 5, wish: Subscription(channels: [.stats], filters: stats(nil, 10)), filter: try EventFilter([.stats], stats(nil, 10)))
        let actions = shared.settle()
        #expect(sent(actions).isEmpty && actions.contains { if case .present(let who, let channels) = $0 { who.id == member.id && channels == [.stats] } else { false } })
        // The client itself is told like everybody, and gets the rest of what it wanted.
        let own = shared.machine.subscribe([.stats, .logs], stats("24h"))
        #expect(recipients(own) == .only([0]) && sent(own) == [#"{"type":"subscribe","id":"c2","data":{"channels":["logs"],"filters":{"logs":{}}}}"#])
        shared.machine.leave(1)
        shared.machine.leave(5)
        #expect(try shared.join(6, [.stats], stats("1h")).isEmpty)
        #expect(sent(shared.settle()) == [#"{"type":"subscribe","id":"c3","data":{"channels":["stats"],"filters":{"stats":{"window":"1h"}}}}"#])
    }

    /// A message that the daemon had no room for is said again, whole.
    @Test func whatWasTooMuchIsSaidAgain() throws {
        var shared = Shared()
        _ = try shared.join(1, [.logs], logs("error"))
        _ = try shared.connect()
        _ = try shared.join(2, [.requests])
        #expect(sent(shared.settle()).count == 1)
        let refusal = #"{"type":"error","id":"c2","timestamp":"t","data":{"code":"rate_limited","message":"too many changes"}}"#
        #expect(recipients(try shared.receive(refusal)) == .only([0]))
        #expect(sent(shared.settle()).isEmpty)
        shared.clock.advance(.seconds(1))
        #expect(sent(shared.machine.tick()) == [
            #"{"type":"unsubscribe","id":"c3","data":{"channels":["stats","providers"]}}"#,
            #"{"type":"subscribe","id":"c4","data":{"channels":["logs","requests"],"filters":{"logs":{"level":"error"},"requests":{}}}}"#,
        ])
    }

    @Test func theEndIsEverybodys() throws {
        var shared = Shared()
        _ = try shared.join(1, [.logs])
        _ = try shared.connect()
        #expect(recipients(shared.machine.ended(.closed(.disconnectedByAdmin, reason: ""))) == .everyone)
        #expect(shared.machine.subscribers.members.isEmpty)
    }
}
