// What a client got, and whether that is all that it should have got: nothing twice, nothing out of order, nothing missing
// without a gap that says so, and no gap that says more or less than is missing.

import Fanout
import Protocol

/// The sequence in an id.
public func sequence(ofID id: String) -> UInt64? { id.split(separator: "-").last.flatMap { UInt64($0) } }

/// A `gap` as it came.
public struct Gap: Sendable, Equatable {
    public var reason: String
    public var after: UInt64
    public var resume: UInt64
    public var dropped: Int
}

/// The messages of one client in the order of their arrival.
public struct Ledger: Sendable {
    public enum Entry: Sendable, Equatable {
        case event(sequence: UInt64, number: Int)
        case gap(Gap)
        /// The `id` of an answer to a request.
        case ack(String)
        case other(String)
    }
    public private(set) var entries: [Entry] = []
    public init() {}

    public var gaps: [Gap] { entries.compactMap { if case .gap(let gap) = $0 { gap } else { nil } } }
    public var events: [(sequence: UInt64, number: Int)] {
        entries.compactMap { if case .event(let sequence, let number) = $0 { (sequence, number) } else { nil } }
    }

    /// Enters a message.
    public mutating func enter(_ message: JSON) throws {
        let type = message["type"]?.string ?? ""
        switch type {
        case "gap":
            guard let data = message["data"], let reason = data["reason"]?.string,
                let after = data["after"]?.string.flatMap(sequence(ofID:)),
                let resume = data["resume"]?.string.flatMap(sequence(ofID:)),
                let dropped = data["dropped"]?.int
            else { throw TestFailure("not a gap as it should be: \(message)") }
            entries.append(.gap(Gap(reason: reason, after: after, resume: resume, dropped: dropped)))
        case "ack": entries.append(.ack(message["id"]?.string ?? ""))
        default:
            if let id = message["id"]?.string.flatMap(sequence(ofID:)), let number = message["data"]?["n"]?.int {
                entries.append(.event(sequence: id, number: number))
            } else {
                entries.append(.other(type))
            }
        }
    }

    /// Reads a client's messages up to the first of a type (that one not entered), or to the end of the connection.
    /// - Returns: whether that message came.
    @discardableResult
    public mutating func read(_ client: SocketClient, until type: String) throws -> Bool {
        while let message = try client.message() {
            if message["type"]?.string == type { return true }
            try enter(message)
        }
        return false
    }

    /// Compares with what was published: events by their sequence.
    /// - Parameters:
    ///   - start: the last sequence before the subscription.
    ///   - passes: whether the client should get an event.
    /// - Returns: nil, or what is wrong.
    public func complaint(
        against published: [UInt64: ModelEvent], since start: UInt64 = 0, passes: (ModelEvent) -> Bool
    ) -> String? {
        let wanted = published.filter { $0.key > start && passes($0.value) }.keys.sorted()
        var next = 0
        var settled = start
        for entry in entries {
            switch entry {
            case .event(let sequence, let number):
                guard sequence > settled else { return "event \(sequence) behind \(settled)" }
                guard next < wanted.count, wanted[next] == sequence else {
                    return published[sequence].map { passes($0) } == true
                        ? "event \(wanted[next]) is missing before \(sequence), and no gap says so"
                        : "event \(sequence) should not pass"
                }
                guard published[sequence]?.number == number else {
                    return "event \(sequence) is not the one published by that id"
                }
                next += 1
                settled = sequence
            case .gap(let gap):
                guard gap.after >= settled, gap.resume > gap.after else { return "\(gap) behind \(settled)" }
                guard next < wanted.count, wanted[next] > gap.after else { return "\(gap) begins too late" }
                let lost = wanted[next...].prefix { $0 <= gap.resume }.count
                guard lost == gap.dropped, lost > 0 else { return "\(gap), but \(lost) events are lost in it" }
                next += lost
                settled = gap.resume
            case .ack, .other: continue
            }
        }
        return next == wanted.count ? nil : "\(wanted.count - next) events are missing at the end, from \(wanted[next]) on"
    }
}
