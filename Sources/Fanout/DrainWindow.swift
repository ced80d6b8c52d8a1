// When the clients of a daemon that stops are to come back: not all at once.

/// A window divided into as many equal slots as there are clients. A value; any thread.
struct DrainWindow: Sendable {
    let clients: Int
    /// How long it is. Grows with the number of clients, so that so many at most come back in a second.
    let milliseconds: Int

    init(clients: Int, _ limits: Limits) {
        self.clients = clients
        let size = limits.drainWindowMilliseconds
        milliseconds = min(size.base + size.perClient * clients, size.max)
    }

    /// The milliseconds of one client, which nobody else has: as long as the window has as many as there are clients.
    /// - Parameter number: the client's, from 0.
    func slot(_ number: Int) -> Range<Int> {
        let begin = number * milliseconds / max(1, clients)
        return begin..<max((number + 1) * milliseconds / max(1, clients), begin + 1)
    }

    /// A random moment in a client's slot.
    func delay(of number: Int, using generator: inout some RandomNumberGenerator) -> Int {
        Int.random(in: slot(number), using: &generator)
    }
}
