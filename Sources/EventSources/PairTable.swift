// Provider and model of a row as one small number.

/// Gives each pair of provider and model that occurs in the kept rows an index, and takes it back when none is left.
struct PairTable {
    struct Pair {
        let key: Key
        let provider: String
        let model: String
        /// Kept rows that carry this index.
        var rows: Int
    }
    struct Key: Hashable {
        let provider: RowID
        let model: RowID
    }

    /// Rows of pairs beyond this many at once count in the totals only. (18 models are usual, some hundred possible.)
    static let pairsMax = 4096
    /// The index of those rows.
    static let overflow: UInt16 = 0
    /// Longer ids are cut: they are no ids of the gateway.
    private static let idBytesMax = 128

    private var indices: [Key: UInt16] = [:]
    private var free: [UInt16] = []
    private(set) var pairs: [Pair?] = [nil]
    private var last: (key: Key, index: UInt16)?

    /// - Parameters: the ids as they stand in the row; NULL as no bytes.
    /// - Returns: an index that stays valid until `release` was called as often as this.
    mutating func retain(provider: UnsafeRawBufferPointer, model: UnsafeRawBufferPointer) -> UInt16 {
        let key = Key(provider: RowID(provider), model: RowID(model))
        let index: UInt16
        // Rows come in runs of the same pair.
        if let last, last.key == key {
            index = last.index
        } else if let known = indices[key] {
            index = known
        } else if let new = free.popLast() ?? (pairs.count < PairTable.pairsMax ? UInt16(pairs.count) : nil) {
            let pair = Pair(key: key, provider: PairTable.text(provider), model: PairTable.text(model), rows: 0)
            if Int(new) == pairs.count { pairs.append(pair) } else { pairs[Int(new)] = pair }
            indices[key] = new
            index = new
        } else {
            return PairTable.overflow
        }
        last = (key, index)
        pairs[Int(index)]?.rows += 1
        return index
    }

    mutating func release(_ index: Int) {
        guard let pair = pairs[index] else { return }
        if pair.rows > 1 {
            pairs[index]?.rows -= 1
            return
        }
        indices[pair.key] = nil
        pairs[index] = nil
        free.append(UInt16(index))
        last = nil
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: bytes.prefix(idBytesMax), as: UTF8.self)
    }
}
