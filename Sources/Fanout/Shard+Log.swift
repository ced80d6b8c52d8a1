// A client's life as the log tells it: that it came, what it lost, and how it ended.

import Base
import Protocol

/// How a client's connection ended, as far as the first cause is known.
enum Ending {
    /// Not yet.
    case none
    /// The client sent a close frame, with or without a code.
    case closedByPeer(CloseCode?)
    /// We did.
    case closed(CloseCode)
    /// The client broke the protocol, and was told this, by a code and in words.
    case failed(CloseCode, String)
    /// Its side of the connection ended without a close frame.
    case vanished
    /// The client ended its stream, which needs no word.
    case left
    /// A system call failed: errno.
    case broken(Int32)
    /// OpenSSL gave up, in its words.
    case brokenTLS(String)
    /// It took none of our bytes for `client_timeout`.
    case stuck
    /// The daemon has stopped before it had taken everything.
    case cutOff

    var text: String {
        switch self {
        case .none: "the connection ended"
        case .closedByPeer(let code): "the client closed\(code.map { " (\($0.rawValue))" } ?? "")"
        case .closed(let code): "closed with \(code.rawValue): \(code.reason)"
        case .failed(let code, let what): "closed with \(code.rawValue), since the client broke the protocol: \(what)"
        case .vanished: "the client went away without a close frame"
        case .left: "the client ended the stream"
        case .broken(let code): "the connection broke: \(SystemError.text(of: code))"
        case .brokenTLS(let reason): "the TLS connection broke: \(reason)"
        case .stuck: "the client took no bytes for websocket.client_timeout"
        case .cutOff: "cut off, since the daemon stops and the client has not taken everything in time"
        }
    }

    var code: CloseCode? {
        switch self {
        case .closedByPeer(let code): code
        case .closed(let code), .failed(let code, _): code
        default: nil
        }
    }
}

extension Shard {
    /// Notes why a client's connection ends. The first cause counts.
    func note(_ ending: Ending, of index: UInt32) {
        let details = client(index).pointee.details
        if case .none = details.ending { details.ending = ending }
    }

    /// - Parameters:
    ///   - path: of the request that made it a client.
    ///   - channels: that it is subscribed to from the start.
    func logConnected(_ index: UInt32, path: String, _ channels: ChannelSet) {
        let details = client(index).pointee.details
        Log.info(
            "client \(details.id) connected from \(details.address) to \(path)\(details.transport.isEmpty ? "" : " over \(details.transport)")",
            .clientConnected, fields(of: details) + Shard.fields(of: channels))
    }

    /// A client has changed what it is subscribed to.
    func logSubscribed(_ index: UInt32, _ channels: ChannelSet) {
        let details = client(index).pointee.details
        let names = channels.channels.map(\.name).joined(separator: ", ")
        Log.debug(
            "client \(details.id) is subscribed to \(names.isEmpty ? "nothing" : names)", .clientSubscribed,
            fields(of: details) + Shard.fields(of: channels))
    }

    func logDisconnected(_ index: UInt32) {
        let client = client(index)
        let details = client.pointee.details
        let seconds = max(0, (hub.clock.now().milliseconds - details.since.milliseconds) / 1000)
        let lost = client.pointee.dropped > 0 ? ", \(client.pointee.dropped) events lost" : ""
        var fields = fields(of: details)
        if let code = details.ending.code { fields.append(LogField("CLOSE_CODE", "\(code.rawValue)")) }
        fields.append(LogField("BYTES_SENT", "\(client.pointee.bytesSent)"))
        Log.info(
            "client \(details.id) gone after \(seconds) s: \(details.ending.text); \(client.pointee.bytesSent) bytes sent\(lost)",
            .clientDisconnected, fields)
    }

    func logLoss(_ loss: Loss, of client: UnsafeMutablePointer<Client>) {
        let details = client.pointee.details
        Log.info(
            "client \(details.id) reads too slowly and has lost \(loss.dropped) events; it is told by a gap", .clientLost,
            fields(of: details) + Shard.fields(of: loss.channels))
    }

    func logRefused(_ index: UInt32, _ why: String) {
        Log.warn("\(why): clients are refused", .clientRefused, [.remoteAddress(client(index).pointee.details.address.host)])
    }

    private static func fields(of channels: ChannelSet) -> [LogField] { channels.channels.map { .channel($0.name) } }

    private func fields(of details: ClientDetails) -> [LogField] {
        let user = details.principal.user
        return [.client(details.id), .remoteAddress(details.address.host)] + (user.isEmpty ? [] : [.user(user)])
    }
}
