// A dictionary that forgets.

/// Holds up to `capacity` entries; one more drives out the one that was put longest ago. Owner: one thread at a time.
struct BoundedTable<Key: Hashable, Value> {
    private struct Slot {
        var key: Key
        var value: Value
        /// Places in `slots`, -1 at the ends.
        var newer: Int
        var older: Int
    }

    private(set) var capacity: Int
    private var places: [Key: Int] = [:]
    /// As many as there are entries: a removed one's place is taken by the last slot.
    private var slots: [Slot] = []
    private var newest = -1
    private var oldest = -1

    init(capacity: Int) { self.capacity = max(capacity, 1) }

    var count: Int { slots.count }

    subscript(key: Key) -> Value? { places[key].map { slots[$0].value } }

    /// - Complexity: O(1); allocates only while the table has never been as full before.
    mutating func put(_ value: Value, for key: Key) {
        if let place = places[key] {
            slots[place].value = value
            unlink(place)
            link(place)
            return
        }
        if slots.count >= capacity { remove(at: oldest) }
        slots.append(Slot(key: key, value: value, newer: -1, older: -1))
        places[key] = slots.count - 1
        link(slots.count - 1)
    }

    mutating func remove(_ key: Key) { if let place = places[key] { remove(at: place) } }

    mutating func removeAll() {
        places.removeAll(keepingCapacity: true)
        slots.removeAll(keepingCapacity: true)
        newest = -1
        oldest = -1
    }

    mutating func resize(_ wanted: Int) {
        capacity = max(wanted, 1)
        while slots.count > capacity { remove(at: oldest) }
    }

    private mutating func remove(at place: Int) {
        unlink(place)
        places[slots[place].key] = nil
        let last = slots.count - 1
        if place != last {
            let moved = slots[last]
            slots[place] = moved
            places[moved.key] = place
            if moved.newer >= 0 { slots[moved.newer].older = place } else { newest = place }
            if moved.older >= 0 { slots[moved.older].newer = place } else { oldest = place }
        }
        slots.removeLast()
    }

    private mutating func link(_ place: Int) {
        slots[place].newer = -1
        slots[place].older = newest
        if newest >= 0 { slots[newest].newer = place } else { oldest = place }
        newest = place
    }

    private mutating func unlink(_ place: Int) {
        let slot = slots[place]
        if slot.newer >= 0 { slots[slot.newer].older = slot.older } else { newest = slot.older }
        if slot.older >= 0 { slots[slot.older].newer = slot.newer } else { oldest = slot.newer }
    }
}
