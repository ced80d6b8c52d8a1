// What descriptors turn out to be, and who may speak on the Unix socket.

import Base
import Glibc
import TestSupport
import Testing

@testable import Host

/// A directory of its own, removed at the end.
private final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/goleapai-ws-sockets-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["a", "b", "publish.sock"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}

private func inherited(_ number: Int32) -> InheritedSocket.Kind { InheritedSocket(FileDescriptor(owning: number), name: "x").kind }

private func mode(_ path: String) -> (bits: mode_t, group: gid_t)? {
    var status = stat()
    return lstat(path, &status) == 0 ? (status.st_mode & 0o7777, status.st_gid) : nil
}

@Suite struct InheritedSocketTests {
    private static let stream = Int32(SOCK_STREAM.rawValue)
    private static let datagram = Int32(SOCK_DGRAM.rawValue)

    @Test(arguments: ["127.0.0.1", "::1"]) func listeningTCP(host: String) throws {
        let socket = try ListeningSocket(ListenAddress(host: host, port: 0))
        let address = try #require(socket.address)
        #expect(address.port > 0)
        #expect(inherited(dup(socket.descriptor.number)) == .network(address, isDualStack: false))
    }

    @Test func listeningForBothFamilies() throws {
        let number = socket(AF_INET6, InheritedSocketTests.stream, 0)
        #expect(listen(number, 1) == 0)  // binds to [::] and any port
        guard case .network(let address, isDualStack: true) = inherited(number) else { throw TestFailure("not for both families") }
        #expect(address.host == "::")
    }

    @Test func flagsAreSet() throws {
        let number = socket(AF_INET, InheritedSocketTests.stream, 0)
        #expect(listen(number, 1) == 0)
        let found = InheritedSocket(FileDescriptor(owning: number), name: "x")
        let socket = try #require(found.socket)
        #expect(fcntl(socket.descriptor.number, F_GETFL) & O_NONBLOCK != 0)
    }

    @Test func whatCannotBeServed() throws {
        #expect(inherited(socket(AF_INET, InheritedSocketTests.stream, 0)) == .other("a TCP socket that does not listen, on 0.0.0.0:0"))
        #expect(inherited(socket(AF_INET, InheritedSocketTests.datagram, 0)) == .other("a UDP socket, on 0.0.0.0:0"))
        #expect(inherited(socket(AF_UNIX, InheritedSocketTests.stream, 0)) == .other("a Unix socket that does not listen, (unnamed)"))
        #expect(inherited(socket(AF_UNIX, InheritedSocketTests.datagram, 0)) == .other("a Unix socket that is no stream, (unnamed)"))
        #expect(inherited(open("/dev/null", O_RDONLY)) == .other("no socket: /dev/null"))
        let closed = InheritedSocket(FileDescriptor(owning: open("/dev/null", O_RDONLY)), name: "x")
        #expect(closed.socket == nil)
    }

    @Test func unixSockets() throws {
        let scratch = try Scratch()
        let socket = try LocalSocket.bind("\(scratch.path)/a")
        #expect(inherited(dup(socket.descriptor.number)) == .local(path: "\(scratch.path)/a"))
        let status = try #require(mode("\(scratch.path)/a"))
        #expect(status == (0o660, getegid()))
        #expect(LocalSocket.leads("\(scratch.path)/a", to: socket))
        #expect(!LocalSocket.leads("\(scratch.path)/b", to: socket))
    }

    @Test func stalePathsAreReplacedAndLivingOnesAreNot() throws {
        let scratch = try Scratch()
        let path = "\(scratch.path)/a"
        do { _ = try LocalSocket.bind(path) }
        #expect(mode(path) != nil)
        let socket = try LocalSocket.bind(path)
        #expect(throws: SystemError("bind", EADDRINUSE, on: path)) { try LocalSocket.bind(path) }
        #expect(LocalSocket.leads(path, to: socket))
        let file = open("\(scratch.path)/b", O_CREAT | O_WRONLY, 0o600)
        close(file)
        #expect(throws: SystemError("bind", ENOTSOCK, on: "\(scratch.path)/b")) { try LocalSocket.bind("\(scratch.path)/b") }
        #expect(throws: SystemError("bind", ENOENT, on: "\(scratch.path)/none/c")) { try LocalSocket.bind("\(scratch.path)/none/c") }
        let long = "/" + String(repeating: "x", count: 107)
        #expect(throws: SystemError("bind", ENAMETOOLONG, on: long)) { try LocalSocket.bind(long) }
    }

    @Test func identityOfFiles() throws {
        let scratch = try Scratch()
        let path = "\(scratch.path)/a"
        #expect(FileIdentity(path) == nil)
        let socket = try LocalSocket.bind(path)
        let first = try #require(FileIdentity(path))
        #expect(FileIdentity(path) == first)
        link(path, "\(scratch.path)/b")  // its inode stays taken
        unlink(path)
        withExtendedLifetime(socket) {}
        let other = try LocalSocket.bind(path)
        #expect(FileIdentity(path) != first)
        withExtendedLifetime(other) {}
    }

    static let peers: [(user: UInt32, groups: [UInt32], isTrusted: Bool)] = [
        (0, [0], true), (0, [65_534], true), (998, [997], true), (998, [65_534], true), (1000, [1000], false),
        (1000, [997], true), (1000, [1000, 4, 997], true), (65_534, [65_534], false), (65_534, [65_534, 997], true),
        (.max, [.max], false), (997, [998], false),
    ]

    @Test(arguments: peers) func whoIsTrusted(user: UInt32, groups: [UInt32], isTrusted: Bool) {
        #expect(LocalPeer.isTrusted(user: user, groups: groups, ownUser: 998, ownGroup: 997) == isTrusted)
    }

    /// nobody is what all strangers look like in a user namespace: to be one of them says nothing.
    @Test func nobodyIsNotOneOfUs() {
        #expect(!LocalPeer.isTrusted(user: 65_534, groups: [65_534], ownUser: 65_534, ownGroup: 65_534))
        #expect(!LocalPeer.isTrusted(user: 1000, groups: [65_534], ownUser: 65_534, ownGroup: 65_534))
        #expect(!LocalPeer.isTrusted(user: .max, groups: [.max], ownUser: .max, ownGroup: .max))
    }

    @Test func peersTellWhoTheyAre() throws {
        let (near, far) = try SocketClient.pair()
        defer { close(far) }
        let peer = LocalPeer.of(far)
        #expect(peer == LocalPeer(process: getpid(), user: geteuid(), group: getegid(), isTrusted: true))
        #expect(PeerAddress.local(peer).description == "unix:uid=\(geteuid()),pid=\(getpid())")
        #expect(PeerAddress.local(peer).isLoopback && PeerAddress.local(peer).isLocal)
        withExtendedLifetime(near) {}
        #expect(!LocalPeer.of(-1).isTrusted)
        // One per connection: it should not grow.
        #expect(MemoryLayout<PeerAddress>.stride <= 32)
    }
}
