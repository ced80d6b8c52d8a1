// HTTP as a shard serves it: requests one after the other, in pieces, at once, and answers that take their time.

import Base
import Protocol
import TestSupport
import Testing

@testable import Fanout

@Suite struct RequestTests {
    @Test func oneAfterTheOther() throws {
        let rig = try Rig(shards: 1)
        let client = try rig.connect()
        for number in 0..<5 {
            let answer = try client.request("POST", "/x?\(number)", body: Array("body \(number)".utf8))
            #expect(answer?.status == 200)
            #expect(answer?.text == "/x?\(number) body \(number)")
            #expect(answer?.head.contains("connection: keep-alive") == true)
        }
        #expect(try client.request("HEAD", "/x")?.head.contains("content-length: 3\r\n") == true)
        #expect(try client.request("GET", "/refused")?.status == 404)
        #expect(try client.request("GET", "/x", [("Connection", "close")])?.status == 200)
        #expect(try client.answer() == nil)
        client.end()
        try waitUntil("the connection ends") { rig.hub.connectionCount == 0 }
    }

    @Test func byteByByte() throws {
        let rig = try Rig(shards: 1)
        let client = try rig.connect()
        for byte in Array(
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n".utf8)
        {
            try client.write([byte])
        }
        #expect(try client.answer()?.text == "/x abcde")
    }

    /// Many requests at once are answered in their order, the slow one in its place.
    @Test func pipelined() throws {
        let rig = try Rig(shards: 1)
        let client = try rig.connect()
        let names = ["a", "later", "b", "later", "c"]
        try client.write(names.map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        #expect(try client.answer()?.text == "/a ")
        for (number, next) in ["b", "c"].enumerated() {
            try waitUntil("the slow request is asked") { rig.desk.waiting.withLock { $0.count } == number + 1 }
            rig.settle()
            #expect(try !client.hasInput())
            rig.desk.waiting.withLock { $0[number](Response(status: 200, body: Array("at last".utf8))) }
            #expect(try client.answer()?.text == "at last")
            #expect(try client.answer()?.text == "/\(next) ")
        }
    }

    /// Requests whose answers nobody takes have to wait, and are served when there is room again.
    @Test func pipelinedBeyondTheOutbox() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.outboxBytesMax = 60_000
        let rig = try Rig(limits, shards: 1, clock: ManualClock())
        let client = try rig.connect()
        let count = 10
        try client.write((0..<count).map { _ in "GET /large HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        // What the server holds is bounded.
        rig.settle()
        try waitUntil("the first request is read") {
            rig.shards[0].queue.sync { rig.shards[0].client(0).pointee.outboxBytes > 0 }
        }
        #expect(rig.shards[0].queue.sync { rig.shards[0].client(0).pointee.outboxBytes } < 120_000)
        for number in 0..<count { #expect(try client.answer()?.body.count == 50_000, "answer \(number)") }
        #expect(try client.request("GET", "/x")?.text == "/x ")
    }

    /// The same for messages: their reading rests, and goes on where it stopped.
    @Test func messagesBeyondTheOutbox() throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        limits.outboxBytesMax = 2000
        limits.messagesPerSecond = 0
        let rig = try Rig(limits, shards: 1, clock: ManualClock())
        let client = try rig.subscribe(ModelFilter([]))
        let count = 2000
        let failures = SharedFailures()
        try onThreads(2) { role in
            failures.catching {
                if role == 0 {
                    for number in 0..<count { try client.send(#"{"type":"ping","id":\#(number)}"#) }
                } else {
                    for number in 0..<count {
                        guard try client.message()?["id"]?.int == number else {
                            throw TestFailure("answer \(number) is not there")
                        }
                    }
                }
            }
        }
        #expect(failures.all == [])
    }

    /// A peer that has ended its side still gets its answer.
    @Test(arguments: ["/x", "/later", "/large"])
    func halfClosed(path: String) throws {
        var limits = Limits()
        limits.sendBufferBytes = 4096
        let rig = try Rig(limits, shards: 1)
        let client = try rig.connect()
        try client.write("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
        if path == "/later" { try waitUntil("the request is asked") { rig.desk.waiting.withLock { $0.count } == 1 } }
        client.endWriting()
        rig.desk.waiting.withLock { $0.first }?(Response(status: 200, body: Array("late".utf8)))
        #expect(try client.answer()?.status == 200)
        #expect(try client.answer() == nil)
        try waitUntil("the connection ends") { rig.hub.connectionCount == 0 }
    }

    /// An answer that comes when its connection is gone, or its place belongs to somebody else, goes nowhere.
    @Test func answerForNobody() throws {
        let rig = try Rig(shards: 1)
        let first = try rig.connect()
        try first.write("GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        try waitUntil("the request is asked") { rig.desk.waiting.withLock { $0.count } == 1 }
        first.end()
        // The end is seen when something is to be read or written: while an answer is awaited, reading rests.
        let second = try rig.connect()
        #expect(try second.request("GET", "/x")?.text == "/x ")
        let answer = try #require(rig.desk.waiting.withLock { $0.first })
        answer(Response(status: 200, body: Array("secret".utf8)))
        rig.settle()
        answer(Response(status: 200, body: Array("secret".utf8)))
        rig.settle()
        #expect(try second.request("GET", "/y")?.text == "/y ")
        try waitUntil("only the second is left") { rig.hub.connectionCount == 1 }
    }

    @Test(arguments: [
        ("GET /x HTTP/1.1\r\n\r\n", 400), ("GET /x HTTP/3.0\r\nHost: a\r\n\r\n", 505), ("BAD\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}", 400),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", 413),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n", 404),
    ])
    func refusedAndEnded(request: String, status: Int) throws {
        let rig = try Rig(shards: 1)
        let client = try rig.connect()
        try client.write(request)
        let answer = try #require(try client.answer())
        #expect(answer.status == status)
        #expect(answer.text.hasPrefix(#"{"error":""#))
        #expect(answer.head.contains("connection: close"))
        #expect(try client.answer() == nil)
    }

    @Test func expectsContinue() throws {
        let rig = try Rig(shards: 1)
        let client = try rig.connect()
        try client.write("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.answer()?.status == 100)
        try client.write("abc")
        #expect(try client.answer()?.text == "/x abc")
    }

    /// Frames that come in one piece with the request for the upgrade are not lost, whole or cut.
    @Test(arguments: [0, 1, 5, 20])
    func framesBehindTheUpgrade(held: Int) throws {
        let rig = try Rig(shards: 1)
        let client = try rig.connect()
        let target = rig.desk.register(Upgrade(subscription: try ModelFilter([.logs]).subscription()))
        let text = #"{"type":"ping","id":"7"}"#
        let frame: [UInt8] = [0x81, 0x80 | UInt8(text.utf8.count), 0, 0, 0, 0] + Array(text.utf8)
        let bytes = Array("GET /x HTTP/1.1\r\nHost: a\r\n\r\n".utf8) + Array(SocketClient.upgradeRequest(target).utf8) + frame
        try client.write(Array(bytes.dropLast(held)))
        #expect(try client.answer()?.status == 200)
        #expect(try client.answer()?.status == 101)
        try client.write(Array(bytes.suffix(held)))
        #expect(try client.message()?["id"]?.string == "7")
    }
}
