import Base
import Glibc
import Testing

@testable import Host

/// A private directory with files in it, removed at the end.
private final class Directory {
    let path: String

    init() {
        var template = Array("/tmp/goleapai-ws-test-XXXXXX".utf8CString)
        path = mkdtemp(&template).map { String(cString: $0) } ?? ""
        precondition(!path.isEmpty)
    }

    func write(_ name: String, _ text: String) -> String {
        let file = "\(path)/\(name)"
        let descriptor = FileDescriptor(owning: open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600))
        var copy = text
        copy.withUTF8 { _ = Glibc.write(descriptor.number, $0.baseAddress, $0.count) }
        names.append(file)
        return file
    }
    private var names: [String] = []

    deinit {
        for name in names { unlink(name) }
        rmdir(path)
    }
}

struct ConfigFileTests {
    private let directory = Directory()

    private func complaint(_ path: String, _ environment: [String: String] = [:]) -> String? {
        do throws(ConfigErrors) {
            _ = try Settings.load(path: path, environment: environment)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func filesThatCannotBeRead() {
        #expect(complaint("\(directory.path)/none.yaml") == "\(directory.path)/none.yaml: cannot be read: No such file or directory")
        #expect(complaint(directory.path) == "\(directory.path): cannot be read: Is a directory")
        let long = directory.write("long.yaml", String(repeating: "#", count: 1_048_577))
        #expect(complaint(long) == "\(long): is longer than 1048576 bytes")
        #expect(complaint("/dev/zero") == "/dev/zero: is longer than 1048576 bytes")
    }

    @Test func secretFromAFile() throws {
        let secret = directory.write("secret", "s3cret-of-the-gateway\n")
        let config = directory.write("config.yaml", "auth:\n  jwt_secret_file: \(secret)\n")
        let loaded = try Settings.load(path: config)
        #expect(loaded.settings.auth.jwtSecret == "s3cret-of-the-gateway")
        #expect(!loaded.warnings.map(\.description).joined().contains("s3cret"))
        chmod(secret, 0o640)
        #expect(try Settings.load(path: config).warnings.isEmpty)
        chmod(secret, 0o604)
        let warning = "\(config):2: auth.jwt_secret_file: everybody on this machine can read the secret in \"\(secret)\"; chmod o-r, so that only its owner and group do"
        #expect(try Settings.load(path: config).warnings.map(\.description) == [warning])
    }

    @Test func secretFromACredential() throws {
        _ = directory.write("auth.jwt_secret", "s3cret")
        let loaded = try Settings.load(path: nil, environment: ["CREDENTIALS_DIRECTORY": directory.path])
        #expect(loaded.settings.auth.jwtSecret == "s3cret")
        // Another service's credentials are none of ours.
        #expect(try Settings.load(path: nil, environment: ["CREDENTIALS_DIRECTORY": "/nonexistent"]).settings == Settings())
    }

    @Test func secretsThatAreWrong() {
        let empty = directory.write("empty", "\n")
        let one = directory.write("1.yaml", "auth:\n  jwt_secret_file: \(empty)\n")
        #expect(complaint(one) == "\(one):2: auth.jwt_secret_file: \"\(empty)\" is empty; it should hold the secret")
        let two = directory.write("2.yaml", "auth:\n  jwt_secret: abc-secret\n  jwt_secret_file: \(empty)\n")
        #expect(complaint(two) == "\(two):3: auth.jwt_secret_file: and auth.jwt_secret are both set; remove one")
        let three = directory.write("3.yaml", "auth:\n  jwt_secret_file: /nonexistent\n")
        #expect(complaint(three) == "\(three):2: auth.jwt_secret_file: \"/nonexistent\" cannot be read: No such file or directory")
    }

    /// The shipped file is the table's text, word for word.
    @Test func shippedFile() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let shipped = try ConfigFile.read("/\(root)/etc/goleapai-ws/config.yaml")
        #expect(
            String(decoding: shipped, as: UTF8.self) == SampleConfig.text,
            "make it anew: goleapai-ws check-config --print-default > etc/goleapai-ws/config.yaml")
    }
}
