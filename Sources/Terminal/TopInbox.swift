// What other threads have for the loop of the dashboard: events of the connection, signals.

import Base
import CLinux
import Glibc
import GoLeapAIWSClient

/// A bounded queue with a descriptor that poll(2) can wait on. Any thread posts, one takes.
final class TopInbox: Sendable {
    enum Item: Sendable {
        case event(ClientEvent)
        case signal(Int32)
        case version(String)
    }

    /// A terminal that takes no bytes holds up the loop. What then comes is worth less than the memory for it.
    static let eventsMax = 4096

    private struct State {
        var items: [Item] = []
        var dropped = 0
    }

    private let state = Locked(State())
    private let bell: FileDescriptor
    let countMax: Int

    init(max countMax: Int = TopInbox.eventsMax) throws(SystemError) {
        self.countMax = countMax
        let number = clinux_eventfd()
        guard number >= 0 else { throw SystemError("eventfd") }
        bell = FileDescriptor(owning: number)
    }

    /// Readable while something waits.
    var descriptor: Int32 { bell.number }

    func post(_ item: Item) {
        state.withLock { state in
            if case .event(let event) = item, state.items.count >= countMax, event.event != nil {
                state.dropped += 1
            } else {
                state.items.append(item)
            }
        }
        var one: UInt64 = 1
        // Full at 2^64 - 1: then it is readable as well.
        _ = write(bell.number, &one, 8)
    }

    /// All that waits, in order; what had no room is told by a gap behind it.
    func take() -> [Item] {
        var count: UInt64 = 0
        _ = read(bell.number, &count, 8)
        return state.withLock { state in
            var items = state.items
            if state.dropped > 0 { items.append(.event(.gap(Gap(reason: Gap.readerReason, dropped: state.dropped)))) }
            state = State()
            return items
        }
    }
}
