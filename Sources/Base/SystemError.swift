// errno as a value. Everything in the project that calls the kernel reports failure with this.

import Glibc

/// A failed system call: which one, on what, and errno.
public struct SystemError: Error, Equatable, CustomStringConvertible {
    /// The call, in the words of its man page: `bind`, `accept4`.
    public let call: String
    /// errno as it stood after the call.
    public let code: Int32
    /// What the call was made on (a path, an address), for the reader of the message; empty where there is nothing to name.
    public let subject: String

    public init(_ call: String, _ code: Int32 = errno, on subject: String = "") {
        self.call = call
        self.code = code
        self.subject = subject
    }

    public var description: String {
        let place = subject.isEmpty ? "" : " \(subject)"
        return "\(call)\(place): \(SystemError.text(of: code))"
    }

    /// The C library's sentence for an errno, such as `No such file or directory`.
    public static func text(of code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        return buffer.withUnsafeMutableBufferPointer { space -> String in
            // glibc's strerror_r as Swift imports it is the XSI one: fills the buffer, returns 0.
            guard let base = space.baseAddress, strerror_r(code, base, space.count) == 0 else { return "errno \(code)" }
            return String(cString: base)
        }
    }
}
