// From the socket inwards: bytes to requests, upgrades and messages.

import Base
import Glibc
import Host
import Protocol

extension Shard {
    /// Reads what a socket has, up to a bound per round.
    func receive(_ index: UInt32) {
        assertOwned()
        let client = client(index)
        if client.pointee.flags.contains(.moreInput) {
            client.pointee.flags.remove(.moreInput)
            // Requests that were read already and had to wait for room come before what the socket holds.
            if client.pointee.flags.contains(.http), client.pointee.flags.isDisjoint(with: [.inputPaused, .answering]) { serveRequests(index) }
        }
        for _ in 0..<8 {
            if client.pointee.flags.contains(.ended) { return }
            if !client.pointee.flags.isDisjoint(with: [.inputPaused, .answering]) {
                // Read on when the outbox has room; the edge has been seen, so it must be remembered.
                client.pointee.flags.insert(.moreInput)
                return
            }
            if !client.pointee.details.pausedInput.isEmpty {
                var input = client.pointee.details.pausedInput
                client.pointee.details.pausedInput = []
                input.withUnsafeMutableBytes { take($0, from: index) }
                continue
            }
            let count =
                client.pointee.flags.contains(.tls)
                ? receiveTLS(index) : recv(client.pointee.descriptor, readBuffer.baseAddress, readBuffer.count, 0)
            if count > 0 {
                client.pointee.lastReceived = tick
                metrics.received(count)
                if !admitBytes(count, of: index) { return }
                take(UnsafeMutableRawBufferPointer(rebasing: readBuffer[0..<count]), from: index)
                // A short read has emptied the socket: what comes now is a new edge (epoll(7)). But an end that was behind the data has had its
                // edge, and records of TLS may be in its library.
                if count < readBuffer.count, client.pointee.flags.isDisjoint(with: [.hungUp, .tls]) { return }
                continue
            }
            if count == 0 {
                peerEnded(index)
                return
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: return
            default:
                note(.broken(errno), of: index)
                end(index)
                return
            }
        }
        client.pointee.flags.insert(.moreInput)
        markReady(index)
    }

    private func peerEnded(_ index: UInt32) {
        let client = client(index)
        client.pointee.flags.insert(.peerEnded)
        let isStream = !client.pointee.flags.contains(.http) && client.pointee.encoding.spoken == .eventStream
        note(isStream ? .left : .vanished, of: index)
        // A half-closed HTTP peer still reads its answer; a WebSocket without close handshake is over, and so is a stream: whoever has left it looks
        // the same, and would keep its place until something is sent.
        if client.pointee.flags.contains(.http), !client.pointee.isFlushed || client.pointee.flags.contains(.answering),
            !client.pointee.flags.contains(.lingering)
        {
            client.pointee.flags.insert(.endAfterFlush)
        } else {
            end(index)
        }
    }

    private func take(_ input: UnsafeMutableRawBufferPointer, from index: UInt32) {
        let client = client(index)
        if client.pointee.flags.contains(.lingering) { return }
        if client.pointee.flags.contains(.http) {
            if client.pointee.flags.contains(.endAfterFlush) { return }
            guard let exchange = client.pointee.details.exchange else { return }
            var rest = input
            guard passProxyHeader(&rest, of: index, exchange, putBack: { exchange.input = $0 }) else { return }
            exchange.input.append(contentsOf: rest)
            serveRequests(index)
        } else if client.pointee.encoding.spoken == .webSocket {
            takeFrames(input, from: index)
        }
        // Who reads a stream has nothing more to say: it is counted (`admitBytes`) and heeded no further.
    }

    // MARK: HTTP

    /// Serves the requests that are complete in a connection's input, one after the other.
    func serveRequests(_ index: UInt32) {
        let client = client(index)
        guard let exchange = client.pointee.details.exchange else { return }
        var used = 0
        defer { if used > 0 { exchange.input.removeFirst(min(used, exchange.input.count)) } }
        do throws(HTTPError) {
            while client.pointee.flags.isDisjoint(with: [.answering, .ended, .endAfterFlush]), client.pointee.flags.contains(.http) {
                if !hasRoom(client) {
                    client.pointee.flags.insert(.inputPaused)
                    return
                }
                if exchange.head == nil {
                    guard used < exchange.input.count else { return }
                    let parsed = try parseHead(exchange, from: used)
                    guard let (head, headBytes) = parsed else {
                        // The time for a head runs from its first byte, also on a connection that has been idle.
                        if exchange.requests > 0, !exchange.isHeadTimed { schedule(index, in: Wheel.ticks(limits.requestTime)) }
                        exchange.isHeadTimed = true
                        return
                    }
                    used += headBytes
                    exchange.isHeadTimed = false
                    exchange.parser = RequestHeadParser()
                    exchange.requests += 1
                    if let refusal = refusal(of: head, index, exchange) {
                        if isOneTooMany(index) { continue }
                        answer(index, refusal, keepAlive: head.keepsAlive && head.body == .none, headOnly: head.method == "HEAD")
                        continue
                    }
                    guard let route = route(head, of: index) else { return }
                    try follow(route, head, exchange, &used, index)
                    // Answered, or something else than HTTP from now on.
                    if exchange.head == nil { continue }
                }
                guard let head = exchange.head, var decoder = exchange.decoder else { return }
                exchange.decoder = nil
                if !decoder.isComplete {
                    used += try readBody(exchange, &decoder, from: used)
                }
                guard decoder.isComplete else {
                    exchange.decoder = decoder
                    // Progress buys time, but not a byte at a time.
                    if exchange.body.count - exchange.bodyMark >= limits.bodyProgressBytes {
                        exchange.bodyMark = exchange.body.count
                        schedule(index, in: Wheel.ticks(limits.requestTime))
                    }
                    return
                }
                let request = Request(
                    head: head, body: exchange.body, peer: client.pointee.details.address, principal: client.pointee.details.principal)
                exchange.head = nil
                exchange.body = []
                respond(to: request, of: index)
            }
        } catch {
            counters.protocolErrors.add(1, ordering: .relaxed)
            countRefusal(error)
            used = exchange.input.count
            answer(index, error.response, keepAlive: false, headOnly: false)
        }
    }

    /// Asks how a request goes on.
    /// - Returns: nil where that is found out elsewhere; `follow` is called then.
    private func route(_ head: RequestHead, of index: UInt32) -> Route? {
        let client = client(index)
        let handle = ClientHandle(index: index, generation: client.pointee.generation)
        client.pointee.flags.insert(.answering)
        unschedule(index)
        let route = delegate.route(head, from: client.pointee.details.address) { [self] route in
            post { shard in
                guard let index = shard.find(handle) else { return }
                shard.client(index).pointee.flags.remove(.answering)
                shard.goOn(route, head, index)
            }
        }
        if route != nil { client.pointee.flags.remove(.answering) }
        return route
    }

    /// Goes on with a request whose route was found out elsewhere.
    private func goOn(_ route: Route, _ head: RequestHead, _ index: UInt32) {
        guard let exchange = client(index).pointee.details.exchange else { return }
        var used = 0
        do throws(HTTPError) {
            try follow(route, head, exchange, &used, index)
        } catch {
            counters.protocolErrors.add(1, ordering: .relaxed)
            countRefusal(error)
            used = exchange.input.count
            answer(index, error.response, keepAlive: false, headOnly: false)
        }
        if used > 0 { exchange.input.removeFirst(min(used, exchange.input.count)) }
        guard !client(index).pointee.flags.contains(.ended) else { return }
        if client(index).pointee.flags.contains(.http) { serveRequests(index) }
        if client(index).pointee.flags.contains(.moreInput) { markReady(index) }
    }

    /// Carries out a route; of a request whose body is to be read, `exchange.head` is set.
    private func follow(
        _ route: Route, _ head: RequestHead, _ exchange: HTTPExchange, _ used: inout Int, _ index: UInt32
    ) throws(HTTPError) {
        switch route {
        case .answer(let response):
            if isOneTooMany(index) { return }
            // The body of a refused request is not read: what follows cannot be told from a request.
            answer(index, response, keepAlive: head.keepsAlive && head.body == .none, headOnly: head.method == "HEAD")
        case .upgrade(let upgrade) where upgrade.encoding.spoken == .eventStream && head.method == "HEAD":
            if isOneTooMany(index) { return }
            answerStreamHead(index, upgrade)
        case .upgrade(let upgrade):
            let rest = Array(exchange.input[min(used, exchange.input.count)...])
            used = exchange.input.count
            self.upgrade(index, head, upgrade, rest: rest)
        case .request(let bodyBytesMax, let principal):
            if isOneTooMany(index) { return }
            try BodyDecoder.check(head.body, bytesMax: bodyBytesMax)
            client(index).pointee.details.principal = principal
            exchange.head = head
            exchange.decoder = BodyDecoder(framing: head.body, bytesMax: bodyBytesMax)
            exchange.body = []
            exchange.bodyMark = 0
            if head.expectsContinue, head.body != .none {
                send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8), to: index)
            }
            schedule(index, in: Wheel.ticks(limits.requestTime))
        }
    }

    private func parseHead(_ exchange: HTTPExchange, from used: Int) throws(HTTPError) -> (head: RequestHead, headBytes: Int)? {
        let input = exchange.input
        return try input.span.bytes.withUnsafeBytes { bytes throws(HTTPError) in
            try exchange.parser.parse(UnsafeRawBufferPointer(rebasing: bytes[used...]))
        }
    }

    private func readBody(_ exchange: HTTPExchange, _ decoder: inout BodyDecoder, from used: Int) throws(HTTPError) -> Int {
        let input = exchange.input
        return try input.span.bytes.withUnsafeBytes { bytes throws(HTTPError) in
            try decoder.feed(UnsafeRawBufferPointer(rebasing: bytes[used...]), into: &exchange.body)
        }
    }

    private func respond(to request: Request, of index: UInt32) {
        let client = client(index)
        let handle = ClientHandle(index: index, generation: client.pointee.generation)
        let keepAlive = request.head.keepsAlive
        let headOnly = request.head.method == "HEAD"
        client.pointee.flags.insert(.answering)
        unschedule(index)
        let response = delegate.respond(to: request) { [self] response in
            post { shard in
                guard let index = shard.find(handle) else { return }
                shard.client(index).pointee.flags.remove(.answering)
                shard.answer(index, response, keepAlive: keepAlive, headOnly: headOnly)
                shard.serveRequests(index)
                if shard.client(index).pointee.flags.contains(.moreInput) { shard.markReady(index) }
            }
        }
        if let response {
            client.pointee.flags.remove(.answering)
            answer(index, response, keepAlive: keepAlive, headOnly: headOnly)
        }
    }

    /// Counts a connection among those that ask for something else than an upgrade.
    /// - Returns: true where there are too many, after the answer that says so.
    private func isOneTooMany(_ index: UInt32) -> Bool {
        let client = client(index)
        guard !client.pointee.flags.contains(.plainHTTP) else { return false }
        client.pointee.flags.insert(.plainHTTP)
        guard hub.httpConnections.add(1, ordering: .relaxed).newValue > limits.httpConnectionsMax else { return false }
        counters.refused.add(1, ordering: .relaxed)
        hub.refusals.add(.httpConnections)
        answer(
            index, .error(503, "more than \(limits.httpConnectionsMax) other HTTP connections", fields: [("Retry-After", "5")]), keepAlive: false,
            headOnly: false)
        return true
    }

    /// Sends a response; without `keepAlive` the connection ends after it.
    func answer(_ index: UInt32, _ response: Response, keepAlive: Bool, headOnly: Bool) {
        let client = client(index)
        guard !client.pointee.flags.contains(.ended) else { return }
        metrics.answered(response.status)
        let isCrowded = client.pointee.flags.contains(.plainHTTP) && hub.httpConnections.load(ordering: .relaxed) > limits.idleConnectionsMax
        let stays = keepAlive && !isDraining && !isCrowded && !client.pointee.flags.contains(.peerEnded)
        if !stays { client.pointee.flags.insert(.endAfterFlush) }
        schedule(index, in: stays ? Wheel.ticks(limits.keepAliveTime) : lastWait(client))
        send(response.serialize(keepAlive: stays, headOnly: headOnly), to: index)
    }

    // MARK: upgrade

    private func upgrade(_ index: UInt32, _ head: RequestHead, _ upgrade: Upgrade, rest: [UInt8]) {
        let client = client(index)
        if isDraining {
            var stopping = Response.stopping
            stopping.fields += upgrade.fields
            answer(index, stopping, keepAlive: false, headOnly: false)
            return
        }
        let fields = [("Retry-After", "5")] + upgrade.fields
        if hub.clients.add(1, ordering: .relaxed).newValue > limits.clientsMax {
            hub.clients.subtract(1, ordering: .relaxed)
            counters.refused.add(1, ordering: .relaxed)
            hub.refusals.add(.maxClients)
            logRefused(index, "websocket.max_clients (\(limits.clientsMax)) is reached")
            answer(
                index, .error(503, "max_clients (\(limits.clientsMax)) is reached", fields: fields), keepAlive: false, headOnly: false)
            return
        }
        if upgrade.awaitsAuthentication, hub.awaiting.add(1, ordering: .relaxed).newValue > limits.awaitingMax {
            hub.awaiting.subtract(1, ordering: .relaxed)
            hub.clients.subtract(1, ordering: .relaxed)
            counters.refused.add(1, ordering: .relaxed)
            hub.refusals.add(.awaitingAuthentication)
            logRefused(index, "\(limits.awaitingMax) clients have still to say who they are")
            answer(
                index, .error(503, "too many clients have still to say who they are", fields: fields), keepAlive: false, headOnly: false)
            return
        }
        switch upgrade.awaitsAuthentication ? .admitted(nil) : delegate.admit(upgrade.principal) {
        case .admitted(let place): client.pointee.details.place = place
        case .refused(let refusal):
            hub.clients.subtract(1, ordering: .relaxed)
            counters.refused.add(1, ordering: .relaxed)
            hub.refusals.add(.connectionsPerUser)
            logRefused(index, refusal)
            answer(index, .error(429, refusal, fields: fields), keepAlive: false, headOnly: false)
            return
        }
        if upgrade.encoding.form == .messagePack {
            client.pointee.receiver = FrameReceiver(messageBytesMax: limits.messageBytesMax, acceptsText: false, acceptsBinary: true)
        }
        guard beginCompression(index, upgrade.compression) else {
            hub.clients.subtract(1, ordering: .relaxed)
            if upgrade.awaitsAuthentication { hub.awaiting.subtract(1, ordering: .relaxed) }
            client.pointee.details.place = nil
            answer(index, .error(503, "out of memory", fields: fields), keepAlive: false, headOnly: false)
            return
        }
        if client.pointee.flags.contains(.plainHTTP) { hub.httpConnections.subtract(1, ordering: .relaxed) }
        client.pointee.flags.subtract([.http, .plainHTTP])
        client.pointee.encoding = upgrade.encoding
        client.pointee.details.exchange = nil
        client.pointee.details.userAgent = String(ForeignText.masked(head.first("user-agent") ?? "").prefix(200))
        if upgrade.heartbeatIsJSON { client.pointee.flags.insert(.jsonHeartbeat) }
        counters.clients.add(1, ordering: .relaxed)
        metrics.begin(upgrade.encoding.spoken)
        hub.beginFrames(upgrade.encoding)
        logConnected(index, path: head.path, upgrade.subscription.channels)
        enqueueAnswer(to: head, upgrade, for: index)
        exemptWaiting(of: client)
        // It may have waited long for its credential to be looked at, and had no chance to show life.
        client.pointee.lastReceived = tick
        // As if it had been pinged up to half an interval ago: pings are spread from the start, however many come at once.
        let interval = max(1, Wheel.ticks(limits.heartbeatInterval))
        let phase = UInt32.random(in: 0...interval / 2, using: &random)
        client.pointee.lastPing = tick &- phase
        schedule(index, in: interval - phase)
        if upgrade.awaitsAuthentication {
            client.pointee.details.awaiting = AwaitedUpgrade(upgrade, since: tick)
            client.pointee.details.principal = .unknown
            client.pointee.details.subscription.rights = .nothing
            schedule(index, in: min(interval - phase, Wheel.ticks(limits.authenticationTime)))
            drain(index)
        } else {
            client.pointee.details.principal = upgrade.principal
            if upgrade.principal.expires != nil { schedule(index, in: 1) }
            start(upgrade, with: upgrade.subscription, index)
        }
        if !rest.isEmpty {
            var input = rest
            input.withUnsafeMutableBytes { take($0, from: index) }
        }
    }

    /// Gives a client what its address asked for.
    func start(_ upgrade: Upgrade, with subscription: Subscription, _ index: UInt32) {
        let role = client(index).pointee.details.principal.role
        subscribe(
            index, to: subscription, fresh: subscription.channels,
            answer: {
                enqueueOpening(upgrade, for: index)
                guard upgrade.welcomes else { return nil }
                return .welcome(
                    epoch: hub.epoch, sequence: cursor - 1, position: settled(before: upgrade.replay), limits: limits, role: role,
                    at: hub.clock.now())
            }, replay: upgrade.replay)
    }

    // MARK: WebSocket

    private func takeFrames(_ input: UnsafeMutableRawBufferPointer, from index: UInt32) {
        let client = client(index)
        let details = client.pointee.details
        var rest = input
        while client.pointee.flags.isDisjoint(with: [.ended, .endAfterFlush]) {
            guard hasRoom(client) else {
                client.pointee.flags.insert(.inputPaused)
                client.pointee.details.pausedInput = Array(rest)
                return
            }
            guard let action = client.pointee.receiver.next(&rest, inflater(for: client), { window(of: details) }) else { return }
            switch action {
            case .message(let opcode, let payload):
                counters.messagesReceived.add(1, ordering: .relaxed)
                // What it becomes costs time, however few bytes it was.
                if client.pointee.receiver.isMessageCompressed, !admitBytes(payload.count, of: index) { return }
                if !client.pointee.flags.isDisjoint(with: [.closing, .draining]) || !admit(index) { continue }
                if let answer = delegate.intercept(opcode, payload) {
                    send(hub.framer.frame(answer.opcode, answer.payload, client.pointee.encoding.compression), to: index)
                } else {
                    converse(payload, with: index)
                }
            case .ping(let payload):
                // Each is answered, so it costs what a message does.
                if client.pointee.flags.isDisjoint(with: [.closing, .draining]), !admit(index) { continue }
                send(FrameWriter.frame(.pong, payload), to: index)
            case .pong: break
            case .close(let code, _):
                // RFC 6455 §5.5.1: the answer carries the code that came. If we began, it has been answered now.
                if client.pointee.flags.contains(.closing) {
                    client.pointee.flags.insert(.endAfterFlush)
                    if client.pointee.ring.isEmpty { drain(index) }
                } else {
                    note(.closedByPeer(code), of: index)
                    finishAndEnd(index, FrameWriter.close(code))
                }
            case .fail(let code, let reason):
                counters.protocolErrors.add(1, ordering: .relaxed)
                if code == .messageTooBig { hub.refusals.add(.messageBytes) }
                note(.failed(code, reason), of: index)
                finishAndEnd(index, FrameWriter.close(code, reason))
            }
        }
    }

    /// Whether a message is within `messagesPerSecond`. The first one beyond is answered with an error, further ones are not
    /// carried out, and who goes on in spite of it is closed.
    private func admit(_ index: UInt32) -> Bool {
        let client = client(index)
        guard limits.messagesPerSecond > 0 else { return true }
        let limit = UInt64(limits.messagesPerSecond)
        let passed = tick &- client.pointee.messagesSince
        if passed >= UInt32(1000 / Wheel.tickMilliseconds) {
            client.pointee.messagesSince = tick
            client.pointee.messages = 0
        }
        client.pointee.messages += 1
        if client.pointee.messages <= limit { return true }
        counters.rateLimited.add(1, ordering: .relaxed)
        if client.pointee.messages == limit + 1 {
            refuse(
                MessageError(
                    code: .rateLimited, message: "more than \(limit) messages in a second",
                    details: "this one was not carried out; twice as many end the connection"), to: index)
        } else if client.pointee.messages > 2 * limit {
            if client.pointee.flags.isDisjoint(with: [.closing, .ended]) { hub.refusals.add(.messagesPerSecond) }
            close(index, .flood)
        }
        return false
    }

    /// Puts our last words into the ring; nothing follows them.
    func finish(_ index: UInt32, _ words: [UInt8]) {
        let client = client(index)
        enqueue(words, for: index)
        client.pointee.flags.insert(.closing)
        // Nobody answers the end of a stream.
        if client.pointee.encoding.spoken == .eventStream { client.pointee.flags.insert(.endAfterFlush) }
        leaveGroups(index)
        schedule(index, in: lastWait(client))
    }

    /// Sends our close frame as the last word of the connection.
    private func finishAndEnd(_ index: UInt32, _ frame: [UInt8]) {
        finish(index, frame)
        client(index).pointee.flags.insert(.endAfterFlush)
        if !client(index).pointee.flags.contains(.blocked) { drain(index) }
    }

    /// Begins the close handshake from our side, or ends a stream.
    func close(_ index: UInt32, _ code: CloseCode) {
        let client = client(index)
        guard client.pointee.flags.isDisjoint(with: [.closing, .ended, .http]) else { return }
        // What has not begun is not sent any more: a client that is closed for being slow would never see the frame behind it.
        withdrawUnbegun(index)
        note(.closed(code), of: index)
        finish(index, hub.framer.lastWords(code, as: client.pointee.encoding))
        if !client.pointee.flags.contains(.blocked) { drain(index) }
    }
}
