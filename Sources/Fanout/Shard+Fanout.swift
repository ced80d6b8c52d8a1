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
            deliver(range, of: segment, sends: end == head)
        }
    }

    /// - Parameter sends: it is the last stretch of what is handed out. Those before it stay in the rings meanwhile: where history went on in
    ///   another segment, one write gives a client both, and nobody waits for a second round over all clients.
    private func deliver(_ range: Range<Int>, of segment: Segment, sends: Bool) {
        // Of the encoding before: neighbours in the list mostly have the same.
        var frames: FrameLog?
        var framed = -1
        // An index loop: a delivery may add nothing to the list, but Swift would retain the array for an iterator.
        for position in groupList.indices {
            let group = groupList[position]
            if group.members.isEmpty { continue }
            if group.encoding.index != framed {
                framed = group.encoding.index
                frames = ensureFrames(group.encoding, of: segment, upTo: range.upperBound)
            }
            guard let frames else { return }
            runs.removeAll(keepingCapacity: true)
            let heard = group.collect(range, of: segment, frames, into: &runs)
            let owes = sends && group.heldSince != nil
            if heard.isEmpty, !owes { continue }
            if runs.isEmpty, group.behind == 0, !owes {
                ledger.add(.offered, heard, times: group.members.count)
                ledger.add(.filtered, heard, times: group.members.count)
            } else {
                hand(runs, heard, range, of: segment, to: group, sends: sends)
            }
        }
    }

    /// Gives a batch to the members of a group.
    /// - Parameter heard: the events of the group's channels, those included that its filters hold back.
    private func hand(_ runs: [Run], _ heard: Lanes, _ range: Range<Int>, of segment: Segment, to group: Group, sends: Bool) {
        var filtered = heard
        for run in runs { filtered -= run.lanes }
        var level = 0
        var offered = 0
        var waiting = 0
        // Of the oldest event that passes.
        let held = group.heldSince
        let published = held ?? runs.first.map { segment.entry(at: Int($0.first &- segment.firstSequence)).pointee.published }
        group.heldSince = sends ? nil : published
        var delivered = ledger.delivered
        isHandingOut = true
        runs.withUnsafeBufferPointer { runs in
            group.members.withUnsafeBufferPointer { members in
                group.turn = group.turn &+ 1 < members.count ? group.turn &+ 1 : 0
                var position = group.turn
                for step in 0..<members.count {
                    let index = members[position]
                    position = position &+ 1 == members.count ? 0 : position &+ 1
                    let client = client(index)
                    if !client.pointee.flags.isDisjoint(with: [.behind, .closing, .ended]) {
                        guard client.pointee.flags.isDisjoint(with: [.closing, .ended]) else { continue }
                        offered &+= 1
                        client.pointee.details.backlog?.owed += heard
                        guard sends, published != nil else { continue }
                        // It fell behind in a stretch that was only put into the rings.
                        if held != nil, !client.pointee.flags.contains(.blocked) { markReady(index) }
                        waiting &+= 1
                        metrics.depth.observe(UInt64(client.pointee.ring.depth))
                        continue
                    }
                    offered &+= 1
                    level &+= 1
                    for run in runs {
                        // A state is not put behind others that wait, where no newer one could take its place.
                        let waits = run.hasState && client.pointee.flags.contains(.blocked)
                        if waits || !push(run, of: segment, to: client) {
                            level &-= 1
                            fallBehind(client, at: run.first, range, of: segment, group, runs)
                            break
                        }
                    }
                    guard sends, let published else { continue }
                    if client.pointee.flags.isDisjoint(with: [.blocked, .ready]) {
                        drain(index)
                        if step & (Shard.clientsPerLook - 1) == 0 { enterDelay(since: published, &delivered) }
                    } else {
                        waiting &+= 1
                        metrics.depth.observe(UInt64(client.pointee.ring.depth))
                    }
                }
            }
        }
        isHandingOut = false
        if sends, let published {
            enterDelay(since: published, &delivered)
            metrics.depth.observe(0, times: UInt64(offered &- waiting))
        }
        ledger.add(.offered, heard, times: offered)
        ledger.add(.filtered, filtered, times: level)
    }

    /// A client cannot take a run of the batch that is being handed out: from there on it is fed from history.
    private func fallBehind(
        _ client: UnsafeMutablePointer<Client>, at sequence: UInt64, _ range: Range<Int>, of segment: Segment, _ group: Group,
        _ runs: UnsafeBufferPointer<Run>
    ) {
        let middle = Int(sequence - segment.firstSequence)
        var filtered = group.heard(range.lowerBound..<middle, of: segment)
        for run in runs where run.first < sequence { filtered -= run.lanes }
        ledger.add(.filtered, filtered)
        setBehind(client, from: sequence).owed += group.heard(middle..<range.upperBound, of: segment)
    }

    // MARK: state

    /// A new state of a stats group to its members. Older states still waiting for one are left out.
    func deliver(_ frames: StateFrames, to key: StatsGroup) {
        assertOwned()
        guard let stats = statsGroups[key] else { return }
        for index in stats.members {
            // Without one, the member has come after the state was made, and was given it then.
            if let frame = frames[client(index).pointee.encoding] { push(frame, number: stats.number, to: index) }
        }
    }

    func push(_ frame: StateFrame, number: UInt32, to index: UInt32) {
        let client = client(index)
        guard client.pointee.flags.isDisjoint(with: [.closing, .ended]), let start = frame.bytes.baseAddress else { return }
        ledger.add(.offered, .stats, 1)
        // The newest span may be half sent only if it is the only one; any other state of this group is superseded.
        var position = 0
        var superseded: UnsafeMutablePointer<Span>?
        while let span = client.pointee.ring.peek(position, capacity: slots.capacity) {
            if span.pointee.kind == .state, span.pointee.group == number, isWhole(span.pointee) {
                release(span.pointee)
                span.pointee.becomeVoid()
                ledger.add(.conflated, .stats, 1)
                superseded = span
            }
            position += 1
        }
        openRing(of: client)
        let span = Span(
            start: start, length: UInt32(frame.bytes.count), events: 1, lanes: Lanes(.stats), last: 0,
            owner: UnsafeRawPointer(Unmanaged.passRetained(frame).toOpaque()), kind: .state, group: number)
        // State may use the ring's reserve. Superseded ones leave their slots behind until the ring moves on, so in time they fill it:
        // then the newest takes the place of the one before.
        if !client.pointee.ring.push(span, limit: slots.capacity - 8, capacity: slots.capacity) {
            if let superseded {
                superseded.pointee = span
            } else {
                release(span)
                ledger.add(.conflated, .stats, 1)
            }
        }
        if client.pointee.flags.isDisjoint(with: [.blocked, .ready]) { drain(index) }
    }

    private func isWhole(_ span: Span) -> Bool {
        Unmanaged<StateFrame>.fromOpaque(span.owner).takeUnretainedValue().bytes.count == Int(span.length)
    }
}
