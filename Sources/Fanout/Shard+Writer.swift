// From the ring to the socket: whatever waits for a client goes out in one write.

import Base
import Glibc
import Protocol

extension Shard {
    // MARK: filling the ring

    /// Appends a run of a frame log; grows the newest span where it is its neighbour.
    /// - Returns: false when the ring is full.
    @inline(__always)
    func push(_ run: Run, of segment: Segment, to client: UnsafeMutablePointer<Client>) -> Bool {
        if let newest = client.pointee.ring.newest(capacity: slots.capacity), newest.pointee.kind == .log,
            newest.pointee.start + Int(newest.pointee.length) == run.start, newest.pointee.last &+ 1 == run.first
        {
            newest.pointee.length += run.length
            newest.pointee.events += run.events
            newest.pointee.lanes += run.lanes
            newest.pointee.last = run.last
            return true
        }
        openRing(of: client)
        let span = Span(
            start: run.start, length: run.length, events: run.events, lanes: run.lanes, last: run.last,
            owner: UnsafeRawPointer(Unmanaged.passUnretained(segment).toOpaque()), kind: .log)
        return client.pointee.ring.push(span, limit: limits.ringSpansMax, capacity: slots.capacity)
    }

    /// Sees to it that a client's ring has slots; its time without progress begins now.
    @inline(__always)
    func openRing(of client: UnsafeMutablePointer<Client>) {
        if client.pointee.ring.hasSlots { return }
        client.pointee.ring.lend(slots.borrow())
        client.pointee.lastProgress = tick
    }

    /// One of our own messages in the client's encoding.
    func framed(_ message: ControlMessage, for index: UInt32) -> [UInt8] { hub.framer.frame(message, as: client(index).pointee.encoding) }

    /// Puts bytes of its own (an answer, a snapshot, a control frame) behind what waits for a client, and sends what can go.
    func send(_ bytes: [UInt8], to index: UInt32) {
        let client = client(index)
        guard !client.pointee.flags.contains(.ended), !bytes.isEmpty else { return }
        enqueue(bytes, for: index)
        if !client.pointee.flags.contains(.blocked) { drain(index) }
    }

    /// As `send`, but without writing yet. Nothing follows our close frame (RFC 6455 §5.5.1): what comes later goes nowhere.
    func enqueue(_ bytes: [UInt8], for index: UInt32) {
        let client = client(index)
        guard client.pointee.flags.isDisjoint(with: [.ended, .closing]), !bytes.isEmpty else { return }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        memory.copyBytes(from: bytes)
        guard let base = UnsafeRawPointer(memory.baseAddress) else { return }
        openRing(of: client)
        let span = Span(start: base, length: UInt32(bytes.count), events: 0, lanes: .none, last: 0, owner: base, kind: .own)
        // The ring has 32 slots beyond `ringSpansMax` for these. A peer that fills even those has its input resting since
        // long: nothing but a fault of ours leads here.
        guard client.pointee.ring.push(span, limit: slots.capacity, capacity: slots.capacity) else {
            memory.deallocate()
            end(index)
            return
        }
        client.pointee.outboxBytes += UInt32(bytes.count)
    }

    /// Whether a client's outbox may take more answers; where not, its input rests.
    func hasRoom(_ client: UnsafeMutablePointer<Client>) -> Bool {
        Int(client.pointee.outboxBytes) < limits.outboxBytesMax && client.pointee.ring.depth < slots.capacity - 16
    }

    /// Takes everything out of a client's ring of which nothing is sent yet; a frame that has begun is finished.
    func withdrawUnbegun(_ index: UInt32) {
        let client = client(index)
        client.pointee.details.placedGap = nil
        var position = 0
        while let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
            defer { position += 1 }
            if position == 0, span.pointee.kind == .log {
                let segment = Unmanaged<Segment>.fromOpaque(span.pointee.owner).takeUnretainedValue()
                let frames = segment.spanFrames(client.pointee.encoding)
                let (frame, isBegun) = frames.position(of: span.pointee.start, among: segment.indices(of: span.pointee))
                if isBegun {
                    span.pointee.length = UInt32(frames.rest(from: span.pointee.start, ofFrame: frame).count)
                    let last = segment.firstSequence + UInt64(frame)
                    let unsent = segment.lanes(of: last + 1..<span.pointee.last + 1)
                    ledger.add(.abandoned, unsent)
                    span.pointee.lanes -= unsent
                    span.pointee.events -= UInt32(span.pointee.last - last)
                    span.pointee.last = last
                    continue
                }
            } else if position == 0 {
                // A block of its own or a state may have begun.
                continue
            }
            if span.pointee.kind == .own { client.pointee.outboxBytes -= span.pointee.length }
            ledger.add(.abandoned, span.pointee.lanes)
            release(span.pointee)
            span.pointee.becomeVoid()
        }
    }

    /// Lets go of a span whose client is gone; of a run, some events may have been sent.
    func abandon(_ span: Span, of client: UnsafeMutablePointer<Client>) {
        if span.kind == .log {
            let segment = Unmanaged<Segment>.fromOpaque(span.owner).takeUnretainedValue()
            let (frame, _) = segment.spanFrames(client.pointee.encoding).position(of: span.start, among: segment.indices(of: span))
            let first = segment.firstSequence + UInt64(frame)
            ledger.add(.delivered, segment.lanes(of: span.last + 1 - UInt64(span.events)..<first))
            ledger.add(.abandoned, segment.lanes(of: first..<span.last + 1))
        } else {
            ledger.add(.abandoned, span.lanes)
        }
        release(span)
    }

    /// Lets go of what a span holds.
    func release(_ span: Span) {
        switch span.kind {
        case .log, .void: break
        case .own, .streamed: UnsafeMutableRawPointer(mutating: span.owner).deallocate()
        case .state: Unmanaged<StateFrame>.fromOpaque(span.owner).release()
        }
    }

    // MARK: emptying it

    /// Writes what waits for a client until nothing does, the socket is full, or its share of the round is used up.
    func drain(_ index: UInt32) {
        assertOwned()
        let client = client(index)
        let speaksTLS = client.pointee.flags.contains(.tls)
        if speaksTLS, !flushTLS(index) { return }
        var budget = limits.roundBytesMax
        while true {
            while let span = client.pointee.ring.peek(0, capacity: slots.capacity), span.pointee.kind == .void { client.pointee.ring.pop() }
            if client.pointee.ring.isEmpty {
                let isFed = client.pointee.flags.contains(.behind) && !client.pointee.flags.contains(.closing)
                if isFed { catchUp(index) }
                if client.pointee.ring.isEmpty {
                    // Nothing passed of what one round may look at.
                    if isFed, client.pointee.flags.contains(.behind), client.pointee.details.backlog?.job == nil { markReady(index) }
                    finished(index)
                    return
                }
            }
            if budget <= 0 {
                markReady(index)
                return
            }
            var share = budget
            if client.pointee.flags.contains(.streams) {
                share = compressWaiting(client, budget)
                if share == 0 {
                    markReady(index)
                    return
                }
            }
            let sent = speaksTLS ? writeTLS(client, budget: share) : write(client, budget: share)
            if sent < 0 {
                switch errno {
                case EAGAIN: client.pointee.flags.insert(.blocked)
                case EINTR: continue
                default:
                    note(.broken(errno), of: index)
                    end(index)
                }
                return
            }
            budget -= sent
            client.pointee.bytesSent += UInt64(sent)
            client.pointee.lastProgress = tick
            // No locked instruction: nobody else writes it.
            counters.bytesSent.store(counters.bytesSent.load(ordering: .relaxed) &+ UInt64(sent), ordering: .relaxed)
            let isTaken = consume(sent, of: client)
            if hasRoom(client) { takeInputAgain(index) }
            if !isTaken {
                // Short: the socket is full. Its edge comes when there is room.
                client.pointee.flags.insert(.blocked)
                return
            }
        }
    }

    /// One system call over as many spans as fit.
    private func write(_ client: UnsafeMutablePointer<Client>, budget: Int) -> Int {
        guard let first = client.pointee.ring.peek(0, capacity: slots.capacity) else { return 0 }
        if client.pointee.ring.depth == 1 {
            sentPlan = min(Int(first.pointee.length), max(budget, 1))
            return Glibc.send(client.pointee.descriptor, first.pointee.start, sentPlan, Int32(MSG_NOSIGNAL))
        }
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: 64) { vectors -> Int in
            var count = 0
            var total = 0
            while count < 64, total < budget, let span = client.pointee.ring.peek(count, capacity: slots.capacity) {
                let length = min(Int(span.pointee.length), budget - total)
                vectors.initializeElement(
                    at: count, to: iovec(iov_base: UnsafeMutableRawPointer(mutating: span.pointee.start), iov_len: length))
                total += length
                count += 1
            }
            sentPlan = total
            var message = msghdr()
            message.msg_iov = vectors.baseAddress
            message.msg_iovlen = count
            return sendmsg(client.pointee.descriptor, &message, Int32(MSG_NOSIGNAL))
        }
    }

    /// Takes sent bytes out of the ring.
    /// - Returns: whether everything that was given to the kernel was taken.
    private func consume(_ sent: Int, of client: UnsafeMutablePointer<Client>) -> Bool {
        var rest = sent
        while rest > 0, let span = client.pointee.ring.peek(0, capacity: slots.capacity) {
            if span.pointee.kind == .own { client.pointee.outboxBytes -= UInt32(min(rest, Int(span.pointee.length))) }
            if rest < Int(span.pointee.length) {
                span.pointee.start += rest
                span.pointee.length -= UInt32(rest)
                break
            }
            rest -= Int(span.pointee.length)
            ledger.add(.delivered, span.pointee.lanes)
            if !isHandingOut { enterDelay(of: span.pointee) }
            if span.pointee.kind == .own, client.pointee.details.placedGap?.block == span.pointee.owner {
                client.pointee.details.placedGap = nil
            }
            release(span.pointee)
            client.pointee.ring.pop()
        }
        return sent == sentPlan
    }

    /// Everything is sent.
    private func finished(_ index: UInt32) {
        let client = client(index)
        if let memory = client.pointee.ring.takeBack() { slots.giveBack(memory) }
        if client.pointee.flags.contains(.endAfterFlush), !client.pointee.flags.contains(.lingering) {
            // Our side ends first and the peer gets time to read: closing now would reset the connection under its last answer
            // (RFC 9112 §9.6, RFC 6455 §7.1.1).
            if client.pointee.flags.contains(.tls), !closeTLS(index) { return }
            client.pointee.flags.insert(.lingering)
            // It asks nothing any more, and does not take the place of who does.
            if client.pointee.flags.contains(.plainHTTP) {
                client.pointee.flags.remove(.plainHTTP)
                hub.httpConnections.subtract(1, ordering: .relaxed)
            }
            shutdown(client.pointee.descriptor, Int32(SHUT_WR))
            if client.pointee.flags.contains(.peerEnded) { end(index) } else { schedule(index, in: lastWait(client)) }
            return
        }
        // There is room for the next part of a replay.
        if client.pointee.flags.contains(.behind), let job = client.pointee.details.backlog?.job, job.isWaitingForRoom { goOn(job) }
        takeInputAgain(index)
    }

    /// The outbox has room: input that rested for it goes on.
    private func takeInputAgain(_ index: UInt32) {
        let client = client(index)
        guard client.pointee.flags.contains(.inputPaused) else { return }
        client.pointee.flags.remove(.inputPaused)
        client.pointee.flags.insert(.moreInput)
        markReady(index)
    }
}
