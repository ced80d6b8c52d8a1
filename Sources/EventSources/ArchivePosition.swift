// How far a read of the archive has come, in words that outlive what a gateway may do to its table between two calls.

import Base
import Storage

extension RequestArchive {
    /// Where in the order of the archive a row stands.
    struct Place: Comparable, Sendable {
        /// The row's instant.
        var microseconds: Int64
        /// Of two rows of one instant, the one that was written first comes first.
        var rowid: Int64

        static let first = Place(microseconds: .min, rowid: .min)
        static let end = Place(microseconds: .max, rowid: .max)

        static func < (a: Place, b: Place) -> Bool {
            a.microseconds == b.microseconds ? a.rowid < b.rowid : a.microseconds < b.microseconds
        }

        /// Its second since 1970.
        var second: Int64 { Place.second(microseconds) }

        static func second(_ microseconds: Int64) -> Int64 {
            let quotient = microseconds / 1_000_000
            return microseconds % 1_000_000 < 0 ? quotient - 1 : quotient
        }
    }

    /// A row and its name, which is found again when rows are renumbered.
    struct NamedPlace: Sendable {
        var place: Place
        let name: RowName
    }

    /// The last row given, and those of the same instant before it: when rows are renumbered, the last one that is still there
    /// tells where to go on, and if there is none, no row of that instant has been given.
    struct Last: Sendable {
        private static let namesMax = 256

        var place: Place
        private(set) var names: [RowName]

        /// - Parameter last: the one before.
        init(_ place: Place, _ name: RowName, after last: Last?) {
            self.place = place
            if let last, last.place.microseconds == place.microseconds {
                names = last.names.suffix(Last.namesMax - 1) + [name]
            } else {
                names = [name]
            }
        }
    }

    /// The smallest places behind `last`, while the index is being read.
    struct Collecting: Sendable {
        /// The entry of the index that was read last.
        var text: [UInt8]
        var rowid = Int64.min
        var places: [Place] = []
        /// Places behind it are not among the smallest, and are left out.
        private(set) var cut: Place?

        mutating func add(_ place: Place, after: Place) {
            guard place > after, place <= cut ?? .end else { return }
            places.append(place)
            if cut == nil, places.count == Position.collectedMax {
                cut = places.max()
            } else if places.count == 2 * Position.collectedMax {
                cutOff()
            }
        }

        /// Sorts, and keeps the smallest.
        mutating func cutOff() {
            places.sort()
            guard places.count >= Position.collectedMax else { return }
            places.removeLast(places.count - Position.collectedMax)
            cut = places.last
        }
    }

    /// A place in the archive. Make it with `begin`, and hand it to `next` again and again; at most some 300 KB.
    public struct Position: Sendable {
        static let foundMax = 8192
        static let collectedMax = 4096
        static let lateMax = 1024

        public let from: Instant
        /// Whether the last call has given everything that lay before history then. When history has let go of more, there may be
        /// more.
        public internal(set) var isFinished = false

        /// Up to where the live reader had published before the caller looked at history.
        var published: RequestPlace?
        /// The request event of history at which the search for one that the table has goes on: those before it are no longer there.
        var edge: (index: Int, id: [UInt8])?

        var file: GatewayDatabase.FileID?
        /// Holds for every row up to `border`.
        var zones: ZoneBounds?
        /// Every row up to it that lies behind `last` and not behind `covered` is in `found`; every other one up to it that is to be
        /// given and is not in `late` has been given or lies behind `covered`.
        var border: TableBorder?
        var last: Last?
        var covered = Place.first
        /// Largest first, so that the next one is taken off the end.
        var found: [Place] = []
        /// Rows that history has let go of when rows of later instants had been given already; largest first.
        var late: [NamedPlace] = []
        var collecting: Collecting?

        /// Goes back to what was given last.
        mutating func forgetFound() {
            found = []
            collecting = nil
            covered = last?.place ?? .first
        }

        /// Takes in a place that is not behind `covered`.
        mutating func insert(_ place: Place) {
            var low = 0
            var high = found.count
            while low < high {
                let middle = (low + high) / 2
                if found[middle] > place { low = middle + 1 } else { high = middle }
            }
            found.insert(place, at: low)
            guard found.count > Position.foundMax else { return }
            found.removeFirst(found.count - Position.collectedMax)
            covered = found.first ?? covered
        }

        /// Finds the event of history again at which the last search ended; history may have let go of events before it.
        mutating func follow(_ history: HistoryEdge) {
            guard let (last, id) = edge else { return }
            edge = nil
            for index in 0...last {
                guard let other = history.requestID(index) else { return }
                if other == id {
                    edge = (index, id)
                    return
                }
            }
        }
    }
}

/// The newest of a set of rows that holds every row up to it, by its rowid and by the names of the rows before it: when it
/// is renumbered or deleted, the next of them that is still there has the same rows behind it.
struct TableBorder: Sendable {
    private static let namesMax = 128

    /// `Int64.min`: before the first row.
    private(set) var rowid: Int64
    /// The last rows up to it, newest last.
    private var names: [RowName]
    /// Whether these are all.
    private var isWholeTable: Bool
    /// The row of history in front of which it stands; nil while there may be other rows between.
    var edge: RowName?

    /// The newest row up to a rowid.
    init(_ queries: ArchiveQueries, upTo rowid: Int64, names limit: Int = namesMax) throws(DatabaseError) {
        let row = queries.backward
        row.bind(rowid, at: 1)
        row.bind(Int64(limit), at: 2)
        defer { row.reset() }
        self.rowid = .min
        names = []
        while try row.step() {
            if names.isEmpty { self.rowid = row.int64(0) }
            names.append(RowName(row, 1))
        }
        names.reverse()
        isWholeTable = names.count < limit
    }

    var rowidIfAny: Int64? { names.isEmpty ? nil : rowid }

    mutating func append(_ rowid: Int64, _ name: RowName) {
        self.rowid = rowid
        edge = nil
        names.append(name)
        if names.count > 2 * TableBorder.namesMax {
            names.removeFirst(TableBorder.namesMax)
            isWholeTable = false
        }
    }

    /// Whether the row stands where it stood. Then no row up to it has another number either: numbers are given anew in the
    /// order of rows and without holes, and a number is given again only after every row from it on was deleted.
    func isInPlace(_ queries: ArchiveQueries) throws(DatabaseError) -> Bool {
        guard let name = names.last else { return true }
        queries.backward.bind(rowid, at: 1)
        queries.backward.bind(1, at: 2)
        defer { queries.backward.reset() }
        return try queries.backward.step() && queries.backward.int64(0) == rowid && RowName(queries.backward, 1) == name
    }

    /// Finds the place anew.
    ///
    /// - Returns: nil where none of the rows is there any more.
    func relocated(_ queries: ArchiveQueries) throws(DatabaseError) -> TableBorder? {
        if let edge, let rowid = try queries.rowid(of: edge), rowid > .min {
            var border = try TableBorder(queries, upTo: rowid - 1)
            border.edge = edge
            return border
        }
        for name in names.reversed() {
            if let rowid = try queries.rowid(of: name) { return try TableBorder(queries, upTo: rowid) }
        }
        return isWholeTable ? try TableBorder(queries, upTo: .min) : nil
    }
}
