// From history to the rings: each batch of events is decided once per group and handed to its members.

import Base
import Protocol

extension Shard {
    /// Hands out everything that history has and this shard has not handed out yet.
    func fanOut() {
        assertOwned()
        let head = hub.head.load(ordering: .acquiring)
        while cursor < head {
            guard let segment = segments.last else { return }
            let next = segment.next
            let end = min(head, next?.firstSequence ?? head)
            if cursor >= end {
                guard let next else { return }
                segments.append(next)
                continue
            }
            let range = Int(cursor - segment.firstSequence)..<Int(end - segment.firstSequence)
            // First the position, so that who falls behind in this very round is fed up to it.
            cursor = end
            deliver(range, of: segment)
        }
    }

    private func deliver(_ range: Range<Int>, of segment: Segment) {
        // An index loop: a delivery may add nothing to the list, but Swift would retain the array for an iterator.
        for position in groupList.indices {
            let group = groupList[position]
            if group.members.isEmpty { continue }
            ensureFrames(of: segment, upTo: range.upperBound)
            runs.removeAll(keepingCapacity: true)
            group.collect(range, of: segment, frames: segment.textFrames, into: &runs)
            if runs.isEmpty { continue }
            hand(runs, of: segment, to: group)
        }
    }

    private func hand(_ runs: [Run], of segment: Segment, to group: Group) {
        runs.withUnsafeBufferPointer { runs in
            group.members.withUnsafeBufferPointer { members in
                group.turn = group.turn &+ 1 < members.count ? group.turn &+ 1 : 0
                var position = group.turn
                for _ in 0..<members.count {
                    let index = members[position]
                    position = position &+ 1 == members.count ? 0 : position &+ 1
                    let client = client(index)
                    if !client.pointee.flags.isDisjoint(with: [.behind, .closing, .ended]) { continue }
                    for run in runs where !push(run, of: segment, to: client) {
                        client.pointee.flags.insert(.behind)
                        client.pointee.cursor = run.first
                        break
                    }
                    if client.pointee.flags.isDisjoint(with: [.blocked, .ready]) { drain(index) }
                }
            }
        }
    }

    // MARK: state

    /// A new state of a stats group to its members. Older states still waiting for one are left out.
    func deliver(_ frame: StateFrame, to key: StatsGroup) {
        assertOwned()
        guard let stats = statsGroups[key] else { return }
        for index in stats.members { push(frame, number: stats.number, to: index) }
    }

    func push(_ frame: StateFrame, number: UInt32, to index: UInt32) {
        let client = client(index)
        guard client.pointee.flags.isDisjoint(with: [.closing, .ended]), let start = frame.bytes.baseAddress else { return }
        // The newest span may be half sent only if it is the only one; any other state of this group is superseded.
        var position = 0
        var superseded: UnsafeMutablePointer<Span>?
        while let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
            if span.pointee.kind == .state, span.pointee.group == number, isWhole(span.pointee) {
                release(span.pointee)
                span.pointee.becomeVoid()
                counters.conflated.add(1, ordering: .relaxed)
                superseded = span
            }
            position += 1
        }
        openRing(of: client)
        let span = Span(
            start: start, length: UInt32(frame.bytes.count), events: 1, last: 0,
            owner: UnsafeRawPointer(Unmanaged.passRetained(frame).toOpaque()), kind: .state, group: number)
        // State may use the ring's reserve. Superseded ones leave their slots behind until the ring moves on, so in time they fill it:
        // then the newest takes the place of the one before.
        if !client.pointee.ring.push(span, limit: slots.capacity - 8, capacity: slots.capacity) {
            if let superseded {
                superseded.pointee = span
            } else {
                release(span)
                counters.conflated.add(1, ordering: .relaxed)
            }
        }
        if client.pointee.flags.isDisjoint(with: [.blocked, .ready]) { drain(index) }
    }

    private func isWhole(_ span: Span) -> Bool {
        Unmanaged<StateFrame>.fromOpaque(span.owner).takeUnretainedValue().bytes.count == Int(span.length)
    }

    // MARK: history moves on

    /// History no longer needs a segment: takes it out of the rings of whoever still waits for it, who is told the gap.
    func letGo(_ segment: Segment) {
        assertOwned()
        // The doorbell for the segment's last events may still be on its way.
        fanOut()
        guard let position = segments.firstIndex(where: { $0 === segment }) else { return }
        let count = Int((segments.count > position + 1 ? segments[position + 1].firstSequence : cursor) - segment.firstSequence)
        let endSequence = segment.firstSequence + UInt64(count)
        forEachClient { index, client in
            guard client.pointee.flags.isDisjoint(with: [.http, .ended]) else { return }
            // What has not even reached its ring is lost as well; the ring holds what comes before that.
            let unfed = client.pointee.flags.contains(.behind) ? client.pointee.cursor : endSequence
            var hasLost = !client.pointee.ring.isEmpty && withdraw(segment, from: client, endSequence: endSequence)
            if unfed < endSequence {
                let first = Int(max(unfed, segment.firstSequence) - segment.firstSequence)
                let lost = client.pointee.group?.takeUnretainedValue().count(first..<max(first, count), of: segment) ?? 0
                if lost > 0 { lose(UInt64(lost), from: unfed, upTo: endSequence - 1, of: client) }
                hasLost = hasLost || lost > 0
                client.pointee.cursor = endSequence
            }
            if hasLost && limits.disconnectsSlowConsumers { close(index, .tooSlow) }
        }
        segments.remove(at: position)
    }

    /// Notes lost events for a client's next gap.
    private func lose(_ count: UInt64, from first: UInt64, upTo last: UInt64, of client: UnsafeMutablePointer<Client>) {
        if !client.pointee.flags.contains(.gap) {
            client.pointee.flags.insert(.gap)
            client.pointee.gapAfter = first - 1
        }
        client.pointee.gapResume = last
        client.pointee.gapDropped += count
        client.pointee.dropped += count
        counters.dropped.add(count, ordering: .relaxed)
    }

    /// Takes a segment's spans out of a client's ring; the frame that is partly sent is copied aside, so that it is finished.
    /// - Returns: whether events are lost by that; the client is then fed from history, behind the segment.
    private func withdraw(_ segment: Segment, from client: UnsafeMutablePointer<Client>, endSequence: UInt64) -> Bool {
        let owner = UnsafeRawPointer(Unmanaged.passUnretained(segment).toOpaque())
        var hasHole = false
        var position = 0
        while let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
            position += 1
            guard span.pointee.kind == .log else { continue }
            guard span.pointee.owner == owner else {
                // Behind a hole everything comes from history again, after the gap has been told.
                if hasHole { span.pointee.becomeVoid() }
                continue
            }
            let (frame, isBegun) = segment.textFrames.position(of: span.pointee.start)
            // Neighbouring frames are neighbouring sequences; of the span's events some may be sent already.
            var first = segment.firstSequence + UInt64(frame)
            let last = span.pointee.last
            let sent = first - (last + 1 - UInt64(span.pointee.events))
            if isBegun {
                let rest = segment.textFrames.rest(from: span.pointee.start, ofFrame: frame)
                let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: rest.count, alignment: 1)
                memory.copyBytes(from: rest)
                first += 1
                if let start = UnsafeRawPointer(memory.baseAddress) {
                    span.pointee = Span(start: start, length: UInt32(rest.count), events: 1, last: 0, owner: start, kind: .own)
                    client.pointee.outboxBytes += UInt32(rest.count)
                }
            } else {
                span.pointee.becomeVoid()
            }
            // The one that is finished from the copy counts when it is.
            counters.deliveries.add(sent, ordering: .relaxed)
            if first <= last {
                hasHole = true
                lose(last - first + 1, from: first, upTo: last, of: client)
            }
        }
        guard hasHole else { return false }
        client.pointee.gapResume = endSequence - 1
        // Who was behind already may be missing events of this segment beyond its ring: its cursor stays for them.
        if !client.pointee.flags.contains(.behind) || client.pointee.cursor > endSequence { client.pointee.cursor = endSequence }
        client.pointee.flags.insert(.behind)
        return true
    }
}
