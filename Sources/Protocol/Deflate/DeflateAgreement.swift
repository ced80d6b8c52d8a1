// What a client and we agree upon about permessage-deflate (RFC 7692 §7.1).

/// The parameters of permessage-deflate on one connection.
public struct DeflateAgreement: Equatable, Sendable {
    /// Bits of the window that we may compress with, 9 to 15. Where 8 were asked for, 9 keeps to it (`Deflater.windows`).
    public var serverWindow: Int
    /// Bits of the window that the client compresses with, at most, 9 to 15.
    public var clientWindow: Int
    /// Our messages may refer to those before.
    public var serverKeepsContext: Bool
    /// The client's messages may.
    public var clientKeepsContext: Bool
    /// The value of Sec-WebSocket-Extensions in our answer.
    public var answer: String

    /// What we are ready to do.
    public struct Policy: Equatable, Sendable {
        /// Our messages may refer to those before: a compressor of the client's own.
        public var keepsContext: Bool
        /// The client's messages may, unless it says that they do not: the end of what came is kept.
        public var takesContext: Bool
        /// Where we keep context: most bits of the windows, 9 to 15. What is compressed for many at once takes no memory of any of them, and keeps to what
        /// it was asked.
        public var windowMax: Int

        public init(keepsContext: Bool = false, takesContext: Bool = true, windowMax: Int = 15) {
            self.keepsContext = keepsContext
            self.takesContext = takesContext
            self.windowMax = windowMax
        }
    }

    /// Looks for the first offer that we can take; the others are declined by saying nothing of them.
    ///
    /// - Parameter policy: nil where nothing is compressed.
    /// - Returns: nil where there is none.
    /// - Throws: 400 for a field that is no list of extensions.
    public static func reach(_ head: RequestHead, _ policy: Policy?) throws(HTTPError) -> DeflateAgreement? {
        let offers = try ExtensionOffer.parse(head.all("sec-websocket-extensions"))
        guard let policy else { return nil }
        for offer in offers where offer.name == "permessage-deflate" {
            if let wishes = Wishes(offer.parameters) { return DeflateAgreement(wishes, policy) }
        }
        return nil
    }

    private init(_ wishes: Wishes, _ policy: Policy) {
        serverKeepsContext = policy.keepsContext && !wishes.serverKeepsNone
        clientKeepsContext = policy.takesContext && !wishes.clientKeepsNone
        answer = "permessage-deflate"
        // Where we need not, it is said all the same: the other end can do without a window, too.
        if !serverKeepsContext { answer += "; server_no_context_takeover" }
        if !clientKeepsContext { answer += "; client_no_context_takeover" }
        let asked = wishes.serverWindow ?? 15
        let used = serverKeepsContext ? min(asked, policy.windowMax) : asked
        // RFC 7692 §7.1.2.1: who takes such an offer says so, with the same number or a smaller one.
        if wishes.serverWindow != nil { answer += "; server_max_window_bits=\(used)" }
        serverWindow = max(used, Deflater.windows.lowerBound)
        clientWindow = wishes.clientWindow ?? 15
        // Can be asked only of who has said that it understands.
        if policy.keepsContext, clientKeepsContext, wishes.takesClientWindow { clientWindow = min(clientWindow, policy.windowMax) }
        // RFC 7692 §7.1.2.2: without it, the client could use all of 15; some clients fail where their own number is not repeated.
        if clientWindow < 15 { answer += "; client_max_window_bits=\(clientWindow)" }
        // zlib makes 9 of 8, and so do most who use it.
        clientWindow = max(clientWindow, 9)
    }

    // MARK: from the other end

    /// What our own clients offer: they take whatever the server does, and send nothing compressed.
    public static let offer = "permessage-deflate; client_no_context_takeover"

    /// What a server has answered to `offer`.
    /// - Parameter fields: the values of Sec-WebSocket-Extensions; at least one.
    /// - Returns: nil for anything else, with which the connection must fail (RFC 6455 §4.1, RFC 7692 §5.1).
    public init?(answer fields: [String]) {
        guard let extensions = try? ExtensionOffer.parse(fields), extensions.count == 1, extensions[0].name == "permessage-deflate",
            // A window for us was not ours to be answered, since we did not offer any.
            let wishes = Wishes(extensions[0].parameters), !wishes.takesClientWindow
        else { return nil }
        serverKeepsContext = !wishes.serverKeepsNone
        clientKeepsContext = !wishes.clientKeepsNone
        serverWindow = wishes.serverWindow ?? 15
        clientWindow = 15
        answer = fields.joined(separator: ", ")
    }

    /// One offer or answer, understood.
    private struct Wishes {
        var serverKeepsNone = false
        var clientKeepsNone = false
        var serverWindow: Int?
        /// `client_max_window_bits` is there, with a value or without.
        var takesClientWindow = false
        var clientWindow: Int?

        /// - Returns: nil for an offer that must be declined (RFC 7692 §7.1): a parameter that is unknown, stands twice, or has a value that it may not
        ///   have.
        init?(_ parameters: [ExtensionOffer.Parameter]) {
            var seen: Set<String> = []
            for parameter in parameters {
                guard seen.insert(parameter.name).inserted else { return nil }
                switch (parameter.name, parameter.value) {
                case ("server_no_context_takeover", nil): serverKeepsNone = true
                case ("client_no_context_takeover", nil): clientKeepsNone = true
                case ("server_max_window_bits", let value?):
                    guard let bits = Wishes.bits[value] else { return nil }
                    serverWindow = bits
                case ("client_max_window_bits", nil): takesClientWindow = true
                case ("client_max_window_bits", let value?):
                    guard let bits = Wishes.bits[value] else { return nil }
                    takesClientWindow = true
                    clientWindow = bits
                default: return nil
                }
            }
        }

        /// A decimal number from 8 to 15, without leading zeros.
        private static let bits = Dictionary(uniqueKeysWithValues: (8...15).map { ("\($0)", $0) })
    }
}
