// A request that is refused: the status and the sentence for the answer.

/// Why a request is refused. After one of these the connection is closed: where the next request would begin is not known, or not
/// to be trusted.
public struct HTTPError: Error, Equatable, Sendable, CustomStringConvertible {
    public let status: Int
    /// What is wrong, for the body of the answer. Never quotes the request.
    public let message: String
    /// Further fields of the answer.
    public let fields: [(String, String)]

    public init(_ status: Int, _ message: String, fields: [(String, String)] = []) {
        self.status = status
        self.message = message
        self.fields = fields
    }

    /// The answer to send.
    public var response: Response { Response.error(status, message, fields: fields) }

    public var description: String { "\(status) \(message)" }

    public static func == (a: HTTPError, b: HTTPError) -> Bool {
        a.status == b.status && a.message == b.message && a.fields.elementsEqual(b.fields, by: ==)
    }
}
