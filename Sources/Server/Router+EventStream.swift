// GET /sse/…: the events of a WebSocket as Server-Sent Events.

import Fanout
import Protocol

extension Router {
    /// - Parameter channels: of the address; empty for `/sse`, whose query names them.
    func stream(_ head: RequestHead, _ channels: ChannelSet, isOpen: Bool, _ principal: Principal, _ cors: [(String, String)]) -> Route {
        if options.isDraining() { return stopping(cors) }
        do throws(HTTPError) {
            try BodyDecoder.check(head.body, bytesMax: 0)
            var upgrade = Upgrade(
                encoding: .eventStream, subscription: Subscription(channels: channels, statsInterval: hub.limits.statsInterval), principal: principal)
            upgrade.fields = cors
            upgrade.compress(head, hub.limits.compression)
            try subscribe(&upgrade, to: head.query, isOpen: isOpen, principal)
            if upgrade.subscription.channels.isEmpty {
                throw HTTPError(400, "a stream needs channels from the start: ?channels=logs,stats, or an address such as /sse/logs")
            }
            if let id = try lastEventID(head) {
                // The query says where the stream begins the first time, and stays as it is when a browser comes back. To cut what has happened meanwhile
                // to the last N would be a loss that nobody is told.
                upgrade.replay = ReplayRequest(since: id)
            }
            return .upgrade(upgrade)
        } catch {
            return answer(error, cors)
        }
    }

    /// Where a client that comes back goes on.
    /// - Returns: nil where there is no id, or an empty one, which by the specification means none.
    /// - Throws: 400 for what is no id of ours: to begin with what is live, as if nothing had been said, would lose events in silence.
    private func lastEventID(_ head: RequestHead) throws(HTTPError) -> ReplayRequest.Since? {
        let values = head.all("last-event-id")
        guard let value = values.first, !value.isEmpty || values.count > 1 else { return nil }
        guard values.count == 1, let since = ReplayRequest.since(value), case .id = since else {
            throw HTTPError(400, "Last-Event-ID '\(ForeignText.shown(value))' is not the id of an event")
        }
        return since
    }
}
