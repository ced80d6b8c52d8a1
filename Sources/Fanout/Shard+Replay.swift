// Replays: events of before for one client, joined to what is live without a hole and without a double.

import Base
import Protocol

extension Shard {
    /// Begins to give a client events of before. Its subscription has begun at `cursor`, and nothing was handed out since.
    /// - Parameter heard: the channels that it was subscribed to before.
    func replay(_ request: ReplayRequest, of channels: ChannelSet, heard: ChannelSet, for index: UInt32) {
        let client = client(index)
        let details = client.pointee.details
        hub.replays.begun.add(1, ordering: .relaxed)
        let evaluator = Evaluator(Audience(channels: channels, filters: details.subscription.audience.filters))
        let oldest = segments.first?.firstSequence ?? cursor
        var from = oldest
        var since: Instant?
        switch request.since {
        case nil: break
        case .id(let epoch, let sequence):
            if epoch != hub.epoch.description || sequence >= cursor {
                tell(.restarted, after: "\(epoch)-\(sequence)", upTo: oldest - 1, channels, index)
            } else if sequence + 1 < oldest {
                tell(.historyExpired, after: hub.epoch.id(sequence), upTo: oldest - 1, channels, index)
            } else {
                from = sequence + 1
            }
        case .instant(let instant): since = instant
        case .ago(let milliseconds): since = hub.clock.now().advanced(byMilliseconds: -milliseconds)
        }
        var archived: ChannelSet = []
        if let since {
            archived = hub.replays.archiveChannels.intersection(channels)
            // What nobody keeps but history is gone with it. Told by instants: an id would say that everything before it is settled.
            let gone = hub.gone(of: channels, since: since)
            if !gone.isEmpty {
                hub.gaps.add(.historyExpired)
                tell(
                    .gap(
                        reason: .historyExpired, channels: gone, from: since, until: hub.coverage(), at: hub.clock.now()), index)
            }
        }
        let backlog = setBehind(client, from: client.pointee.flags.contains(.behind) ? client.pointee.cursor : cursor)
        if archived.isEmpty, request.last == nil, cursor - from <= UInt64(limits.replayEventsMax) {
            give(evaluator, from: from, until: cursor, notBefore: since, to: client, backlog)
            return
        }
        let job = ReplayJob(
            shard: self, handle: ClientHandle(index: index, generation: client.pointee.generation), user: client.pointee.details.principal.user,
            encoding: client.pointee.encoding, evaluator: evaluator, from: from, until: cursor, since: since, last: request.last, archived: archived,
            fresh: channels.subtracting(heard))
        backlog.job = job
        backlog.threshold = since.map { Threshold(channels: job.fresh, notBefore: $0, from: cursor) }
        if let since, !archived.isEmpty {
            // From now on, so that what history lets go of while the sources are read is judged by what they give.
            backlog.coverage = Coverage(evaluator: evaluator, channels: archived, notBefore: since)
            give(evaluator, from: from, until: cursor, notBefore: since, to: client, backlog)
        }
        hub.replays.running.add(1, ordering: .relaxed)
        hub.replays.submit(job)
    }

    /// Puts a replay from history into a backlog, and the cursor where it begins.
    private func give(
        _ evaluator: Evaluator, from: UInt64, until: UInt64, notBefore: Instant?, to client: UnsafeMutablePointer<Client>, _ backlog: Backlog
    ) {
        backlog.settle(before: client.pointee.cursor)
        backlog.add(Stretch(from: from, until: until, evaluator: evaluator, kind: .replay(notBefore: notBefore), ending: .caughtUp))
        client.pointee.cursor = min(client.pointee.cursor, from)
    }

    private func tell(_ reason: GapReason, after: String, upTo last: UInt64, _ channels: ChannelSet, _ index: UInt32) {
        let gap = ControlMessage.gap(
            reason: reason, channels: channels, after: after, resume: hub.epoch.id(last), dropped: nil, at: hub.clock.now())
        hub.gaps.add(reason)
        tell(gap, index)
    }

    /// The id up to which everything is settled for a client that begins with this replay; nil where no id says that.
    func settled(before replay: ReplayRequest?) -> String? {
        guard let replay else { return hub.epoch.id(cursor - 1) }
        guard case .id(let epoch, let sequence)? = replay.since, replay.last == nil, epoch == hub.epoch.description, sequence < cursor else {
            return nil
        }
        return hub.epoch.id(sequence)
    }

    // MARK: from the replay's thread

    /// The client of a replay, while it still wants it.
    private func client(of job: ReplayJob) -> (UInt32, UnsafeMutablePointer<Client>, Backlog)? {
        guard let index = find(job.handle), let backlog = client(index).pointee.details.backlog, backlog.job === job else { return nil }
        return (index, client(index), backlog)
    }

    /// It is known where a replay begins in history, and that nothing is to be read from elsewhere.
    func beginReplay(_ job: ReplayJob, from first: UInt64, gap: ControlMessage?) {
        guard let (index, client, backlog) = client(of: job) else { return }
        let oldest = segments.first?.firstSequence ?? cursor
        if oldest > first, backlog.coverage != nil {
            // History has moved on since that was found out: what it has let go of is with the sources now.
            goOn(job)
            return
        }
        if let gap { tell(gap, index) }
        if first < min(oldest, job.until) {
            tell(.historyExpired, after: hub.epoch.id(first - 1), upTo: min(oldest, job.until) - 1, job.evaluator.audience.channels, index)
        }
        backlog.coverage = nil
        endReplay(backlog)
        backlog.removeReplay()
        give(job.evaluator, from: max(first, oldest), until: job.until, notBefore: job.since, to: client, backlog)
        if !client.pointee.flags.contains(.blocked) { drain(index) }
    }

    /// A replay is read from its sources. History gives the client what only history has.
    func beginArchive(_ job: ReplayJob, gap: ControlMessage?) {
        guard let (index, _, _) = client(of: job) else { return }
        if let gap { tell(gap, index) }
    }

    private func tell(_ gap: ControlMessage, _ index: UInt32) {
        counters.gaps.add(1, ordering: .relaxed)
        enqueue(framed(gap, for: index), for: index)
    }

    /// The next frames of a replay from its sources.
    func give(_ frames: [UInt8], of job: ReplayJob) {
        guard let (index, client, _) = client(of: job) else { return }
        enqueue(frames, for: index)
        job.isWaitingForRoom = true
        if !client.pointee.flags.contains(.blocked) { drain(index) }
    }

    /// The sources have given everything before event `first`, from where on history takes over.
    func join(_ job: ReplayJob, at first: UInt64, _ frames: [UInt8]) {
        guard let (index, client, backlog) = client(of: job) else { return }
        enqueue(frames, for: index)
        let oldest = segments.first?.firstSequence ?? cursor
        if oldest > first, !job.isOver {
            // History has moved on meanwhile; what it has let go of is with the sources now.
            job.isWaitingForRoom = true
        } else {
            backlog.coverage?.until = first
            endReplay(backlog)
        }
        if !client.pointee.flags.contains(.blocked) { drain(index) }
    }

    /// Has a replay's next part read.
    func goOn(_ job: ReplayJob) {
        job.isWaitingForRoom = false
        hub.replays.submit(job)
    }

    /// A replay no longer holds its client back.
    func endReplay(_ backlog: Backlog) {
        guard backlog.job != nil else { return }
        backlog.settleThreshold()
        backlog.job = nil
        hub.replays.running.subtract(1, ordering: .relaxed)
    }
}
