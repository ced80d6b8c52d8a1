// Whose turn it is, where some ask for much and others for little.

/// A queue of many owners: each in turn has one element taken, however many another has waiting. Of one owner, first come, first served.
/// Owner: whoever holds its lock.
struct FairQueue<Element> {
    private var lines: [String: [Element]] = [:]
    /// Owners with something waiting, the next first.
    private var turns: [String] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ element: Element, of owner: String) {
        if lines[owner] == nil { turns.append(owner) }
        lines[owner, default: []].append(element)
        count += 1
    }

    /// - Returns: nil where nothing waits.
    mutating func popFirst() -> Element? {
        guard let owner = turns.first, let element = lines[owner]?.removeFirst() else { return nil }
        turns.removeFirst()
        count -= 1
        if lines[owner]?.isEmpty == true { lines[owner] = nil } else { turns.append(owner) }
        return element
    }

    /// Takes out what is no longer wanted.
    mutating func removeAll(of owner: String, where isUnwanted: (Element) -> Bool) {
        guard let before = lines[owner] else { return }
        let rest = before.filter { !isUnwanted($0) }
        count -= before.count - rest.count
        lines[owner] = rest.isEmpty ? nil : rest
        if rest.isEmpty { turns.removeAll { $0 == owner } }
    }

    mutating func removeAll() { self = FairQueue() }
}
