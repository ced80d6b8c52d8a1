// Connections over TLS: their handshakes, a few at a time, and the ways from ring to record and from record to input.
//
// The other parts of a shard know of it by three flags. `.tls`: bytes go through `details.tls`; `.handshaking`: not even that yet;
// `.holding`: a record has begun, and its rest waits for the socket.

import Base
import Glibc
import Host
import Protocol

/// What a shard needs for TLS. Confined to its queue.
final class ShardTLS {
    /// For new connections; those that are there keep theirs.
    var context: TLSContext?
    /// Whole hellos that nothing was spent on yet, oldest first; handshakes underway whose peer has answered; those underway, oldest first.
    fileprivate var fresh = Line()
    fileprivate var answered = Line()
    fileprivate var underway: [(handle: ClientHandle, began: UInt32)] = []
    /// A round for the rest of them is posted already.
    fileprivate var isPosted = false
    /// Where short spans become one record.
    fileprivate let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: TLSConnection.recordBytesMax, alignment: 16)

    deinit { scratch.deallocate() }
}

/// Connections in the order in which they came; those that are gone meanwhile stand in it until their turn.
private struct Line {
    private var handles: [ClientHandle] = []
    private var first = 0

    var count: Int { handles.count - first }
    var next: ClientHandle? { first < handles.count ? handles[first] : nil }

    mutating func append(_ handle: ClientHandle) { handles.append(handle) }

    mutating func removeFirst() {
        first += 1
        // Each is moved once on average, however long the line is.
        guard first * 2 > handles.count else { return }
        handles.removeFirst(first)
        first = 0
    }
}

extension Hub {
    /// Puts a certificate in force for connections that come from now on. Any thread.
    public func serve(_ context: TLSContext) { for shard in shards { shard.post { $0.tls.context = context } } }
}

extension Shard {
    /// Handshakes that are carried on in one round: each may take a millisecond, in which nobody is given anything.
    private static let stepsPerRound = 2
    /// Handshakes underway; further hellos wait.
    private static let underwayMax = 128
    /// Where there is no place, a handshake that has taken so long is given up, the oldest first.
    private static let patience = Duration.seconds(1)

    // MARK: handshakes

    /// A connection to a TLS port is there.
    func beginTLS(_ index: UInt32) {
        client(index).pointee.flags.insert([.tls, .handshaking])
        schedule(index, in: Wheel.ticks(limits.handshakeTime))
        hear(index)
    }

    private func handle(_ index: UInt32) -> ClientHandle { ClientHandle(index: index, generation: client(index).pointee.generation) }

    /// The peer of a handshake may have said something: it is looked at when its turn has come.
    private func hear(_ index: UInt32) {
        if client(index).pointee.details.tls != nil {
            enlist(index, in: &tls.answered)
            return
        }
        // The hello stays in the socket until then; here it costs a look.
        switch TLSHello.look(client(index).pointee.descriptor, using: readBuffer) {
        case .incomplete: break
        case .whole: enlist(index, in: &tls.fresh)
        case .request, .garbage:
            guard let exchange = client(index).pointee.details.exchange else { return fail(index, TLSFailure(.notTLS, "what came is not TLS")) }
            switch passProxyHeaderBeforeTLS(of: index, exchange) {
            case nil, .incomplete: break
            // At most once: it is settled then.
            case .passed: return hear(index)
            case .absent: refusePlain(index)
            }
        case .ended: fail(index, TLSFailure(.ended, "the peer ended the connection before its hello"))
        }
        tlsCounters.waiting.store(tls.fresh.count, ordering: .relaxed)
    }

    private func enlist(_ index: UInt32, in line: inout Line) {
        let client = client(index)
        if client.pointee.flags.contains(.shaking) { return }
        client.pointee.flags.insert(.shaking)
        line.append(handle(index))
    }

    /// A part of a round: carries on some handshakes. What is left comes after whatever else waits for the queue.
    func shakeHands() {
        if tls.fresh.next == nil && tls.answered.next == nil { return }
        var steps = 0
        // Who is nearly through goes first.
        while steps < Shard.stepsPerRound, let index = takeNext() {
            steps += 1
            client(index).pointee.flags.remove(.shaking)
            step(index)
        }
        tlsCounters.waiting.store(tls.fresh.count, ordering: .relaxed)
        let canGoOn = tls.answered.next != nil || tls.fresh.next != nil && (tls.underway.count < Shard.underwayMax || whoGivesWay != nil)
        if !canGoOn || tls.isPosted { return }
        tls.isPosted = true
        post { $0.tls.isPosted = false }
    }

    private func takeNext() -> UInt32? {
        if let index = present(&tls.answered) {
            tls.answered.removeFirst()
            return index
        }
        // Nobody gives way to one who is gone.
        guard let index = present(&tls.fresh), makePlace() else { return nil }
        tls.fresh.removeFirst()
        return index
    }

    /// The first of a line who is still there.
    private func present(_ line: inout Line) -> UInt32? {
        while let handle = line.next {
            if let index = find(handle), client(index).pointee.flags.contains(.handshaking) { return index }
            line.removeFirst()
        }
        return nil
    }

    /// The oldest handshake, if it has had its time.
    private var whoGivesWay: UInt32? {
        guard let oldest = tls.underway.first, tick &- oldest.began >= Wheel.ticks(Shard.patience) else { return nil }
        return find(oldest.handle)
    }

    /// Whether one more handshake may begin.
    private func makePlace() -> Bool {
        if tls.underway.count < Shard.underwayMax { return true }
        guard let index = whoGivesWay else { return false }
        fail(index, TLSFailure(.crowded, "others wait, and it has taken more than a second"))
        return true
    }

    private func step(_ index: UInt32) {
        let client = client(index)
        let details = client.pointee.details
        if details.tls == nil {
            guard let context = tls.context, let made = TLSConnection(client.pointee.descriptor, context) else { return end(index) }
            details.tls = made
            tls.underway.append((handle(index), tick))
            tlsCounters.underway.store(tls.underway.count, ordering: .relaxed)
        }
        guard let connection = details.tls else { return }
        switch connection.handshake() {
        case .wantsRead: break
        case .wantsWrite: client.pointee.flags.insert(.blocked)
        case .failed(let failure): fail(index, failure)
        case .done:
            leaveUnderway(index)
            client.pointee.flags.remove(.handshaking)
            // Within TLS nobody speaks for others.
            details.exchange?.way.preface = nil
            tlsCounters.handshakes.add(1, ordering: .relaxed)
            if connection.isResumed { tlsCounters.resumed.add(1, ordering: .relaxed) }
            details.transport = connection.clientName.map { "\(connection.version), certificate \($0.isEmpty ? "without a name" : $0)" } ?? connection.version
            // Now as any connection that has just come.
            client.pointee.lastReceived = tick
            if !client.pointee.flags.contains(.draining) { schedule(index, in: Wheel.ticks(limits.requestTime)) }
            receive(index)
        }
    }

    private func leaveUnderway(_ index: UInt32) {
        let handle = handle(index)
        tls.underway.removeAll { $0.handle == handle }
        tlsCounters.underway.store(tls.underway.count, ordering: .relaxed)
    }

    /// The time for a handshake is over.
    func expireHandshake(_ index: UInt32) { fail(index, TLSFailure(.timeout, "it was not over within \(limits.handshakeTime)")) }

    /// A handshake has failed. OpenSSL's alert, if there is one, is on its way, and gets time to be read.
    private func fail(_ index: UInt32, _ failure: TLSFailure) {
        let client = client(index)
        tlsCounters.add(failure.kind)
        let address = client.pointee.details.address
        Log.debug("TLS handshake with \(address) failed: \(failure.reason)", nil, [.remoteAddress(address.host)])
        leaveTLS(index)
        guard failure.kind != .ended, failure.kind != .timeout, failure.kind != .crowded else { return end(index) }
        client.pointee.flags.insert([.endAfterFlush, .lingering])
        shutdown(client.pointee.descriptor, Int32(SHUT_WR))
        schedule(index, in: lastWait(client))
        // What it has sent is read: closing over it would reset the connection, and the alert with it.
        client.pointee.flags.insert(.moreInput)
        markReady(index)
    }

    /// What came instead of a hello is a request, or it is nothing known.
    private func refusePlain(_ index: UInt32) {
        // Looked at once more rather than carried along: this is no path of anybody who is welcome.
        guard case .request = TLSHello.look(client(index).pointee.descriptor, using: readBuffer) else {
            return fail(index, TLSFailure(.notTLS, "what came is not TLS"))
        }
        tlsCounters.add(.plainHTTP)
        Log.debug("a request without TLS from \(client(index).pointee.details.address) on a TLS port")
        answerBeforeTLS(.error(400, "this port speaks TLS; use https:// or wss://"), index)
    }

    /// The connection is one without TLS, or none, from here on.
    func leaveTLS(_ index: UInt32) {
        leaveUnderway(index)
        client(index).pointee.flags.subtract([.tls, .handshaking, .holding])
        client(index).pointee.details.tls = nil
    }

    /// A connection is taken down.
    func destroyTLS(_ index: UInt32) {
        if client(index).pointee.flags.contains(.handshaking) {
            leaveUnderway(index)
        } else if client(index).pointee.isFlushed {
            client(index).pointee.details.tls?.closeIfPossible()
        }
    }

    // MARK: reading

    /// In place of recv(2), with its results.
    func receiveTLS(_ index: UInt32) -> Int {
        let client = client(index)
        guard !client.pointee.flags.contains(.handshaking), let connection = client.pointee.details.tls else {
            hear(index)
            errno = EAGAIN
            return -1
        }
        switch connection.read(into: readBuffer) {
        case .bytes(let count): return count
        case .wantsRead: errno = EAGAIN
        case .wantsWrite:
            // When the socket takes something, it is drained, and then read again.
            client.pointee.flags.insert([.blocked, .moreInput])
            errno = EAGAIN
        case .closed: return 0
        case .failed(let failure): breakOff(index, failure)
        }
        return -1
    }

    /// The connection is broken: as after a failed system call.
    private func breakOff(_ index: UInt32, _ failure: TLSFailure) {
        note(failure.kind == .ended ? .vanished : .brokenTLS(failure.reason), of: index)
        errno = EPROTO
    }

    // MARK: writing

    /// Before anything new is written: what was begun goes first.
    /// - Returns: false where there is nothing to do before the socket is writable again, or at all.
    func flushTLS(_ index: UInt32) -> Bool {
        let client = client(index)
        guard !client.pointee.flags.contains(.handshaking), let connection = client.pointee.details.tls else {
            // The handshake waited for the socket.
            hear(index)
            return false
        }
        // Reading may have waited for this.
        if client.pointee.flags.contains(.moreInput), client.pointee.flags.isDisjoint(with: [.inputPaused, .answering]) { markReady(index) }
        guard client.pointee.flags.contains(.holding) else { return true }
        switch connection.flush() {
        case .taken:
            client.pointee.flags.remove(.holding)
            client.pointee.lastProgress = tick
            return true
        case .held:
            client.pointee.flags.insert(.blocked)
            return false
        case .failed(let failure):
            breakOff(index, failure)
            end(index)
            return false
        }
    }

    /// In place of send(2): as many spans as fit into one record. What the socket does not take is copied aside, so that its spans may go
    /// while it waits.
    func writeTLS(_ client: UnsafeMutablePointer<Client>, budget: Int) -> Int {
        guard let connection = client.pointee.details.tls, let first = client.pointee.ring.peek(0, capacity: slots.capacity) else { return 0 }
        let most = min(TLSConnection.recordBytesMax, max(budget, 1))
        var record = UnsafeRawBufferPointer(start: first.pointee.start, count: min(Int(first.pointee.length), most))
        if record.count < most, client.pointee.ring.depth > 1 {
            var count = 0
            var position = 0
            while count < most, let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
                let length = min(Int(span.pointee.length), most - count)
                UnsafeMutableRawBufferPointer(rebasing: tls.scratch[count...]).copyMemory(
                    from: UnsafeRawBufferPointer(start: span.pointee.start, count: length))
                count += length
                position += 1
            }
            record = UnsafeRawBufferPointer(rebasing: tls.scratch[0..<count])
        }
        sentPlan = record.count
        switch connection.write(record) {
        case .taken: break
        case .held:
            client.pointee.flags.insert(.holding)
            // The ring is rid of it, but the socket is full.
            sentPlan += 1
        case .failed(let failure):
            if case .none = client.pointee.details.ending {
                client.pointee.details.ending = failure.kind == .ended ? .vanished : .brokenTLS(failure.reason)
            }
            errno = EPROTO
            return -1
        }
        return record.count
    }

    /// Says goodbye in TLS, behind everything else.
    /// - Returns: false where that waits for the socket.
    func closeTLS(_ index: UInt32) -> Bool {
        let client = client(index)
        guard let connection = client.pointee.details.tls else { return true }
        // A connection that cannot be said goodbye to is ended all the same.
        guard case .held = connection.close() else { return true }
        client.pointee.flags.insert([.holding, .blocked])
        return false
    }
}
