// Who may see what: rights in the fan-out, in replays and in answers; credentials that come late, are renewed, end or are taken away.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct PrincipalTests {
    private static func user(_ name: String, channels: ChannelSet = [ChannelSet(.stats), ChannelSet(.providers), ChannelSet(.requests)], expires: Instant? = nil) -> Principal {
        Principal(user: name, role: "user", rights: Rights(channels: channels, owner: Array(name.utf8)), isAdmin: false, expires: expires)
    }

    private func join(
        _ rig: Rig, _ channels: ChannelSet, as principal: Principal, change: (inout Upgrade) -> Void = { _ in }
    ) throws -> SocketClient {
        try rig.subscribe(Subscription(channels: channels, statsInterval: 5)) {
            $0 = Upgrade(subscription: $0.subscription, principal: principal)
            change(&$0)
        }
    }

    private func publish(_ rig: Rig, _ channel: Channel, _ name: String, user: String? = nil) {
        let owner = user.map { #","user_id":"\#($0)""# } ?? ""
        rig.hub.publish([
            EventDraft(channel: channel, type: "note", timestamp: rig.hub.clock.now(), data: Array(#"{"name":"\#(name)"\#(owner)}"#.utf8))
        ])
    }

    /// Names of the events that a client got up to the marker.
    private func names(_ rig: Rig, _ client: SocketClient) throws -> [String] {
        rig.publishMarker()
        var found: [String] = []
        while let message = try client.message() {
            if message["type"]?.string == "marker" { return found }
            if message["type"]?.string == "note" { found.append(message["data"]?["name"]?.string ?? "?") }
        }
        throw TestFailure("ended before the marker")
    }

    private func closeCode(_ client: SocketClient) throws -> UInt16? {
        while let frame = try client.frame() {
            if frame.opcode == 8 { return frame.payload.count >= 2 ? UInt16(frame.payload[0]) << 8 | UInt16(frame.payload[1]) : nil }
        }
        return nil
    }

    @Test func everybodySeesOwnRequestsAndNoLogs() throws {
        let rig = try Rig(shards: 1)
        let all = ChannelSet(.all)
        let clients = try [
            "ann": join(rig, all, as: Self.user("ann")), "bob": join(rig, all, as: Self.user("bob")), "admin": join(rig, all, as: .anonymous),
            "ann's requests": join(rig, ChannelSet(.requests), as: Self.user("ann")),
        ]
        publish(rig, .requests, "r-ann", user: "ann")
        publish(rig, .requests, "r-bob", user: "bob")
        publish(rig, .requests, "r-nobody")
        publish(rig, .requests, "r-longer", user: "anna")
        publish(rig, .logs, "l")
        publish(rig, .providers, "p")
        publish(rig, .all, "everyone")
        let right = [
            "ann": ["r-ann", "p", "everyone"], "bob": ["r-bob", "p", "everyone"],
            "admin": ["r-ann", "r-bob", "r-nobody", "r-longer", "l", "p", "everyone"], "ann's requests": ["r-ann", "everyone"],
        ]
        for (name, client) in clients { #expect(try names(rig, client) == right[name], "\(name)") }
        #expect(rig.imbalance() == nil)
    }

    @Test func historyGivesNoMoreThanTheLiveStream() throws {
        let rig = try Rig(shards: 1)
        for number in 0..<20 {
            publish(rig, .requests, "ann\(number)", user: "ann")
            publish(rig, .requests, "bob\(number)", user: "bob")
            publish(rig, .logs, "log\(number)")
        }
        let first = rig.hub.epoch.id(0)
        let ann = try join(rig, ChannelSet(.all), as: Self.user("ann")) { $0.replay = ReplayRequest(since: ReplayRequest.since(first)) }
        let last = try join(rig, ChannelSet(.all), as: Self.user("ann")) { $0.replay = ReplayRequest(last: 3) }
        // Its replay is over before the markers come.
        let three = try (0..<3).map { _ in try last.message()?["data"]?["name"]?.string }
        #expect(three == ["ann17", "ann18", "ann19"])
        #expect(try names(rig, ann) == (0..<20).map { "ann\($0)" })
        #expect(try names(rig, last) == [])
    }

    @Test func channelsThatAreNotAllowedAreRefusedAndTheOthersTakeEffect() throws {
        let rig = try Rig(shards: 1)
        let client = try join(rig, [], as: Self.user("ann"))
        try client.send(#"{"type":"subscribe","id":1,"data":{"channels":["logs","requests"]}}"#)
        let refusal = try client.message(ofType: "error")
        #expect(refusal["data"]?["code"]?.string == "forbidden" && refusal["data"]?["details"]?.string == "logs" && refusal["id"]?.int == 1)
        #expect(try client.message(ofType: "ack")["data"]?["channels"] == .array([.string("requests")]))
        try client.send(#"{"type":"subscribe","id":2,"data":{"channels":["logs"]}}"#)
        #expect(try client.message(ofType: "error")["data"]?["code"]?.string == "forbidden")
        try client.send(#"{"type":"subscribe","id":3,"data":{"channels":["all"]}}"#)
        #expect(try client.message(ofType: "ack")["data"]?["channels"] == .array([.string("all")]))
        // Giving up one of all leaves those that are allowed, by name.
        try client.send(#"{"type":"unsubscribe","id":4,"data":{"channels":["stats"]}}"#)
        #expect(try client.message(ofType: "ack")["data"]?["channels"] == .array([.string("providers"), .string("requests")]))
        publish(rig, .logs, "l")
        publish(rig, .requests, "mine", user: "ann")
        #expect(try names(rig, client) == ["mine"])
    }

    @Test func theRoleStandsInTheWelcome() throws {
        let rig = try Rig(shards: 1)
        let client = try join(rig, ChannelSet(.stats), as: Self.user("ann")) { $0.welcomes = true }
        #expect(try client.message(ofType: "welcome")["data"]?["role"]?.string == "user")
    }

    // MARK: the first message

    @Test func whoSaysWhoItIsByTheFirstMessageGetsNothingBefore() throws {
        let rig = try Rig(shards: 1)
        rig.desk.tokens.withLock { $0["good"] = Self.user("ann") }
        let client = try join(rig, ChannelSet(.requests), as: .unknown) {
            $0.awaitsAuthentication = true
            $0.welcomes = true
        }
        publish(rig, .requests, "before", user: "ann")
        publish(rig, .all, "for everyone")
        try client.send(#"{"type":"subscribe","id":1,"data":{"channels":["requests"]}}"#)
        #expect(try client.message()?["data"]?["code"]?.string == "unauthorized")
        try client.send(#"{"type":"auth","id":2,"data":{"token":"bad"}}"#)
        #expect(try client.message()?["data"]?["code"]?.string == "unauthorized")
        try client.send(#"{"type":"auth","id":3,"data":{}}"#)
        #expect(try client.message()?["data"]?["code"]?.string == "invalid_message")
        try client.send(#"{"type":"auth","id":4,"data":{"token":"good"}}"#)
        let ack = try client.message()
        #expect(ack?["type"]?.string == "ack" && ack?["id"]?.int == 4 && ack?["data"]?["channels"] == .array([.string("requests")]))
        #expect(try client.message()?["data"]?["role"]?.string == "user")
        publish(rig, .requests, "mine", user: "ann")
        publish(rig, .requests, "other", user: "bob")
        #expect(try names(rig, client) == ["mine"])
        #expect(rig.desk.admitted.count(of: "ann") == 1)
        client.end()
        try rig.waitForClients(0)
        #expect(rig.desk.admitted.keys == 0)
    }

    @Test func whoDoesNotSayItInTimeIsClosed() throws {
        let clock = ManualClock()
        let rig = try Rig(shards: 1, clock: clock)
        let client = try join(rig, ChannelSet(.requests), as: .unknown) { $0.awaitsAuthentication = true }
        rig.settle()
        rig.pass(Int(Wheel.ticks(Limits().authenticationTime)) + 2, on: clock)
        #expect(try closeCode(client) == 4500)
        #expect(rig.desk.admitted.keys == 0)
    }

    /// Keys take their time where many come at once: that is not the client's fault, and not its silence.
    @Test func whoIsLookedAtForLongIsNotClosedForIt() throws {
        let clock = ManualClock()
        let rig = try Rig(shards: 1, clock: clock)
        rig.desk.tokens.withLock { $0["good"] = Self.user("ann") }
        let (client, refused) = try (
            join(rig, ChannelSet(.requests), as: .unknown) { $0.awaitsAuthentication = true }, join(rig, [], as: .unknown) { $0.awaitsAuthentication = true }
        )
        rig.desk.looksLater.store(true, ordering: .relaxed)
        rig.desk.routesLater.store(true, ordering: .relaxed)
        let asks = try rig.connect()
        try asks.write(SocketClient.upgradeRequest(rig.desk.register(Upgrade(subscription: Subscription(channels: ChannelSet(.logs), statsInterval: 5)))))
        try client.send(#"{"type":"auth","id":1,"data":{"token":"good"}}"#)
        try refused.send(#"{"type":"auth","id":1,"data":{"token":"bad"}}"#)
        try waitUntil("all three wait") { rig.desk.looks.withLock { $0.count } == 3 }
        for number in 0..<2 * Wheel.ticks(Limits().clientTimeout) {
            rig.pass(1, on: clock)
            guard number % 100 == 0 else { continue }
            // Alive, and able to say so where it is connected already.
            for each in [client, refused] {
                try each.send(#"{"type":"ping"}"#)
                _ = try each.message(ofType: "pong")
            }
        }
        for look in rig.desk.looks.withLock({ $0 }) { look() }
        #expect(try client.message(ofType: "ack")["id"]?.int == 1)
        #expect(try refused.message(ofType: "error")["data"]?["code"]?.string == "unauthorized")
        #expect(try asks.answer()?.status == 101)
        // A good while longer: asked for a sign of life, as everybody is.
        for _ in 0..<Wheel.ticks(Limits().heartbeatInterval) { rig.pass(1, on: clock) }
        publish(rig, .logs, "on")
        #expect(try names(rig, asks) == ["on"])
        #expect(try closeCode(refused) == 4500)
    }

    /// A database that is away says nothing of the credential: such a client is to come back.
    @Test func whoCannotBeLookedAtIsToldToComeBack() throws {
        let rig = try Rig(shards: 1)
        rig.desk.tokens.withLock { $0["good"] = Self.user("ann") }
        let (new, known) = try (
            join(rig, [], as: .unknown) { $0.awaitsAuthentication = true }, join(rig, ChannelSet(.stats), as: Self.user("ann"))
        )
        try new.send(#"{"type":"auth","id":1,"data":{"token":"away"}}"#)
        #expect(try closeCode(new) == 1011)
        try known.send(#"{"type":"auth","id":1,"data":{"token":"away"}}"#)
        #expect(try known.message(ofType: "error")["data"]?["code"]?.string == "unauthorized")
        publish(rig, .stats, "on")
        #expect(try names(rig, known) == ["on"])
    }

    @Test func whatTheAddressAsksForMustBeAllowedToWhoItTurnsOutToBe() throws {
        let rig = try Rig(shards: 1)
        rig.desk.tokens.withLock { $0["good"] = Self.user("ann") }
        let client = try join(rig, ChannelSet(.logs), as: .unknown) { $0.awaitsAuthentication = true }
        try client.send(#"{"type":"auth","data":{"token":"good"}}"#)
        #expect(try closeCode(client) == 4503)
        client.end()
        try rig.waitForClients(0)
        #expect(rig.desk.admitted.keys == 0)
    }

    @Test func oneUserHasOnlySoManyConnections() throws {
        let rig = try Rig(shards: 1)
        let crowd = Self.user("crowd")
        let clients = try (0..<2).map { _ in try join(rig, ChannelSet(.stats), as: crowd) }
        let target = rig.desk.register(Upgrade(subscription: Subscription(channels: ChannelSet(.stats), statsInterval: 5), principal: crowd))
        let third = try rig.connect()
        try third.write(SocketClient.upgradeRequest(target))
        #expect(try third.answer()?.status == 429)
        clients[0].end()
        try rig.waitForClients(1)
        let again = try join(rig, ChannelSet(.stats), as: crowd)
        #expect(rig.desk.admitted.count(of: "crowd") == 2)
        for client in [clients[1], again] { client.end() }
    }

    // MARK: the end of a credential

    @Test func aTokenThatEndsClosesUnlessItIsRenewed() throws {
        let clock = ManualClock()
        let rig = try Rig(shards: 1, clock: clock)
        let (soon, later) = (clock.now().advanced(byMilliseconds: 10_000), clock.now().advanced(byMilliseconds: 20_000))
        rig.desk.tokens.withLock { $0["fresh"] = Self.user("ann", expires: later) }
        let ends = try join(rig, ChannelSet(.requests), as: Self.user("ann", expires: soon))
        let renewed = try join(rig, ChannelSet(.requests), as: Self.user("ann", expires: soon))
        rig.settle()
        rig.pass(30, on: clock)
        try renewed.send(#"{"type":"auth","id":1,"data":{"token":"fresh"}}"#)
        _ = try renewed.message(ofType: "ack")
        rig.settle()
        rig.pass(14, on: clock)
        #expect(try closeCode(ends) == 4001)
        publish(rig, .requests, "mine", user: "ann")
        #expect(try names(rig, renewed) == ["mine"])
        rig.pass(44, on: clock)
        #expect(try closeCode(renewed) == 4001)
    }

    @Test func whatIsTakenAwayEndsTheConnectionAndWhatIsGivenDoesNot() throws {
        let rig = try Rig(shards: 1)
        let (gone, lower, higher, same) = (Self.user("gone"), Self.user("lower", channels: .everyChannel), Self.user("higher"), Self.user("same"))
        let clients = try [gone, lower, higher, same].map { try join(rig, ChannelSet(.all), as: $0) }
        rig.settle()
        #expect(Set(rig.shards[0].queue.sync { rig.shards[0].principals() }.map(\.user)) == ["gone", "lower", "higher", "same"])
        let admin = Principal(user: "higher", role: "admin", rights: .everything, isAdmin: true)
        rig.shards[0].queue.sync {
            rig.shards[0].apply([
                gone: .revoked, lower: .changed(Self.user("lower")), higher: .changed(admin),
            ])
            rig.shards[0].finishRound()
        }
        #expect(try closeCode(clients[0]) == 4500)
        #expect(try closeCode(clients[1]) == 4503)
        publish(rig, .logs, "l")
        publish(rig, .requests, "r", user: "somebody")
        #expect(try names(rig, clients[2]) == ["l", "r"])
        #expect(try names(rig, clients[3]) == [])
    }

    @Test func whoeverIsGivenMoreKeepsWhatTheyHave() throws {
        let rig = try Rig(shards: 1)
        let ann = Self.user("ann")
        let clients = try [ChannelSet(.all), ChannelSet(.requests)].map { try join(rig, $0, as: ann) }
        rig.settle()
        rig.shards[0].queue.sync {
            rig.shards[0].apply([ann: .changed(Self.user("ann", channels: .everyChannel))])
            rig.shards[0].finishRound()
        }
        publish(rig, .logs, "l")
        publish(rig, .requests, "r-bob", user: "bob")
        publish(rig, .requests, "r-ann", user: "ann")
        #expect(try clients.map { try names(rig, $0) } == [["l", "r-ann"], ["r-ann"]])
        // Somebody else's own requests are others than those that were seen.
        rig.shards[0].queue.sync {
            for principal in rig.shards[0].principals() { rig.shards[0].apply([principal: .changed(Self.user("bob", channels: .everyChannel))]) }
            rig.shards[0].finishRound()
        }
        #expect(try clients.map { try closeCode($0) } == [4503, 4503])
    }

    /// News may come long after who they are of has gone, and memory is used again.
    @Test func newsKeepWhoTheyAreOf() throws {
        weak var gone: Principal?
        var news: [Principal: PrincipalNews] = [:]
        do {
            let ann = Self.user("ann")
            gone = ann
            news[ann] = .revoked
        }
        #expect(gone != nil && news.count == 1)
        #expect((0..<1000).allSatisfy { _ in news[Self.user("ann")] == nil })
        news = [:]
        #expect(gone == nil)
    }

    @Test func aTokenIsLookedAtOnceAtATimeAndTheConnectionMayEndMeanwhile() throws {
        let rig = try Rig(shards: 1)
        rig.desk.looksLater.store(true, ordering: .relaxed)
        rig.desk.tokens.withLock { $0["good"] = Self.user("ann") }
        let (client, leaves) = try (join(rig, ChannelSet(.requests), as: Self.user("ann")), join(rig, [], as: Self.user("ann")))
        for each in [client, leaves] {
            for number in 1...2 { try each.send(#"{"type":"auth","id":\#(number),"data":{"token":"good"}}"#) }
            let second = try each.message(ofType: "error")
            #expect(second["id"]?.int == 2 && second["data"]?["code"]?.string == "rate_limited")
        }
        leaves.end()
        try rig.waitForClients(1)
        for look in rig.desk.looks.withLock({ $0 }) { look() }
        #expect(try client.message(ofType: "ack")["id"]?.int == 1)
    }
}
