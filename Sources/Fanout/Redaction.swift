// Where secrets are masked: on the way into the hub, and in what replays read from the sources. Before that nobody has an index of the
// text, so that a filter (`q=`) cannot ask for what is masked.

import Base
import Protocol

/// The masking in force, and what it has counted. Any thread.
public final class Redaction: Sendable {
    /// Nil: off. Taken once per batch.
    private let redactor = Locked<Redactor?>(Redactor())
    private let counters = CaseCounters<RedactionRule>()
    /// No rule masks a text that is shorter than this, but in an address or by the name of a field.
    private static let typeBytesMin = 10

    /// Puts other rules in force, for events that come from now on. Any thread.
    /// - Parameter fields: see `Redactor.init`.
    public func apply(isEnabled: Bool, fields: [String]) {
        let wanted = isEnabled ? Redactor(fields: fields) : nil
        redactor.withLock { $0 = wanted }
    }

    /// Masks made by a rule since the start, also those in replays.
    public func count(_ rule: RedactionRule) -> UInt64 { counters.count(rule) }

    /// Events without their secrets.
    func masked(_ drafts: [EventDraft]) -> [EventDraft] {
        guard let redactor = redactor.withLock({ $0 }) else { return drafts }
        var masked = drafts
        for index in drafts.indices { mask(&masked, index, redactor) }
        return masked
    }

    /// The `data` of a message that is no event.
    func masked(_ data: [UInt8]) -> [UInt8] { redactor.withLock { $0 }?.masked(data, counters.add) ?? data }

    private func mask(_ drafts: inout [EventDraft], _ index: Int, _ redactor: Redactor) {
        // Not by an inout to the element: that would copy the array also where nothing is found.
        if drafts[index].origin == .producer, drafts[index].type.utf8.count >= Redaction.typeBytesMin, MessageType.ofChannel[drafts[index].type] == nil,
            let type = redactor.masked(text: drafts[index].type, counters.add)
        {
            drafts[index].type = type
        }
        guard let data = redactor.masked(drafts[index].data, counters.add) else { return }
        if drafts[index].origin == .table {
            drafts[index].archiveID = drafts[index].data.withUnsafeBytes { old in
                JSONScanner.member("request_id", of: old).map { JSONScanner.unescape(UnsafeRawBufferPointer(rebasing: old[$0])) }
            }
        }
        drafts[index].data = data
    }
}
