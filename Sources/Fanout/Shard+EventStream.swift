// Server-Sent Events: what is theirs alone. Everything between history and socket is the same as for WebSocket.

import Base
import Protocol

extension Shard {
    /// Milliseconds after which a client whose connection broke comes back; spread, so that after a crash they do not come all at once.
    private static let retryMilliseconds = 2000...4000

    /// The head of the answer that begins a stream. It ends with the connection, so HTTP/1.0 understands it as well.
    private func streamHead(_ upgrade: Upgrade) -> [UInt8] {
        // A proxy shall neither keep, nor compress, nor collect it.
        var fields = [("Cache-Control", "no-cache, no-transform"), ("X-Accel-Buffering", "no"), ("Vary", "Accept-Encoding")]
        if upgrade.encoding.compression == .gzip { fields.append(("Content-Encoding", "gzip")) }
        return Response(status: 200, contentType: EventStreamWriter.contentType, fields: fields + upgrade.fields)
            .head(keepAlive: false, bodyBytes: nil)
    }

    /// Answers a HEAD: what a GET would get, without the stream.
    func answerStreamHead(_ index: UInt32, _ upgrade: Upgrade) {
        let client = client(index)
        metrics.answered(200)
        client.pointee.flags.insert(.endAfterFlush)
        schedule(index, in: lastWait(client))
        send(streamHead(upgrade), to: index)
    }

    /// Answers the request of a connection that has become a client.
    func enqueueAnswer(to head: RequestHead, _ upgrade: Upgrade, for index: UInt32) {
        switch upgrade.encoding.spoken {
        case .webSocket:
            metrics.answered(101)
            enqueue(Handshake.response(key: head.first("sec-websocket-key") ?? "", subprotocol: upgrade.subprotocol, extensions: upgrade.compression?.deflate.answer), for: index)
        case .eventStream:
            metrics.answered(200)
            enqueue(streamHead(upgrade) + Framer.streamBeginning(upgrade.encoding.compression), for: index)
        }
    }

    /// The first block of a stream: it has a place to come back to before there is any event.
    func enqueueOpening(_ upgrade: Upgrade, for index: UInt32) {
        guard upgrade.encoding.spoken == .eventStream else { return }
        let block = EventStreamWriter.block(
            retryMilliseconds: .random(in: Shard.retryMilliseconds, using: &random), id: settled(before: upgrade.replay))
        enqueue(hub.framer.streamed(block, upgrade.encoding.compression), for: index)
    }

    /// A sign of life, with the place to come back to. Also to those who were sent something meanwhile: that may have been statistics, which have no
    /// ids, and the last id of a client whose filters pass little would in time be one that history has left behind.
    ///
    /// Life is the progress of what we write: who says nothing is no worse for it.
    func beatStream(_ index: UInt32, _ interval: UInt32) {
        guard let timeLeft = timeLeft(index) else { return }
        let client = client(index)
        var wait = interval &- (tick &- client.pointee.lastPing)
        if tick &- client.pointee.lastPing >= interval {
            client.pointee.lastPing = tick
            wait = interval
            // Behind what waits, too; but who takes nothing gets no more of them than there is room for.
            if hasRoom(client) { sendHeartbeat(index) }
        }
        schedule(index, in: max(1, min(wait, Wheel.ticks(limits.clientTimeout), timeLeft)))
    }

    private func sendHeartbeat(_ index: UInt32) {
        let client = client(index)
        let position = position(of: client)
        if client.pointee.flags.contains(.jsonHeartbeat) {
            send(framed(.heartbeat("ping", at: hub.clock.now(), position: position), for: index), to: index)
        } else {
            send(hub.framer.streamed(EventStreamWriter.block(comment: "heartbeat", id: position), client.pointee.encoding.compression), to: index)
        }
    }
}
