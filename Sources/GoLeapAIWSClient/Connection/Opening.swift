// From an address to an open WebSocket. Blocks, at most until its deadline (and as long as the resolver and the application's provider of
// tokens take), so it has a thread of its own.

import Base
import Glibc
import Host
import Protocol

/// An open WebSocket.
struct Opened: Sendable {
    let link: Link
    /// What has come behind the answer.
    let rest: [UInt8]
    /// How the server compresses its messages; nil where it does not.
    let compression: DeflateAgreement?
    /// The credential that was shown.
    let token: String?
}

/// One attempt. A value; any thread.
struct Opening: Sendable {
    let target: Target
    let options: Options
    let clock: any Clock

    /// - Parameter deadline: by the monotonic clock.
    func run(until deadline: UInt64) -> Result<Opened, OpeningFailure> {
        do throws(OpeningFailure) {
            let token = try token()
            let context = try tlsContext()
            let (link, isNear) = try connect(context, until: deadline)
            return .success(try upgrade(link, token, offersCompression: options.compression.isOffered(isNear: isNear), until: deadline))
        } catch {
            return .failure(error)
        }
    }

    /// The credential, fresh where there is a provider.
    /// - Throws: the provider's words are shown, since only the application can know what they mean.
    func token() throws(OpeningFailure) -> String? {
        let token: String
        switch options.credential {
        case .none: return nil
        case .token(let text): token = text
        case .provider(let provide):
            do {
                token = try provide()
            } catch {
                throw .init(.failed("no token: \(ForeignText.shown("\(error)", to: 300))"))
            }
        }
        guard !token.isEmpty, token.utf8.count <= 8192, token.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw .init(.impossible("the token is empty, longer than 8192 bytes, or has characters that no token has"))
        }
        return token
    }

    private func tlsContext() throws(OpeningFailure) -> TLSClientContext? {
        guard case .network(let url) = target, url.isSecure else { return nil }
        do throws(TLSFailure) {
            switch options.trust {
            case .system: return try TLSClientContext(.system)
            case .file(let path): return try TLSClientContext(.file(path))
            case .everybody: return try TLSClientContext(.everybody)
            }
        } catch {
            throw .init(.impossible(error.reason))
        }
    }

    // MARK: connecting

    /// - Returns: also whether the server is on this machine.
    private func connect(_ context: TLSClientContext?, until deadline: UInt64) throws(OpeningFailure) -> (link: Link, isNear: Bool) {
        switch target {
        case .local(let path):
            do throws(SystemError) {
                return (Link(owning: try LocalSocket.connect(path)), true)
            } catch {
                throw .init(.failed("cannot connect to \(target.name): \(SystemError.text(of: error.code))"))
            }
        case .network(let url):
            let addresses: [ServerAddress]
            do throws(ServerAddress.Unknown) {
                addresses = try ServerAddress.all(of: url)
            } catch {
                throw .init(.failed("cannot find \(url.host): \(error.why)"))
            }
            var why = ""
            // Each address gets its part of the time, so that one that swallows everything does not take it all.
            for (index, address) in addresses.enumerated() {
                let now = clock.monotonic()
                guard now < deadline else { break }
                let part = now + (deadline - now) / UInt64(addresses.count - index)
                let link: Link
                do throws(SystemError) {
                    link = Link(owning: try address.connect())
                    guard wait(link, Int16(POLLOUT), until: part) else { throw SystemError("connect", ETIMEDOUT) }
                    let code = ServerAddress.failure(of: link.descriptor.number)
                    guard code == 0 else { throw SystemError("connect", code) }
                } catch {
                    why = SystemError.text(of: error.code)
                    continue
                }
                guard let context else { return (link, address.isLoopback) }
                return (try secure(link, context, host: url.host, until: deadline), address.isLoopback)
            }
            throw .init(.failed("cannot connect to \(target.name): \(why)"))
        }
    }

    private func secure(_ link: Link, _ context: TLSClientContext, host: String, until deadline: UInt64) throws(OpeningFailure) -> Link {
        guard link.secure(context, host: host) else { throw .init(.failed("no memory for TLS")) }
        while true {
            switch link.handshake() {
            case .bytes: return link
            case .wait: if wait(link, Int16(POLLIN), until: deadline) { continue }
            case .waitToWrite: if wait(link, Int16(POLLOUT), until: deadline) { continue }
            case .closed: throw .init(.failed("\(target.name): the server has closed the connection during the TLS handshake"))
            case .failed(let why): throw .init(.failed("\(target.name): \(why)"))
            }
            throw .init(.failed("\(target.name): no TLS handshake in time"))
        }
    }

    // MARK: the handshake of RFC 6455

    private func upgrade(_ link: Link, _ token: String?, offersCompression: Bool, until deadline: UInt64) throws(OpeningFailure) -> Opened {
        let key = Opening.key()
        var request = "GET \(target.path) HTTP/1.1\r\nHost: \(target.hostField)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        request += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \(key)\r\n"
        if let subprotocol = options.encoding.subprotocol { request += "Sec-WebSocket-Protocol: \(subprotocol)\r\n" }
        if offersCompression { request += "Sec-WebSocket-Extensions: \(DeflateAgreement.offer)\r\n" }
        if let token { request += "Authorization: \(token.hasPrefix("gla_") ? "ApiKey" : "Bearer") \(token)\r\n" }
        let agent = options.userAgent.unicodeScalars.filter { $0.value >= 32 && $0.value < 127 }
        request += "User-Agent: \(String(String.UnicodeScalarView(agent)))\r\n\r\n"
        try send(Array(request.utf8), link, until: deadline)

        var bytes: [UInt8] = []
        while true {
            let isOver = try receive(&bytes, link, until: deadline)
            switch AnswerHead.parse(bytes) {
            case .broken: throw .init(.failed("\(target.name): the answer is none of HTTP"))
            case .incomplete: if isOver { throw .init(.failed("\(target.name): the server has closed the connection without an answer")) }
            case .head(let head):
                let answer = UpgradeAnswer(head: head, rest: Array(bytes.dropFirst(head.headBytes)))
                if answer.accepts(key: key, subprotocol: options.encoding.subprotocol, offersCompression: offersCompression) {
                    return Opened(link: link, rest: answer.rest, compression: answer.compression, token: token)
                }
                if answer.status == 101 { throw .init(.failed("\(target.name): the server does not agree to speak WebSocket as asked")) }
                guard isOver || answer.isBodyWhole else { continue }
                throw .init(.refused(status: answer.status, retryAfter: answer.retryAfter, why: answer.why))
            }
        }
    }

    private func send(_ bytes: [UInt8], _ link: Link, until deadline: UInt64) throws(OpeningFailure) {
        var sent = 0
        while sent < bytes.count {
            switch bytes.withUnsafeBytes({ link.write(UnsafeRawBufferPointer(rebasing: $0[sent...])) }) {
            case .bytes(let count):
                sent += count
                continue
            case .wait: if wait(link, Int16(POLLIN), until: deadline) { continue }
            case .waitToWrite: if wait(link, Int16(POLLOUT), until: deadline) { continue }
            // A server that refuses at once closes before it has read everything: its answer is still to be read.
            case .closed, .failed: return
            }
            throw .init(.failed("\(target.name): the server takes no request"))
        }
    }

    /// Appends what comes.
    /// - Returns: whether that was all there will be.
    private func receive(_ bytes: inout [UInt8], _ link: Link, until deadline: UInt64) throws(OpeningFailure) -> Bool {
        var part = [UInt8](repeating: 0, count: 16_384)
        while true {
            switch part.withUnsafeMutableBytes({ link.read(into: $0) }) {
            case .bytes(let count):
                bytes += part[..<count]
                return false
            case .wait: if wait(link, Int16(POLLIN), until: deadline) { continue }
            case .waitToWrite: if wait(link, Int16(POLLOUT), until: deadline) { continue }
            case .closed: return true
            case .failed(let why): throw .init(.failed("\(target.name): \(why)"))
            }
            throw .init(.failed("\(target.name): no answer in time"))
        }
    }

    /// - Returns: false when the time is over.
    private func wait(_ link: Link, _ events: Int16, until deadline: UInt64) -> Bool {
        while true {
            let now = clock.monotonic()
            guard now < deadline else { return false }
            var waiting = pollfd(fd: link.descriptor.number, events: events, revents: 0)
            if poll(&waiting, 1, Int32(clamping: (deadline - now) / 1_000_000 + 1)) > 0 { return true }
        }
    }

    /// 16 random bytes in base64 (RFC 6455 §4.1): 22 characters, of which the last has four bits that must be zero, and padding.
    private static func key() -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        return String((0..<21).map { _ in alphabet.randomElement() ?? "A" }) + String("AQgw".randomElement() ?? "A") + "=="
    }
}

/// Why an attempt has failed.
struct OpeningFailure: Error {
    let ending: Ending
    init(_ ending: Ending) { self.ending = ending }
}
