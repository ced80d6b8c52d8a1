// Whose connection it is: the word of trusted proxies about addresses, and the limits that go by these.

import Base
import Glibc
import Host
import Protocol

/// What is known of the way by which an HTTP connection has come. Confined to the shard's queue.
struct ProxyWay {
    /// What has come so far of what may be a PROXY header; nil once that is settled.
    var preface: [UInt8]? = []
    /// As the socket or the PROXY header says.
    var peer: PeerAddress
    /// The client that the last request was counted for.
    var client: IPAddress?

    init(_ peer: PeerAddress) {
        self.peer = peer
        if peer.isLocal { preface = nil }
    }
}

extension Shard {
    /// Takes a PROXY header off the first bytes of a connection, before they mean anything else.
    ///
    /// Bytes that turn out to be none of a header, and had to be kept for that, are put back in front through `putBack`.
    /// - Parameter input: what was received; goes on behind the header.
    /// - Returns: false where there is nothing to go on with: more is needed, or the connection is being refused.
    func passProxyHeader(
        _ input: inout UnsafeMutableRawBufferPointer, of index: UInt32, _ exchange: HTTPExchange, putBack: ([UInt8]) -> Void
    ) -> Bool {
        guard let kept = exchange.way.preface else { return true }
        var reading: ProxyHeader.Reading
        var bytes = kept
        if kept.isEmpty {
            reading = ProxyHeader.read(UnsafeRawBufferPointer(input))
        } else {
            // No header is longer, so what is beyond need not be copied.
            bytes.append(contentsOf: input.prefix(ProxyHeader.bytesMax))
            reading = bytes.withUnsafeBytes { ProxyHeader.read($0) }
        }
        switch reading {
        case .absent:
            exchange.way.preface = nil
            if !kept.isEmpty { putBack(kept) }
            return true
        case .incomplete:
            exchange.way.preface = kept.isEmpty ? Array(input) : bytes
            return false
        case .header(let header, let count) where isTrusted(exchange):
            exchange.way.preface = nil
            input = UnsafeMutableRawBufferPointer(rebasing: input[(count - kept.count)...])
            return follow(header, of: index, exchange)
        case .header, .malformed:
            refuse(reading, of: index, exchange)
            return false
        }
    }

    /// The same before a TLS hello, for a connection that begins with something else: what has come is looked at in the socket, and only
    /// a header that counts is taken from there. What comes within TLS is the client's own, and never such a header.
    /// - Returns: `.absent` where there is none; nil where it was refused, and answered.
    func passProxyHeaderBeforeTLS(of index: UInt32, _ exchange: HTTPExchange) -> BeforeTLS? {
        guard exchange.way.preface != nil else { return .absent }
        let descriptor = client(index).pointee.descriptor
        let count = recv(descriptor, readBuffer.baseAddress, min(readBuffer.count, ProxyHeader.bytesMax), Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        // Ended or broken meanwhile: the next look at the socket tells.
        guard count > 0 else { return .incomplete }
        let reading = ProxyHeader.read(UnsafeRawBufferPointer(rebasing: readBuffer[0..<count]))
        switch reading {
        case .absent: return .absent
        case .incomplete: return .incomplete
        case .header(let header, let count) where isTrusted(exchange):
            exchange.way.preface = nil
            // It was there a moment ago, and nobody else reads here.
            guard recv(descriptor, readBuffer.baseAddress, count, Int32(MSG_DONTWAIT)) == count else { return .incomplete }
            return follow(header, of: index, exchange) ? .passed : nil
        case .header, .malformed:
            refuse(reading, of: index, exchange)
            return nil
        }
    }

    /// What stands before a TLS hello.
    enum BeforeTLS { case absent, incomplete, passed }

    private func isTrusted(_ exchange: HTTPExchange) -> Bool { exchange.way.peer.address.map { limits.trustedProxies.contains($0) } ?? false }

    /// A header that does not count, or none that can be understood.
    private func refuse(_ reading: ProxyHeader.Reading, of index: UInt32, _ exchange: HTTPExchange) {
        exchange.way.preface = nil
        counters.protocolErrors.add(1, ordering: .relaxed)
        hub.refusals.add(.proxyHeader)
        var what = "a PROXY header from \(exchange.way.peer.host), which is not among server.trusted_proxies"
        if case .malformed(let why) = reading, isTrusted(exchange) { what = why }
        answerBeforeTLS(.error(400, what), index)
    }

    /// From now on the connection is that of whom the header names.
    private func follow(_ header: ProxyHeader, of index: UInt32, _ exchange: HTTPExchange) -> Bool {
        let before = exchange.way.peer
        // Never loopback: what comes through a proxy has none of the rights of this machine, whatever address it is told to have.
        let peer: PeerAddress =
            if let source = header.source {
                PeerAddress(host: source.address.description, port: source.port, isLoopback: false)
            } else if case .network(let host, let port, _) = before { PeerAddress(host: host, port: port, isLoopback: false) } else { before }
        exchange.way.peer = peer
        client(index).pointee.details.address = peer
        guard let address = header.source?.address, !limits.trustedProxies.contains(address) else { return true }
        guard let refused = count(address, for: index, exchange) else { return true }
        answerBeforeTLS(refused, index)
        return false
    }

    /// Answers somebody with whom no TLS was spoken yet without it; on a plain connection as usual.
    func answerBeforeTLS(_ response: Response, _ index: UInt32) {
        let isBeforeTLS = client(index).pointee.flags.contains(.handshaking)
        if isBeforeTLS { leaveTLS(index) }
        answer(index, response, keepAlive: false, headOnly: false)
        guard isBeforeTLS else { return }
        // What it has sent is read: closing over it would reset the connection, and the answer with it.
        client(index).pointee.flags.insert(.moreInput)
        markReady(index)
    }

    /// Finds out whose request it is that a trusted proxy passes on, and whether that address may have another.
    ///
    /// A proxy may use one connection for many clients: the connection is counted for the one that has asked last.
    /// - Returns: nil where it may go on, else the answer.
    func refusal(of head: RequestHead, _ index: UInt32, _ exchange: HTTPExchange) -> Response? {
        guard !limits.trustedProxies.isEmpty, let peer = exchange.way.peer.address, limits.trustedProxies.contains(peer) else { return nil }
        let address = ForwardedChain.client(of: head, peer: peer, trusted: limits.trustedProxies)
        guard address != exchange.way.client else { return nil }
        client(index).pointee.details.address = address == peer ? exchange.way.peer : PeerAddress(host: address.description, port: 0, isLoopback: false)
        return count(address, for: index, exchange)
    }

    /// Counts a connection for an address instead of the one before.
    private func count(_ address: IPAddress, for index: UInt32, _ exchange: HTTPExchange) -> Response? {
        let details = client(index).pointee.details
        details.admission = nil
        exchange.way.client = address
        switch hub.gate.admit(address) {
        case .admitted(let admission):
            details.admission = admission
            return nil
        case .refused(let refused):
            exchange.way.client = nil
            counters.refused.add(1, ordering: .relaxed)
            logRefused(index, refused.what)
            return .error(429, refused.what, fields: [("Retry-After", String(refused.retryAfter))])
        }
    }

    /// Whether a client keeps to `bytesPerSecond`; it is closed where not, and cut off where it goes on all the same.
    /// - Returns: false where it is over.
    func admitBytes(_ count: Int, of index: UInt32) -> Bool {
        let client = client(index)
        guard limits.bytesPerSecond > 0, !client.pointee.flags.contains(.http) else { return true }
        if tick &- client.pointee.bytesSince >= UInt32(1000 / Wheel.tickMilliseconds) {
            client.pointee.bytesSince = tick
            client.pointee.bytesReceived = 0
        }
        let before = client.pointee.bytesReceived
        client.pointee.bytesReceived += count
        // One message may be as long as is allowed, however little that leaves for others.
        let limit = limits.bytesPerSecond + limits.messageBytesMax
        guard client.pointee.bytesReceived > limit else { return true }
        if before <= limit {
            counters.rateLimited.add(1, ordering: .relaxed)
            if client.pointee.flags.isDisjoint(with: [.closing, .ended]) { hub.refusals.add(.bytesPerSecond) }
            close(index, .flood)
        } else if client.pointee.bytesReceived > 4 * limit {
            end(index)
            return false
        }
        return true
    }
}
