// Pings, time-outs and deadlines, by the shard's wheel.

import Base
import Glibc
import Protocol

extension Shard {
    // MARK: wheel

    /// Sets the one deadline of a connection.
    func schedule(_ index: UInt32, in ticks: UInt32) {
        unschedule(index)
        let client = client(index)
        let wait = max(1, ticks)
        client.pointee.deadline = tick &+ wait
        let bucket = Int((tick &+ min(wait, UInt32(Wheel.buckets - 1))) % UInt32(Wheel.buckets))
        client.pointee.wheelBucket = Int32(bucket)
        client.pointee.wheelPrevious = Wheel.none
        client.pointee.wheelNext = wheel[bucket]
        if wheel[bucket] != Wheel.none { self.client(wheel[bucket]).pointee.wheelPrevious = index }
        wheel[bucket] = index
    }

    func unschedule(_ index: UInt32) {
        let client = client(index)
        guard client.pointee.wheelBucket >= 0 else { return }
        let next = client.pointee.wheelNext
        let previous = client.pointee.wheelPrevious
        if previous == Wheel.none { wheel[Int(client.pointee.wheelBucket)] = next } else { self.client(previous).pointee.wheelNext = next }
        if next != Wheel.none { self.client(next).pointee.wheelPrevious = previous }
        client.pointee.wheelBucket = -1
    }

    /// Looks at the clock: deadlines and signs of life count from here. At the beginning of a round, so that what is read in it after a long
    /// stop was read now and not before the stop.
    func readClock() {
        tick = UInt32(truncatingIfNeeded: 1 + (hub.clock.monotonic() &- tickOrigin) / UInt64(Wheel.tickMilliseconds * 1_000_000))
    }

    /// Moves the wheel to the present tick; looks only at connections whose bucket comes up.
    func turnWheel() {
        // After a long stop of the machine every bucket is due once, not once per tick slept.
        if tick &- turned > UInt32(Wheel.buckets) { turned = tick &- UInt32(Wheel.buckets) }
        while turned != tick {
            turned &+= 1
            let bucket = Int(turned % UInt32(Wheel.buckets))
            var index = wheel[bucket]
            wheel[bucket] = Wheel.none
            while index != Wheel.none {
                let client = client(index)
                let next = client.pointee.wheelNext
                client.pointee.wheelBucket = -1
                let left = Int32(bitPattern: client.pointee.deadline &- tick)
                if left > 0 { schedule(index, in: UInt32(left)) } else if !client.pointee.flags.contains(.ended) { expire(index) }
                index = next
            }
        }
    }

    private func expire(_ index: UInt32) {
        let client = client(index)
        if client.pointee.flags.contains(.draining) {
            lookAtDraining(index)
        } else if !client.pointee.flags.isDisjoint(with: [.closing, .lingering, .endAfterFlush]) {
            end(index)
        } else if client.pointee.flags.contains(.http) {
            expireRequest(index)
        } else {
            beat(index)
        }
    }

    private func expireRequest(_ index: UInt32) {
        let client = client(index)
        if client.pointee.flags.contains(.handshaking) { return expireHandshake(index) }
        guard let exchange = client.pointee.details.exchange, exchange.head != nil || !exchange.input.isEmpty else {
            end(index)
            return
        }
        hub.refusals.add(exchange.head == nil ? .headTime : .bodyTime)
        answer(index, .error(408, "the request did not arrive within \(limits.requestTime)"), keepAlive: false, headOnly: false)
    }

    // MARK: signs of life

    private func beat(_ index: UInt32) {
        let client = client(index)
        let interval = max(1, Wheel.ticks(limits.heartbeatInterval))
        let timeout = max(1, Wheel.ticks(limits.clientTimeout))
        if !client.pointee.isFlushed, tick &- client.pointee.lastProgress >= timeout {
            // It does not take our bytes, so a close frame would not reach it either.
            note(.stuck, of: index)
            end(index)
            return
        }
        if client.pointee.encoding.spoken == .eventStream { return beatStream(index, interval) }
        // While we do not read its input, that it takes our bytes is its sign of life.
        let rests = client.pointee.flags.contains(.inputPaused)
        guard let timeLeft = timeLeft(index) else { return }
        let silent = min(tick &- client.pointee.lastReceived, rests ? tick &- client.pointee.lastProgress : .max)
        if silent >= timeout {
            close(index, .timeout)
            return
        }
        // Everyone has a phase of its own (`lastPing` at the start), so that pings are spread over the interval. Who has said
        // something within half of it is alive, and need not be asked.
        let sincePing = tick &- client.pointee.lastPing
        if sincePing >= interval {
            client.pointee.lastPing = tick
            // Also behind what waits: a slow reader that says nothing by itself lives by answering it.
            if silent >= max(1, interval / 2), hasRoom(client) { ping(index) }
        }
        schedule(index, in: max(1, min(sincePing >= interval ? interval : interval - sincePing, timeout - silent, timeLeft)))
    }

    private func ping(_ index: UInt32) {
        let position = position(of: client(index))
        if client(index).pointee.flags.contains(.jsonHeartbeat) {
            send(framed(.heartbeat("ping", at: hub.clock.now(), position: position), for: index), to: index)
        } else {
            send(FrameWriter.frame(.ping, Array((position ?? "").utf8)), to: index)
        }
    }

    /// The id up to which everything is settled for whoever reads up to the end of the ring; nil while a replay has not come to events
    /// that have ids, and for who has still to say who it is: how many events there are is not everybody's business.
    func position(of client: UnsafeMutablePointer<Client>) -> String? {
        if client.pointee.details.backlog?.job != nil || client.pointee.details.awaiting != nil { return nil }
        // A gap is told behind what waits: until then nothing beyond it is settled.
        if let loss = client.pointee.details.loss { return hub.epoch.id(loss.after) }
        return hub.epoch.id((client.pointee.flags.contains(.behind) ? client.pointee.cursor : cursor) - 1)
    }
}
