// Clients that are behind: fed from history by their cursor until they are level, and told of what history had let go of.

import Base
import Protocol

extension Shard {
    /// Events of a backlog that are looked at in one round: a filter that passes little must not make the others wait.
    private static let scannedMax = 2048
    private static let stretchEvents = 256

    /// From `sequence` on the client is fed from history.
    @discardableResult
    func setBehind(_ client: UnsafeMutablePointer<Client>, from sequence: UInt64) -> Backlog {
        if !client.pointee.flags.contains(.behind) {
            client.pointee.flags.insert(.behind)
            metrics.countBehind(1)
            client.pointee.group?.takeUnretainedValue().behind += 1
        }
        client.pointee.cursor = sequence
        if let backlog = client.pointee.details.backlog { return backlog }
        let backlog = Backlog(from: sequence)
        client.pointee.details.backlog = backlog
        return backlog
    }

    /// From now on the client is fed by the fan-out.
    private func setLevel(_ client: UnsafeMutablePointer<Client>) {
        guard client.pointee.flags.contains(.behind) else { return }
        client.pointee.flags.remove(.behind)
        metrics.countBehind(-1)
        client.pointee.group?.takeUnretainedValue().behind -= 1
    }

    /// Feeds a client whose ring is empty from history, from its cursor on, as much as one round allows.
    func catchUp(_ index: UInt32) {
        let client = client(index)
        guard let backlog = client.pointee.details.backlog else { preconditionFailure("behind without a backlog") }
        // Also a gap waits: its ids would settle what the replay has not given yet.
        if backlog.job != nil { return }
        tellGap(index)
        var scanned = 0
        while true {
            endStretches(index, backlog)
            if client.pointee.flags.contains(.ended) { return }
            let present = client.pointee.group?.takeUnretainedValue().evaluator
            if client.pointee.cursor >= cursor || present == nil && backlog.stretches.isEmpty {
                setLevel(client)
                client.pointee.details.backlog = nil
                if client.pointee.flags.contains(.draining) { farewell(index) }
                return
            }
            guard let segment = segment(holding: client.pointee.cursor) else { preconditionFailure("a cursor before history") }
            let first = Int(client.pointee.cursor - segment.firstSequence)
            let border = min(segment.next?.firstSequence ?? cursor, cursor, backlog.border(after: client.pointee.cursor) ?? cursor)
            let end = min(first + Shard.stretchEvents, Int(border - segment.firstSequence))
            let frames = ensureFrames(client.pointee.encoding, of: segment, upTo: end)
            if !feed(first..<end, of: segment, frames, to: client, backlog, present) { return }
            scanned += end - first
            if let newest = client.pointee.ring.newest(capacity: slots.capacity), Int(newest.pointee.length) >= limits.roundBytesMax {
                return
            }
            if scanned >= Shard.scannedMax { return }
        }
    }

    /// Puts what passes of a range into the ring, and moves the cursor.
    /// - Returns: false when the ring is full.
    private func feed(
        _ range: Range<Int>, of segment: Segment, _ frames: FrameLog, to client: UnsafeMutablePointer<Client>, _ backlog: Backlog,
        _ present: Evaluator?
    ) -> Bool {
        var tally = Tally()
        // As it was before the run in the making, which may turn out not to fit.
        var before = tally
        var run: Run?
        func close() -> Bool {
            guard let made = run else { return true }
            run = nil
            if push(made, of: segment, to: client) {
                if backlog.hasReplay { client.pointee.ring.newest(capacity: slots.capacity)?.pointee.isTimed = false }
                return true
            }
            tally = before
            client.pointee.cursor = made.first
            return false
        }
        for index in range {
            let (verdict, isOwed) = backlog.judge(index, of: segment, present: present, head: cursor)
            let entry = segment.entry(at: index)
            // A frame that was made when others needed it may lie elsewhere than behind the one before.
            let place = verdict == .due ? frames.place(of: index, segment) : nil
            let isTaken = place.map { run?.extend(frames.start(of: $0), $0.length, entry) == true } ?? false
            if !isTaken {
                guard close() else {
                    tally.commit(to: ledger, backlog)
                    return false
                }
                if let place {
                    before = tally
                    run = Run(frames.start(of: place), place.length, segment.firstSequence &+ UInt64(index), entry)
                }
            }
            tally.enter(entry.pointee.channel, verdict, isOwed: isOwed)
        }
        let isDone = close()
        if isDone { client.pointee.cursor = segment.firstSequence &+ UInt64(range.upperBound) }
        tally.commit(to: ledger, backlog)
        return isDone
    }

    /// Stretches that the cursor has passed are over; their last word goes out.
    private func endStretches(_ index: UInt32, _ backlog: Backlog) {
        for stretch in backlog.takeEnded(at: client(index).pointee.cursor) {
            switch stretch.ending {
            case .nothing: break
            case .message(let message): enqueue(framed(message, for: index), for: index)
            case .caughtUp:
                let position = hub.epoch.id(max(client(index).pointee.cursor, stretch.until) - 1)
                enqueue(framed(.caughtUp(position: position, at: hub.clock.now()), for: index), for: index)
            }
        }
    }

    /// Tells of lost events.
    private func tellGap(_ index: UInt32) {
        let details = client(index).pointee.details
        guard let loss = details.loss else { return }
        details.loss = nil
        countGap(loss, of: client(index))
        enqueue(gapFrame(loss, for: client(index)), for: index)
    }

    /// The segment of history that an event is in; nil when this shard has let go of it.
    func segment(holding sequence: UInt64) -> Segment? {
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].firstSequence <= sequence { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : segments[low - 1]
    }

    /// The frames of a segment; where they are made ahead, those of its first `count` events at least.
    func ensureFrames(_ encoding: Encoding, of segment: Segment, upTo count: Int) -> FrameLog {
        let frames = segment.frames(encoding) ?? segment.frameLog(encoding)
        if encoding.isMadeAhead, frames.filledCount < count { frames.fill(upTo: count, of: segment) }
        return frames
    }

    /// What waited for a client will not be given any more: it is closed, or gone.
    func abandonBacklog(_ client: UnsafeMutablePointer<Client>) {
        guard let backlog = client.pointee.details.backlog else { return }
        if let job = backlog.job {
            job.cancel()
            hub.replays.withdraw(job)
        }
        endReplay(backlog)
        ledger.add(.abandoned, backlog.owed)
        client.pointee.details.backlog = nil
        client.pointee.details.loss = nil
        setLevel(client)
    }
}
