// Reading small files whole: the configuration and secrets.

import Base
import Glibc

/// Any thread; for starts and commands.
public enum ConfigFile {
    /// The shipped file has 10 KB with all its comments.
    static let bytesMax = 1_048_576
    static let secretBytesMax = 65_536

    /// Blocks until all is read; pipes are fine (`--config /dev/stdin`).
    static func read(_ path: String) throws(ConfigError) -> [UInt8] {
        do throws(ReadFailure) {
            return try bytes(of: path, bytesMax: bytesMax)
        } catch {
            throw ConfigError(.file(path, line: nil), "", error.message)
        }
    }

    /// The text of a file without the line break at its end.
    public static func readSecret(_ path: String) throws(ConfigError) -> String {
        do throws(ReadFailure) {
            var secret = String(decoding: try bytes(of: path, bytesMax: secretBytesMax), as: UTF8.self)
            if secret.last?.isNewline == true { secret.removeLast() }
            return secret
        } catch {
            throw ConfigError(.file(path, line: nil), "", error.message)
        }
    }

    /// Whether everybody on this machine may read it. False where that cannot be found out.
    static func isReadableByAll(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_mode & S_IROTH != 0
    }

    private struct ReadFailure: Error {
        let message: String
    }

    private static func bytes(of path: String, bytesMax: Int) throws(ReadFailure) -> [UInt8] {
        let number = open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw ReadFailure(message: "cannot be read: \(SystemError.text(of: errno))") }
        let descriptor = FileDescriptor(owning: number)
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor.number, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw ReadFailure(message: "cannot be read: \(SystemError.text(of: errno))") }
            if count == 0 { return bytes }
            bytes += part[..<count]
            guard bytes.count <= bytesMax else { throw ReadFailure(message: "is longer than \(bytesMax) bytes") }
        }
    }
}
