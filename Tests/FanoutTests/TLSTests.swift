// TLS between a shard and clients whose every byte the test holds in its hands.

import Base
import Glibc
import Protocol
import TestSupport
import Testing

@testable import Fanout
@testable import Host

private func failures(_ rig: Rig, _ kind: TLSFailure.Kind) -> UInt64 { rig.shards.reduce(0) { $0 + $1.tlsCounters.count(kind) } }
private func handshakes(_ rig: Rig) -> UInt64 { rig.shards.reduce(0) { $0 + $1.tlsCounters.handshakes.load(ordering: .relaxed) } }
private func resumed(_ rig: Rig) -> UInt64 { rig.shards.reduce(0) { $0 + $1.tlsCounters.resumed.load(ordering: .relaxed) } }

private func options(_ change: (inout TLSEnd.Options) -> Void) -> TLSEnd.Options {
    var options = TLSEnd.Options()
    change(&options)
    return options
}

private let versions: [Int32] = [0x0303, 0x0304]

@Suite struct TLSTests {
    /// A request over an established connection.
    private func ask(_ client: SocketClient, _ target: String = "/x") throws {
        let answer = try #require(try client.request("GET", target))
        #expect(answer.status == 200 && answer.text.hasPrefix(target))
    }

    // MARK: handshake

    @Test(arguments: versions) func byteByByte(version: Int32) throws {
        // Time stands still, however slow the machine is.
        let rig = try Rig(shards: 1, clock: ManualClock(), speaksTLS: true)
        let client = try rig.connectWire()
        // A Unix socket keeps each byte in a buffer of its own.
        var room: Int32 = 1 << 20
        setsockopt(client.descriptor, SOL_SOCKET, SO_SNDBUF, &room, socklen_t(MemoryLayout<Int32>.size))
        let end = try TLSEnd(options { $0.highest = version })
        while try !end.handshake() {
            let bytes = end.output()
            for byte in bytes {
                try client.writeWire([byte])
                rig.settle()
            }
            end.feed(try #require(try client.readWire()))
        }
        for byte in end.output() { try client.writeWire([byte]) }
        client.tls = end
        try ask(client)
        #expect(end.version == version)
        #expect(handshakes(rig) == 1)
    }

    @Test func cutAtEveryPosition() throws {
        // Time stands still, however slow the machine is.
        let rig = try Rig(shards: 1, clock: ManualClock(), speaksTLS: true)
        var cut = 1
        while true {
            let client = try rig.connectWire()
            let end = try TLSEnd()
            _ = try end.handshake()
            let hello = end.output()
            guard cut < hello.count else { break }
            try client.writeWire(Array(hello[..<cut]))
            rig.settle()
            #expect(rig.shards[0].tlsCounters.underway.load(ordering: .relaxed) == 0, "nothing is spent on a part of a hello")
            try client.writeWire(Array(hello[cut...]))
            end.feed(try #require(try client.readWire()))
            while try !end.handshake() { end.feed(try #require(try client.readWire())) }
            try client.writeWire(end.output())
            client.tls = end
            if cut % 16 == 0 { try ask(client) }
            try waitUntil("the handshake is over") { handshakes(rig) == UInt64(cut) }
            cut += 1
        }
        #expect(cut > 100)
    }

    @Test func oldVersionsAreRefused() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connectWire()
        let end = try TLSEnd(options { ($0.lowest, $0.highest) = (0x0301, 0x0302) })
        #expect(throws: TestFailure.self) { try client.handshake(end) }
        try waitUntil("it is counted") { failures(rig, .version) == 1 }
        #expect(handshakes(rig) == 0)
    }

    @Test(arguments: [([], ""), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (["h2"], nil)] as [([String], String?)])
    func applicationProtocols(offered: [String], chosen: String?) throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connectWire()
        let end = try TLSEnd(options { $0.protocols = offered })
        guard let chosen else {
            #expect(throws: TestFailure.self) { try client.handshake(end) }
            try waitUntil("it is counted") { failures(rig, .parameters) == 1 }
            return
        }
        try client.handshake(end)
        #expect(end.chosenProtocol == chosen)
        try ask(client)
    }

    @Test func renegotiationIsRefused() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connectWire()
        let end = try TLSEnd(options { $0.highest = 0x0303 })
        try client.handshake(end)
        try ask(client)
        try end.renegotiate()
        try client.writeWire(end.output())
        // The answer is an alert, at which this client gives up.
        #expect(throws: TestFailure.self) { try ask(client) }
        #expect(handshakes(rig) == 1)
    }

    @Test func clientCertificates() throws {
        let certificates = try Rig.certificates.get()
        let authority = try certificates.make("authority")
        let right = try certificates.make("right", signedBy: "authority")
        let wrong = try certificates.make("wrong")
        let rig = try Rig(shards: 1, tls: try Rig.tls(clientCA: authority.certificate))
        func attempt(_ files: (String, String)?, _ version: Int32) throws {
            let client = try rig.connectWire()
            try client.handshake(try TLSEnd(options { ($0.certificate, $0.highest) = (files, version) }))
            try ask(client)
        }
        for (number, version) in versions.enumerated() {
            try attempt(right, version)
            // Under TLS 1.3 a client only hears of it when it reads.
            #expect(throws: (any Error).self) { try attempt(nil, version) }
            #expect(throws: (any Error).self) { try attempt(wrong, version) }
            try waitUntil("both are counted") { failures(rig, .clientCertificate) == UInt64(2 * number + 2) }
        }
        #expect(handshakes(rig) == 2)
    }

    // MARK: resumption

    /// A connection with a session to be resumed, and the session that the next one may use.
    private func connect(_ rig: Rig, _ version: Int32, _ session: TLSSession? = nil) throws -> (TLSEnd, TLSSession) {
        let client = try rig.connectWire()
        let end = try TLSEnd(options { ($0.highest, $0.session) = (version, session) })
        try client.handshake(end)
        try ask(client)
        return (end, try #require(end.session))
    }

    @Test(arguments: versions) func tickets(version: Int32) throws {
        let clock = ManualClock()
        let tickets = TLSTickets(clock: clock)
        let certificates = try Rig.certificates.get()
        try certificates.make("other-\(version)")
        let rig = try Rig(shards: 2, tls: try Rig.tls(tickets: tickets))
        let (first, session) = try connect(rig, version)
        #expect(!first.isResumed && resumed(rig) == 0)
        #expect(try connect(rig, version, session).0.isResumed)
        #expect(resumed(rig) == 1)
        // The same certificate, read again, with the same keys for tickets.
        rig.hub.serve(try Rig.tls(tickets: tickets))
        #expect(try connect(rig, version, session).0.isResumed)
        // The key of then is the former one now, then forgotten.
        clock.advance(.seconds(3700))
        #expect(try connect(rig, version, session).0.isResumed)
        clock.advance(.seconds(3700))
        let (again, newer) = try connect(rig, version, session)
        #expect(!again.isResumed)
        // A ticket does not lead past another certificate.
        rig.hub.serve(try Rig.tls("other-\(version)", tickets: tickets))
        #expect(try !connect(rig, version, newer).0.isResumed)
        rig.hub.serve(try Rig.tls(tickets: tickets))
        #expect(try connect(rig, version, newer).0.isResumed)
        tickets.forget()
        #expect(try !connect(rig, version, newer).0.isResumed)
    }

    @Test func anotherCertificateForNewConnections() throws {
        let certificates = try Rig.certificates.get()
        try certificates.make("renewed", serial: 77)
        let rig = try Rig(shards: 1, speaksTLS: true)
        let subscription = try ModelFilter([.logs]).subscription()
        let old = try rig.subscribe(subscription)
        rig.hub.serve(try Rig.tls("renewed"))
        let new = try rig.subscribe(subscription)
        #expect(old.tls?.serverSerial == 1 && new.tls?.serverSerial == 77)
        rig.hub.publish([draft(.logs, #"{"n":1}"#)])
        for client in [old, new] { #expect(try client.message()?["data"]?["n"]?.int == 1) }
    }

    // MARK: bytes

    @Test(arguments: versions) func largeInBothDirections(version: Int32) throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connectWire()
        try client.handshake(try TLSEnd(options { $0.highest = version }))
        let body = (0..<99_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for _ in 0..<3 {
            let answer = try #require(try client.request("POST", "/x", body: body))
            #expect(answer.body == Array("/x ".utf8) + body)
        }
        let answer = try #require(try client.request("GET", "/large"))
        #expect(answer.body.count == 50_000)
    }

    /// The peer reads a little now and then; records of 512 bytes where it wants them so short.
    @Test(arguments: [0, 1] as [UInt8]) func slowReader(fragmentCode: UInt8) throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        let rig = try Rig(limits, shards: 1, speaksTLS: true)
        let client = try rig.connectWire()
        let end = try TLSEnd(options { $0.fragmentCode = fragmentCode })
        try client.handshake(end)
        try client.upgrade(rig.desk.register(Upgrade(subscription: try ModelFilter([.logs]).subscription())))
        let text = String(repeating: "m", count: 3000)
        for number in 0..<400 { rig.hub.publish([draft(.logs, #"{"n":\#(number),"t":"\#(text)"}"#)]) }
        rig.settle()
        rig.shards[0].queue.sync { rig.shards[0].forEachClient { _, client in #expect(client.pointee.flags.contains(.holding)) } }
        for number in 0..<400 {
            if number % 100 == 50 {
                // Its own messages, also a change of keys, come through meanwhile.
                if number == 150, end.version == 0x0304 { try end.changeKeys() }
                try client.send(#"{"type":"ping","id":"\#(number)"}"#)
            }
            var message = try client.message()
            while message?["type"]?.string == "pong" { message = try client.message() }
            #expect(message?["data"]?["n"]?.int == number)
            #expect(message?["data"]?["t"]?.string == text)
        }
        #expect(rig.imbalance() == nil)
    }

    @Test func goodbyeBehindTheLastAnswer() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connect()
        _ = try client.request("GET", "/large", [("Connection", "close")])
        try client.readToEnd()
        #expect(client.tls?.isClosed == true, "the end is no truncation")
        client.end()
        try waitUntil("it is gone") { rig.hub.connectionCount == 0 }
    }

    @Test func goodbyeOfThePeer() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connect()
        // It says that nothing will follow, and still gets its answer.
        try client.write("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        client.tls?.close()
        try client.writeWire(client.tls?.output() ?? [])
        try waitUntil("the request is there") { rig.desk.waiting.withLock { $0.count } == 1 }
        rig.settle()
        rig.desk.answerWaiting()
        #expect(try client.answer()?.status == 500)
        try client.readToEnd()
        #expect(client.tls?.isClosed == true)
    }

    @Test func truncation() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.subscribe(try ModelFilter([.logs]).subscription())
        client.endWriting()
        // What comes is an alert.
        #expect(throws: TestFailure.self) { try client.readToEnd() }
        try waitUntil("it is gone") { rig.hub.connectionCount == 0 }
        // In the middle of a record.
        let other = try rig.connect()
        try other.tls?.write(Array("GET /x HTTP/1.1\r\n".utf8))
        try other.writeWire((other.tls?.output() ?? []).dropLast())
        other.endWriting()
        #expect(throws: TestFailure.self) { try other.readToEnd() }
        try waitUntil("it is gone") { rig.hub.connectionCount == 0 }
    }

    @Test func damagedRecord() throws {
        let rig = try Rig(shards: 1, speaksTLS: true)
        let client = try rig.connect()
        try client.tls?.write(Array("GET /x HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
        var bytes = client.tls?.output() ?? []
        bytes[bytes.count - 1] ^= 1
        try client.writeWire(bytes)
        #expect(throws: TestFailure.self) { try client.answer() }
        try waitUntil("it is gone") { rig.hub.connectionCount == 0 }
    }
}
