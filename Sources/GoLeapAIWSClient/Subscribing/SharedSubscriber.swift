// One subscriber of a shared connection, on its way to the thread of that connection, or from one to another.

import Protocol

struct SharedSubscriber: Sendable {
    let member: Subscribers.Member
    var sequence: EventSequence

    /// - Parameter left: called when nobody reads any more, on any thread.
    /// - Throws: for what the daemon would refuse.
    static func make(
        _ id: SubscriberID, _ wish: Subscription, buffer: Int, left: @escaping @Sendable () -> Void
    ) throws(SubscriptionError) -> (subscriber: SharedSubscriber, stream: AsyncStream<ClientEvent>) {
        let filter = try filter(of: wish)
        let (stream, sequence) = EventSequence.make(most: buffer)
        sequence.whenLeft(left)
        return (SharedSubscriber(member: Subscribers.Member(id: id, wish: wish, filter: filter), sequence: sequence), stream)
    }

    static func filter(of wish: Subscription) throws(SubscriptionError) -> EventFilter {
        guard !wish.channels.isEmpty else { throw .invalid("a subscription without channels") }
        do throws(FilterError) {
            return try EventFilter(wish.channels, wish.filters)
        } catch {
            throw .invalid(error.description)
        }
    }
}
