// From nothing to an open WebSocket, for many clients at once.

import Base
import CLinux
import Glibc
import Host
import Protocol

extension Worker {
    /// Handshakes under way, at most: what a server's queue of new connections takes.
    private static let underWayMax = 64
    /// Any key does: it proves nothing about the client.
    private static let key = "Z29sZWFwYWktd3MtYmVuYw=="
    private static let accept = Handshake.accept(for: key)

    /// Begins as many connections as may be under way.
    func connectMore() {
        guard let address else { return }
        while underWay < Worker.underWayMax, nextToConnect < range.count {
            let client = nextToConnect
            do throws(SystemError) {
                let source = address.isLoopback ? (range.lowerBound + client) / BenchPlan.clientsPerSource : nil
                let descriptor = try address.connect(from: source).release()
                var side: TLSClient?
                if let tls {
                    side = TLSClient(descriptor, tls, host: plan.target.host)
                    if side == nil {
                        close(descriptor)
                        throw SystemError("SSL_new", ENOMEM)
                    }
                }
                connections[client].link = Link(owning: descriptor, tls: side)
                connections[client].phase = .connecting
                guard watch(descriptor, UInt64(client), clinux_EPOLLOUT) else { throw SystemError("epoll_ctl") }
            } catch {
                return fail("client \(range.lowerBound + client): \(error)")
            }
            nextToConnect += 1
            underWay += 1
        }
        if connected == range.count {
            hasConnected = true
            report(.connected(nanoseconds: clock.monotonic() - connectStart))
        }
    }

    /// The next step of a client that is not open yet.
    func advance(_ client: Int, _ what: UInt32) {
        guard let link = connections[client].link else { return }
        switch connections[client].phase {
        case .connecting:
            let code = ServerAddress.failure(of: link.descriptor)
            guard code == 0 else { return fail("client \(range.lowerBound + client) cannot connect: \(SystemError.text(of: code))") }
            connections[client].phase = .securing
            secure(client, link)
        case .securing: secure(client, link)
        case .upgrading: readAnswer(client, link)
        case .slow:
            // Nothing but an end can happen; it is counted when it is asked for.
            epoll_ctl(epoll, EPOLL_CTL_DEL, link.descriptor, nil)
        case .unborn, .open, .ended: break
        }
    }

    private func secure(_ client: Int, _ link: Link) {
        switch link.handshake() {
        case .bytes:
            connections[client].phase = .upgrading
            var request = "GET \(plan.requestTarget(range.lowerBound + client)) HTTP/1.1\r\nHost: \(plan.target.hostField)\r\n"
            request += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \(Worker.key)\r\n"
            if let subprotocol = plan.encoding.subprotocol { request += "Sec-WebSocket-Protocol: \(subprotocol)\r\n" }
            if let authorization = plan.authorization { request += "Authorization: \(authorization)\r\n" }
            if plan.compresses { request += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n" }
            let bytes = Array((request + "\r\n").utf8)
            // A new socket takes some kilobytes at once.
            guard case .bytes(bytes.count) = bytes.withUnsafeBytes({ link.write($0) }) else {
                return fail("client \(range.lowerBound + client): the request could not be sent")
            }
            rewatch(link.descriptor, UInt64(client), clinux_EPOLLIN)
        case .wait: rewatch(link.descriptor, UInt64(client), clinux_EPOLLIN)
        case .waitToWrite: rewatch(link.descriptor, UInt64(client), clinux_EPOLLOUT)
        case .closed: fail("client \(range.lowerBound + client): the server has closed the connection during the TLS handshake")
        case .failed(let why): fail("client \(range.lowerBound + client): TLS: \(why)")
        }
    }

    private func readAnswer(_ client: Int, _ link: Link) {
        guard let check else { return }
        let number = range.lowerBound + client
        var bytes = heads[client] ?? []
        let known = bytes.count
        // One record of TLS at least.
        bytes.append(contentsOf: repeatElement(0, count: 65_536))
        var isOver = false
        switch bytes.withUnsafeMutableBytes({ link.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[known...])) }) {
        case .bytes(let count): bytes.removeLast(bytes.count - known - count)
        case .wait, .waitToWrite: return
        case .closed:
            bytes.removeLast(bytes.count - known)
            isOver = true
        case .failed(let why): return fail("client \(number): \(why)")
        }
        let head: AnswerHead
        switch AnswerHead.parse(bytes) {
        case .incomplete where !isOver:
            heads[client] = bytes
            return
        case .incomplete: return fail("client \(number): the server has closed the connection without an answer")
        case .broken: return fail("client \(number): this is no answer: \(String(decoding: bytes.prefix(80), as: UTF8.self))")
        case .head(let found): head = found
        }
        guard head.status == 101 else {
            let body = bytes.dropFirst(head.headBytes).prefix(head.bodyBytes ?? .max)
            if !isOver, body.count < head.bodyBytes ?? 0 {
                heads[client] = bytes
                return
            }
            return fail("client \(number) was refused: \(head.status) \(String(decoding: body.prefix(400), as: UTF8.self))\(Worker.hint(head.status))")
        }
        guard head.first("sec-websocket-accept") == Worker.accept else { return fail("client \(number): Sec-WebSocket-Accept is not the answer to our key") }
        guard head.first("sec-websocket-protocol") == plan.encoding.subprotocol else { return fail("client \(number): the server does not speak \(plan.encoding.rawValue)") }
        if plan.compresses, head.first("sec-websocket-extensions")?.hasPrefix("permessage-deflate") != true {
            return fail("client \(number): the server does not compress; is compression.enabled false?")
        }
        heads[client] = nil
        connections[client].phase = client < check.count ? .open : .slow
        if client >= check.count { rewatch(link.descriptor, UInt64(client), 0) }
        underWay -= 1
        connected += 1
        lastConnect = clock.monotonic()
        if client < check.count, bytes.count > head.headBytes {
            let isFine = bytes.withUnsafeBytes { check.receive(UnsafeRawBufferPointer(rebasing: $0[head.headBytes...]), by: client, at: lastConnect) }
            if !isFine { end(client, politely: false) }
        }
    }

    private static func hint(_ status: Int) -> String {
        switch status {
        case 401, 403: "; --token-file names a credential"
        case 503: "; is websocket.max_clients large enough?"
        default: ""
        }
    }

    /// Connects and waits for it, TLS included; at most some seconds.
    func connectedLink(_ address: ServerAddress) throws(BenchError) -> Link {
        let descriptor: Int32
        do throws(SystemError) {
            descriptor = try address.connect(from: address.isLoopback ? 0 : nil).release()
        } catch {
            throw BenchError("the publisher cannot connect: \(error)")
        }
        let link = Link(owning: descriptor, tls: tls.flatMap { TLSClient(descriptor, $0, host: plan.target.host) })
        var events = Int16(POLLOUT)
        var isConnected = false
        while true {
            var waiting = pollfd(fd: descriptor, events: events, revents: 0)
            let count = poll(&waiting, 1, 10_000)
            if count < 0, errno == EINTR { continue }
            let code = isConnected ? 0 : count == 0 ? ETIMEDOUT : ServerAddress.failure(of: descriptor)
            isConnected = code == 0
            switch code == 0 ? link.handshake() : .failed(SystemError.text(of: code)) {
            case .bytes: return link
            case .wait where count > 0: events = Int16(POLLIN)
            case .waitToWrite where count > 0: events = Int16(POLLOUT)
            case .failed(let why):
                link.close()
                throw BenchError("the publisher cannot connect: \(why)")
            case .wait, .waitToWrite, .closed:
                link.close()
                throw BenchError("the publisher cannot connect: no answer")
            }
        }
    }
}
