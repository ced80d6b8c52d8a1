// What a client decides: when to connect, what to say, what to tell. No socket, no thread: inputs are what happened, outputs are what to do.

import Base
import Protocol

/// The logic of one client. Owner: one thread. Times come from the clock only, so that tests hold it still.
struct Machine {
    /// Without a sign of life for so long, the connection is given up. In nanoseconds, as all times here. More than two pings of ours.
    static let silenceMax: UInt64 = 70_000_000_000
    /// From the beginning of an attempt to an open WebSocket; looking for the address and for a token included.
    static let openingTime: UInt64 = 30_000_000_000
    /// How often we ping: the answer is a sign of life, and tells the position.
    static let pingTime: UInt64 = 25_000_000_000

    enum Action: Equatable {
        /// Begin an attempt. The end of it, whatever it is, comes back as `opened` or `ended`.
        case open(renewsToken: Bool)
        case send(String)
        /// Give up the connection or the attempt; no `ended` is to follow.
        case drop(CloseCode?)
        case tell(ClientEvent, to: Recipients = .everyone)
        /// Give a subscriber the present state of these channels, as it was told before.
        case present(Subscribers.Member, Set<Channel>)
        /// Nothing more comes for this subscriber.
        case finish(SubscriberID)
        /// Ask for a fresh token, which comes back as `renewed`.
        case renewToken
    }

    enum Phase: Equatable {
        case idle
        case opening(deadline: UInt64)
        case open
        case waiting(until: UInt64, renewsToken: Bool)
        case stopped
    }

    let clock: any Clock
    private(set) var phase = Phase.idle
    private var reconnect: Reconnect
    var position: Position
    var subscribers: Subscribers
    private var tokenClock = TokenClock()

    // Of the present connection.
    private var session = ConnectionState.Session()
    private(set) var isTold = false
    /// What the daemon has been asked for; nil where it may not have heard all of it.
    var asked: Subscription?
    /// The message that asked first, and whether what it wanted of before is still coming.
    var askID = ""
    var isReplaying = false
    /// Something of that message was refused; behind its `ack` it is a part only.
    var isAskRefused = false
    /// Messages that followed the subscribers, and are not answered yet.
    var syncs: Set<String> = []
    /// Somebody has come or gone since.
    var isStale = false
    var nextSync: UInt64 = 0
    private var lastSign: UInt64 = 0
    private var nextPing: UInt64 = 0
    private var messages = 0

    init(clock: any Clock, seed: UInt64, subscription: Subscription, position: Position, canRenew: Bool) {
        self.clock = clock
        subscribers = Subscribers(own: subscription)
        self.position = position
        reconnect = Reconnect(seed: seed, canRenew: canRenew)
    }

    /// When `tick` is to be called, if nothing happens before; nil: never.
    var deadline: UInt64? {
        switch phase {
        case .idle, .stopped: nil
        case .opening(let deadline): deadline
        case .waiting(let until, _): until
        case .open: min(lastSign &+ Machine.silenceMax, nextPing, tokenClock.deadline ?? .max, isStale && isTold ? nextSync : .max)
        }
    }

    /// Whether there is anything to wait for.
    var isBusy: Bool { phase != .idle && phase != .stopped }

    // MARK: what the application wants

    mutating func start() -> [Action] {
        guard phase == .idle || phase == .stopped else { return [] }
        return begin(renewsToken: false)
    }

    mutating func stop() -> [Action] {
        guard phase != .stopped else { return [] }
        let wasConnected = phase == .open
        phase = .stopped
        subscribers.removeAll()
        return [.drop(wasConnected ? .normal : nil), .tell(.state(.stopped(.init(cause: .asked, why: "stopped"))))]
    }

    // MARK: what happened

    /// The WebSocket is open.
    /// - Parameter token: with which it was opened.
    mutating func opened(tlsVersion: String?, token: String?) -> [Action] {
        guard case .opening = phase else { return [] }
        let now = clock.monotonic()
        phase = .open
        reconnect.opened(at: now)
        session = ConnectionState.Session(tlsVersion: tlsVersion)
        isTold = false
        asked = Subscription(channels: [], filters: Filters())
        isReplaying = false
        syncs = []
        nextSync = now
        lastSign = now
        nextPing = now &+ Machine.pingTime
        tokenClock.begin(reconnect.canRenew ? token : nil, at: clock)
        return []
    }

    /// The connection or the attempt has ended.
    mutating func ended(_ ending: Ending) -> [Action] {
        switch phase {
        case .opening, .open: break
        case .idle, .waiting, .stopped: return []
        }
        let now = clock.monotonic()
        switch reconnect.ended(ending, at: now) {
        case .stop:
            phase = .stopped
            subscribers.removeAll()
            return [.tell(.state(.stopped(.init(cause: ending.cause, why: ending.why))))]
        case .wait(let nanoseconds, let renewsToken):
            phase = .waiting(until: now &+ nanoseconds, renewsToken: renewsToken)
            let until = clock.now().advanced(byMilliseconds: Int64(nanoseconds / 1_000_000))
            return [.tell(.state(.waiting(until: until, attempt: reconnect.failures, why: ending.why)))]
        }
    }

    /// Any bytes have come.
    mutating func sawLife() { lastSign = clock.monotonic() }

    /// A ping of RFC 6455, whose payload may be a position.
    mutating func pinged(_ payload: String) {
        let id = EventID(payload)
        if id.sequence != nil { position.told(id) }
    }

    /// A message has come.
    mutating func received(_ envelope: Envelope) -> [Action] {
        guard phase == .open else { return [] }
        if envelope.type == "welcome" { return welcomed(envelope) }
        // A server that does not say welcome is connected all the same.
        var actions = isTold ? [] : connected()
        switch envelope.type {
        case "ping":
            if let id = envelope.position { position.told(id) }
            actions.append(.send("{\"type\":\"pong\"}"))
        case "pong": if let id = envelope.position { position.told(id) }
        case "ack":
            position.acknowledged()
            if let id = envelope.id?.text {
                syncs.remove(id)
                if id == askID { isAskRefused = false }
            }
        case "drain":
            reconnect.drains(milliseconds: envelope.data.integer("reconnect_in_ms"))
            if let id = envelope.position { position.told(id) }
        default:
            guard let event = envelope.event else { break }
            switch event {
            case .caughtUp(let caughtUp):
                position.caughtUp(caughtUp.position)
                isReplaying = false
                actions.append(.tell(event, to: subscribers.recipients(of: event, envelope)))
                actions += activate(fresh: [])
            case .error(let error): actions.append(.tell(event, to: refused(envelope.id?.text, error.code)))
            default: if position.takes(event) { actions.append(.tell(event, to: subscribers.recipients(of: event, envelope))) }
            }
        }
        return actions
    }

    private mutating func welcomed(_ envelope: Envelope) -> [Action] {
        let data = envelope.data
        session.role = data.text("role")
        session.epoch = data.text("epoch")
        session.heartbeatInterval = data.integer("heartbeat_interval")
        session.clientTimeout = data.integer("client_timeout")
        position.welcomed(at: envelope.timestamp, position: envelope.position)
        return isTold ? [] : connected()
    }

    /// Tells the application, and says what is wanted.
    private mutating func connected() -> [Action] {
        isTold = true
        var actions: [Action] = [.tell(.state(.connected(session)))]
        if !subscribers.union.channels.isEmpty { actions.append(ask()) }
        return actions
    }

    /// A fresh token, or none where asking has failed.
    mutating func renewed(_ token: String?) -> [Action] {
        guard phase == .open, let token else {
            tokenClock.failed(at: clock)
            return []
        }
        tokenClock.begin(token, at: clock)
        var json = JSONWriter()
        json.beginObject()
        json.key("type")
        json.string("auth")
        json.key("id")
        json.string(nextID())
        json.key("data")
        json.beginObject()
        json.key("token")
        json.string(token)
        json.endObject()
        json.endObject()
        return [.send(json.text)]
    }

    /// Time has passed.
    mutating func tick() -> [Action] {
        let now = clock.monotonic()
        switch phase {
        case .idle, .stopped: return []
        case .waiting(let until, let renewsToken): return now >= until ? begin(renewsToken: renewsToken) : []
        case .opening(let deadline):
            guard now >= deadline else { return [] }
            return [.drop(nil)] + ended(.failed("no connection within \(Machine.openingTime / 1_000_000_000) s"))
        case .open:
            if now &- lastSign >= Machine.silenceMax { return [.drop(nil)] + ended(.silent) }
            var actions: [Action] = []
            if isTold, isStale, now >= nextSync { actions += sync() }
            if now >= nextPing {
                nextPing = now &+ Machine.pingTime
                // The server says welcome at once, so whoever has not heard it by now gets no further by waiting.
                if !isTold { actions += connected() }
                actions.append(.send("{\"type\":\"ping\"}"))
            }
            if let due = tokenClock.deadline, now >= due {
                tokenClock.asked()
                actions.append(.renewToken)
            }
            return actions
        }
    }

    private mutating func begin(renewsToken: Bool) -> [Action] {
        phase = .opening(deadline: clock.monotonic() &+ Machine.openingTime)
        return [.tell(.state(.connecting)), .open(renewsToken: renewsToken)]
    }

    mutating func nextID() -> String {
        messages += 1
        return "c\(messages)"
    }
}
