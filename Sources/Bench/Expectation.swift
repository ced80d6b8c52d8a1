// Which events each client must get: those whose fields its filters pass.

/// Classes of clients that get the same events. Of each `period` events a class gets those with certain residues.
struct Expectation: Sendable, Equatable {
    let period: Int
    /// Residues of a class, ascending; empty for one that gets nothing.
    let classes: [[UInt32]]
    /// The class of each client.
    let classOfClient: [Int]

    /// - Parameters:
    ///   - filters: of the clients.
    ///   - fields: of the events; a filter without a field of its name passes nothing.
    ///   - period: of the fields, as `EventShape` has found it.
    init(filters: FieldPatterns, fields: FieldPatterns, period: Int, clients: Int) {
        self.period = period
        var classes: [[UInt32]] = []
        var classOfClient: [Int] = []
        var residues: [[String]: [UInt32]] = [:]
        for residue in 0..<period {
            residues[filters.fields.map { fields[$0.name]?.text(residue, of: clients) ?? "" }, default: []].append(UInt32(residue))
        }
        var known: [[String]: Int] = [:]
        for client in 0..<clients {
            let values = filters.fields.map { $0.pattern.text(client, of: clients) }
            let number =
                known[values]
                ?? {
                    classes.append(residues[values] ?? [])
                    known[values] = classes.count - 1
                    return classes.count - 1
                }()
            classOfClient.append(number)
        }
        (self.classes, self.classOfClient) = (classes, classOfClient)
    }

    /// How many of the events before `sequence` a class gets.
    static func count(of residues: UnsafeBufferPointer<UInt32>, period: Int, before sequence: UInt32) -> UInt64 {
        let (rounds, rest) = Int(sequence).quotientAndRemainder(dividingBy: period)
        return UInt64(rounds * residues.count + place(of: UInt32(rest), in: residues))
    }

    /// How many of the residues are below `residue`.
    static func place(of residue: UInt32, in residues: UnsafeBufferPointer<UInt32>) -> Int {
        var (low, high) = (0, residues.count)
        while low < high {
            let middle = (low + high) / 2
            if residues[middle] < residue { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
