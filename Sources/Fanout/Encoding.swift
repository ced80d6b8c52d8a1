// How messages look on the wire. A client has one encoding for its life; everything that is sent to it goes through here.

import Protocol

/// How messages look before they are compressed.
public enum MessageForm: Int, CaseIterable, Sendable {
    /// Text frames of WebSocket.
    case text
    /// Binary frames of WebSocket, each a message as MessagePack.
    case messagePack
    /// Blocks of Server-Sent Events.
    case eventStream

    /// What a client with this form speaks.
    public var spoken: ClientProtocol {
        switch self {
        case .text, .messagePack: .webSocket
        case .eventStream: .eventStream
        }
    }

    /// What messages are written in: the name in answers.
    public var language: String {
        switch self {
        case .text, .eventStream: "json"
        case .messagePack: "msgpack"
        }
    }

    /// What frames of it may be compressed with.
    var compressions: [Compression] {
        switch spoken {
        case .webSocket: [.none] + Deflater.windows.map { .deflate(window: $0) }
        case .eventStream: [.none, .gzip]
        }
    }
}

/// How frames are compressed for many clients at once: each for itself, without reference to any before.
public enum Compression: Hashable, Sendable {
    case none
    /// permessage-deflate, with a window of so many bits (`Deflater.windows`).
    case deflate(window: Int)
    /// One gzip stream for each client (RFC 1952), made of parts that all share: each block is flushed, and refers to none before.
    case gzip

    /// Its name in answers, whatever the window.
    var name: String {
        switch self {
        case .none: "none"
        case .deflate: "deflate"
        case .gzip: "gzip"
        }
    }

    var index: Int {
        switch self {
        case .none: 0
        case .deflate(let window): window - Deflater.windows.lowerBound + 1
        case .gzip: Deflater.windows.count + 1
        }
    }
    /// By index.
    static let all: [Compression] = [.none] + Deflater.windows.map { .deflate(window: $0) } + [.gzip]
    /// How many. A literal: what is computed when first asked for would be asked for on the way of every group.
    static let count = 9
}

/// The encodings: a form, and a compression that it may have. Each has a frame log of its own in a segment, made when the first client needs it.
public struct Encoding: Hashable, Sendable, CaseIterable {
    public let form: MessageForm
    /// `Compression.index`; every client has one, so it is short.
    private let compressionIndex: UInt8

    public var compression: Compression { Compression.all[Int(compressionIndex)] }

    /// - Precondition: the form may have this compression.
    public init(_ form: MessageForm, _ compression: Compression = .none) {
        precondition(form.compressions.contains(compression))
        self.form = form
        compressionIndex = UInt8(compression.index)
    }

    public static let text = Encoding(.text)
    public static let messagePack = Encoding(.messagePack)
    public static let eventStream = Encoding(.eventStream)
    public static let allCases = MessageForm.allCases.flatMap { form in form.compressions.map { Encoding(form, $0) } }

    /// Its place in a table of all encodings, which has `count`.
    @inline(__always)
    var index: Int { form.rawValue &* Compression.count &+ Int(compressionIndex) }
    static let count = 3 * Compression.count

    /// Frames are made as events come in, one behind the other. Else each is made when the first client needs it: it costs too much to be made for
    /// nobody.
    @inline(__always)
    var isMadeAhead: Bool { compressionIndex == 0 && form != .messagePack }

    /// What a client with this encoding speaks.
    public var spoken: ClientProtocol { form.spoken }

    /// Bytes that the frames of so many messages need at most. Blocks tell id and type again, which stand in the message.
    func framesBytes(messages: Int, bytes: Int) -> Int {
        switch form {
        case .text: return webSocketBytes(messages, bytes)
        case .messagePack: return webSocketBytes(messages, MessagePack.bytesMax(texts: messages, bytes: bytes))
        case .eventStream:
            let blocks = 2 * bytes + messages * EventStreamWriter.overheadBytes
            return compression == .none ? blocks : Framer.compressedBytes(messages: messages, bytes: blocks)
        }
    }

    private func webSocketBytes(_ messages: Int, _ payloadBytes: Int) -> Int {
        compression == .none
            ? payloadBytes + messages * FrameWriter.headerBytesMax : Framer.compressedBytes(messages: messages, bytes: payloadBytes)
    }
}

/// What a client speaks; the text is its name in answers and metrics.
public enum ClientProtocol: String, CaseIterable, Sendable {
    case webSocket = "websocket"
    case eventStream = "sse"
}
