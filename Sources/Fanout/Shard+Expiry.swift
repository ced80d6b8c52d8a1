// History moves on: what slow clients still waited for is lost to them, and they are told which events that were.

import Base
import Protocol

/// Lost events of one client that no message has told yet.
struct Loss {
    /// The hole: `after` < id ≤ `resume`.
    var after: UInt64
    var resume: UInt64
    var dropped: UInt64
    var channels: ChannelSet

    mutating func merge(_ later: Loss) {
        resume = later.resume
        dropped += later.dropped
        channels.formUnion(later.channels)
    }
}

extension Shard {
    /// History no longer needs a segment: takes it out of the rings of whoever still waits for it, who is told the gap.
    func letGo(_ segment: Segment) {
        assertOwned()
        defer { segment.retire() }
        // The doorbell for the segment's last events may still be on its way.
        fanOut()
        guard let position = segments.firstIndex(where: { $0 === segment }) else { return }
        // Without events behind it, the round above did not get to the next one.
        if position == segments.count - 1, let next = segment.next { segments.append(next) }
        let count = Int((segments.count > position + 1 ? segments[position + 1].firstSequence : cursor) - segment.firstSequence)
        forEachClient { index, client in
            // Who has ended in this round still has its ring.
            guard !client.pointee.flags.contains(.http) else { return }
            let hasHole = !client.pointee.ring.isEmpty && withdraw(segment, from: client)
            let hasLost = client.pointee.flags.contains(.behind) && skip(segment, for: client, count: count)
            // Who waits for a replay is not slow.
            let isWaiting = client.pointee.details.backlog?.job != nil
            if hasHole || hasLost && !isWaiting, limits.disconnectsSlowConsumers { close(index, .tooSlow) }
        }
        segments.remove(at: position)
    }

    /// Moves a client that is behind past a segment; what it has not been given of it is lost.
    /// - Returns: whether anything was.
    private func skip(_ segment: Segment, for client: UnsafeMutablePointer<Client>, count: Int) -> Bool {
        let begin = client.pointee.cursor
        let end = segment.firstSequence + UInt64(count)
        guard begin < end, let backlog = client.pointee.details.backlog else { return false }
        let present = client.pointee.group?.takeUnretainedValue().evaluator
        backlog.settleThreshold()
        var tally = Tally()
        var loss = Loss(after: begin - 1, resume: end - 1, dropped: 0, channels: [])
        for index in Int(begin - segment.firstSequence)..<count {
            let (verdict, isOwed) = backlog.judge(index, of: segment, present: present, head: cursor)
            let entry = segment.entry(at: index)
            tally.enter(entry.pointee.channel, verdict, isOwed: isOwed, isLost: true)
            guard verdict == .due else { continue }
            loss.dropped += 1
            loss.channels.formUnion(entry.pointee.channels)
        }
        tally.commit(to: ledger, backlog)
        client.pointee.cursor = end
        if loss.dropped == 0 { return false }
        note(loss, of: client)
        return true
    }

    /// Keeps a loss for the client's next `gap`: one that waits at the end of its ring takes it in, else it is told when the ring has
    /// run empty and history is read on.
    private func note(_ loss: Loss, of client: UnsafeMutablePointer<Client>) {
        let told = clipped(loss, for: client)
        // Who is disconnected for it hears the close code instead.
        if limits.disconnectsSlowConsumers, client.pointee.details.backlog?.job == nil { return }
        if client.pointee.details.loss != nil {
            client.pointee.details.loss?.merge(told)
            return
        }
        // Before a replay has come to events with ids, an id would settle what it has not given yet.
        if client.pointee.details.backlog?.job == nil, let last = neighbour(before: client.pointee.ring.depth, of: client),
            extend(last, by: told, of: client)
        {
            return
        }
        client.pointee.details.loss = told
    }

    /// Counts a loss, and names only channels that the client is subscribed to.
    private func clipped(_ loss: Loss, for client: UnsafeMutablePointer<Client>) -> Loss {
        client.pointee.dropped += loss.dropped
        var told = loss
        let subscribed = client.pointee.details.subscription.effective
        if !loss.channels.isDisjoint(with: subscribed) { told.channels = loss.channels.intersection(subscribed) }
        return told
    }

    /// A slow client is told of a loss.
    func countGap(_ loss: Loss, of client: UnsafeMutablePointer<Client>) {
        counters.gaps.add(1, ordering: .relaxed)
        hub.gaps.add(.slowConsumer)
        logLoss(loss, of: client)
    }

    /// The `gap` that tells of a loss, as a frame.
    func gapFrame(_ loss: Loss, for client: UnsafeMutablePointer<Client>) -> [UInt8] {
        hub.framer.frame(
            .gap(
                reason: .slowConsumer, channels: loss.channels, after: hub.epoch.id(loss.after), resume: hub.epoch.id(loss.resume),
                dropped: loss.dropped, at: hub.clock.now()), as: client.pointee.encoding)
    }

    // MARK: holes in a ring

    /// Takes a segment's spans out of a client's ring. The frame that is partly sent is copied aside, so that it is finished; where the
    /// others stood, the `gap` stands.
    /// - Returns: whether events are lost by that.
    private func withdraw(_ segment: Segment, from client: UnsafeMutablePointer<Client>) -> Bool {
        let owner = UnsafeRawPointer(Unmanaged.passUnretained(segment).toOpaque())
        guard let frames = segment.frames(client.pointee.encoding) else { return false }
        var hasLost = false
        var position = 0
        while let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
            position += 1
            guard span.pointee.kind == .log, span.pointee.owner == owner else { continue }
            let (frame, isBegun) = frames.position(of: span.pointee.start, among: segment.indices(of: span.pointee))
            // Neighbouring frames are neighbouring sequences; of the span's events some may be sent already.
            var first = segment.firstSequence + UInt64(frame)
            let last = span.pointee.last
            ledger.add(.delivered, segment.lanes(of: last + 1 - UInt64(span.pointee.events)..<first))
            var rest: [UInt8] = []
            var restLanes = Lanes.none
            if isBegun {
                rest = Array(frames.rest(from: span.pointee.start, ofFrame: frame))
                restLanes = segment.lanes(of: first..<first + 1)
                first += 1
            }
            span.pointee.becomeVoid()
            var loss: Loss?
            if first <= last {
                let lost = segment.lanes(of: first..<last + 1)
                // Who is being closed leaves anyway.
                let isLeaving = !client.pointee.flags.isDisjoint(with: [.closing, .ended])
                ledger.add(isLeaving ? .abandoned : .dropped, lost)
                if !isLeaving {
                    hasLost = true
                    loss = clipped(
                        Loss(
                            after: first - 1, resume: last, dropped: last - first + 1, channels: segment.channels(of: first..<last + 1)),
                        for: client)
                }
            }
            if rest.isEmpty, let told = loss, let before = neighbour(before: position - 1, of: client), extend(before, by: told, of: client) {
                continue
            }
            if let loss, !limits.disconnectsSlowConsumers { countGap(loss, of: client) }
            place(rest, lanes: restLanes, loss, in: span, of: client)
        }
        return hasLost
    }

    /// The span before a position of the ring, void ones aside.
    private func neighbour(before position: Int, of client: UnsafeMutablePointer<Client>) -> UnsafeMutablePointer<Span>? {
        for earlier in (0..<position).reversed() {
            if let span = client.pointee.ring.peek(earlier, capacity: slots.capacity), span.pointee.kind != .void { return span }
        }
        return nil
    }

    /// Makes a block of its own out of a void span: the rest of a frame that has begun, and a gap.
    private func place(
        _ rest: [UInt8], lanes: Lanes, _ loss: Loss?, in span: UnsafeMutablePointer<Span>, of client: UnsafeMutablePointer<Client>
    ) {
        let loss = limits.disconnectsSlowConsumers ? nil : loss
        let gap = loss.map { gapFrame($0, for: client) } ?? []
        let bytes = rest + gap
        guard !bytes.isEmpty else { return }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        memory.copyBytes(from: bytes)
        guard let start = UnsafeRawPointer(memory.baseAddress) else { return }
        span.pointee = Span(
            start: start, length: UInt32(bytes.count), events: rest.isEmpty ? 0 : 1, lanes: lanes, last: 0, owner: start, kind: .own)
        client.pointee.outboxBytes += UInt32(bytes.count)
        if let loss {
            client.pointee.details.placedGap = PlacedGap(loss: loss, block: start, bytes: UInt32(gap.count))
        }
    }

    /// Lets a gap that waits in the ring tell of a later loss as well.
    /// - Returns: false where the span is no gap, or has begun to be sent.
    private func extend(_ span: UnsafeMutablePointer<Span>, by loss: Loss, of client: UnsafeMutablePointer<Client>) -> Bool {
        guard span.pointee.kind == .own, let placed = client.pointee.details.placedGap, placed.block == span.pointee.owner,
            span.pointee.length >= placed.bytes
        else { return false }
        var merged = placed.loss
        merged.merge(loss)
        let before = Array(UnsafeRawBufferPointer(start: span.pointee.start, count: Int(span.pointee.length - placed.bytes)))
        let lanes = span.pointee.lanes
        client.pointee.outboxBytes -= span.pointee.length
        release(span.pointee)
        place(before, lanes: lanes, merged, in: span, of: client)
        return true
    }
}

/// A gap that waits in a ring, at the end of a block of the client's own.
struct PlacedGap {
    var loss: Loss
    let block: UnsafeRawPointer
    let bytes: UInt32
}
