// Certificates for tests, made by the openssl program in a directory of their own.

import Base
import Glibc

/// A directory with certificates; removed at the end.
public final class TestCertificates: Sendable {
    public let path: String

    public init() throws {
        var template = Array("/tmp/goleapai-ws-tls-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? run("rm -r '\(path)'") }

    public func run(_ command: String) throws {
        guard let output = popen("\(command) 2>&1", "r") else { throw SystemError("popen") }
        var text: [UInt8] = []
        while case let byte = fgetc(output), byte >= 0 { text.append(UInt8(truncatingIfNeeded: byte)) }
        guard pclose(output) == 0 else { throw TestFailure("\(command): \(String(decoding: text, as: UTF8.self))") }
    }

    /// A certificate that signs itself. Gives the paths of certificate and key.
    /// - Parameters:
    ///   - key: for `openssl genpkey -algorithm`.
    ///   - days: until it expires; -1: yesterday.
    @discardableResult
    public func make(
        _ name: String, key: String = "EC -pkeyopt ec_paramgen_curve:P-256", serial: Int = 1, days: Int = 90
    ) throws -> (certificate: String, key: String) {
        let files = ("\(path)/\(name).crt", "\(path)/\(name).key")
        try run("openssl genpkey -algorithm \(key) -out \(files.1)")
        try run("openssl req -new -key \(files.1) -subj /CN=\(name) -out \(path)/\(name).request")
        try run("openssl x509 -req -in \(path)/\(name).request -signkey \(files.1) -days \(days) -set_serial \(serial) -out \(files.0)")
        return files
    }

    /// A certificate that another one has signed.
    public func make(_ name: String, signedBy authority: String) throws -> (certificate: String, key: String) {
        let files = ("\(path)/\(name).crt", "\(path)/\(name).key")
        try run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out \(files.1)")
        try run("openssl req -new -key \(files.1) -subj /CN=\(name) -out \(path)/\(name).request")
        try run(
            "openssl x509 -req -in \(path)/\(name).request -CA \(path)/\(authority).crt -CAkey \(path)/\(authority).key -CAcreateserial -days 90 -out \(files.0)")
        return files
    }

    public func write(_ name: String, _ text: String) throws -> String {
        guard let file = fopen("\(path)/\(name)", "w") else { throw SystemError("fopen") }
        fputs(text, file)
        fclose(file)
        return "\(path)/\(name)"
    }

    public func read(_ file: String) throws -> String {
        guard let stream = fopen(file, "r") else { throw SystemError("fopen", on: file) }
        defer { fclose(stream) }
        var text: [UInt8] = []
        while case let byte = fgetc(stream), byte >= 0 { text.append(UInt8(truncatingIfNeeded: byte)) }
        return String(decoding: text, as: UTF8.self)
    }
}
