// First in, first out.

/// A queue in an array. Owner: one thread at a time. Its bound is its user's business.
struct Fifo<Element> {
    private var elements: [Element?] = []
    /// Places before it are empty.
    private var first = 0

    var count: Int { elements.count - first }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ element: Element) { elements.append(element) }

    /// - Complexity: O(1), spread over as many calls as there were elements.
    mutating func popFirst() -> Element? {
        guard first < elements.count else { return nil }
        let element = elements[first]
        elements[first] = nil
        first += 1
        if first == elements.count || first > 1024 {
            elements.removeFirst(first)
            first = 0
        }
        return element
    }

    mutating func removeAll() {
        elements.removeAll()
        first = 0
    }
}
