// The one file that speaks C with libsystemd's journal reader. Its traps are dealt with here, so that callers see a plain
// sequence: each entry once, across rotation, vacuuming, and copying from /run to /var.

import Base
import CSystemd
import Glibc

/// The journal, open for reading. Owner: one thread at a time.
public final class Journal {
    /// Where the next entry is to be looked for.
    private enum Position {
        case head
        /// At the end, before which there was no entry that matches.
        case end(since: Instant)
        case instant(Instant)
        case behind(cursor: String)
    }

    /// journald's notices of loss: "suppressed" of a unit that wrote too much, "missed" where it could not keep up.
    public static let suppressedID = "a596d6fe7bfa4994828e72309e95d61e"
    public static let missedID = "e9bf28e6e834481bb6f48f548ad13606"

    /// Entries of one microsecond that are looked through for one that was copied to another file.
    private static let simultaneousMax = 4096

    private let handle: OpaquePointer
    private let subject: String
    private var position = Position.head
    /// The handle stands on an entry that `next` has not given yet.
    private var isPending = false
    /// Files have come or gone since the position was last looked up.
    private var filesHaveChanged = false
    /// Changes of the files have been asked for.
    private var isWatching = false
    /// journald has written since the end was last reached.
    private var mayHaveMore = false

    /// Opens the journal of this machine. Without permission it is empty, see `JournalDirectories`.
    public convenience init() throws(SystemError) {
        var opened: OpaquePointer?
        // Not SYSTEM only: a service that runs as an ordinary user has its lines in that user's file.
        let code = sd_journal_open(&opened, Int32(SD_JOURNAL_LOCAL_ONLY))
        try self.init(opened, code, "sd_journal_open", "")
    }

    /// Opens the journal files of a directory.
    public convenience init(directory: String) throws(SystemError) {
        var opened: OpaquePointer?
        let code = sd_journal_open_directory(&opened, directory, 0)
        try self.init(opened, code, "sd_journal_open_directory", directory)
    }

    private init(_ opened: OpaquePointer?, _ code: Int32, _ call: String, _ subject: String) throws(SystemError) {
        guard code >= 0, let opened else { throw SystemError(call, -code, on: subject) }
        handle = opened
        self.subject = subject
        // The default, 64 KiB, may cut what is stored compressed. What is longer than this is not wanted whole: "MESSAGE=" and
        // one byte more, by which it is seen to be longer.
        sd_journal_set_data_threshold(handle, JournalEntry.valueBytesMax + 9)
    }

    deinit { sd_journal_close(handle) }

    /// Limits the journal to entries of these units, and to journald's own notices of loss. Before the first seek.
    public func match(units: [String]) throws(SystemError) {
        sd_journal_flush_matches(handle)
        for unit in units { try match("_SYSTEMD_UNIT", unit) }
        try check(sd_journal_add_disjunction(handle), "sd_journal_add_disjunction")
        // Nobody but journald can set a field that begins with an underscore. Equal names are alternatives.
        try match("_TRANSPORT", "driver")
        try match("MESSAGE_ID", Journal.suppressedID)
        try match("MESSAGE_ID", Journal.missedID)
    }

    private func match(_ name: String, _ value: String) throws(SystemError) {
        let bytes = Array("\(name)=\(value)".utf8)
        try check(sd_journal_add_match(handle, bytes, bytes.count), "sd_journal_add_match")
    }

    // MARK: positions

    /// Moves behind the last entry.
    /// - Parameter now: stands in for the last entry where there is none: files that come later may hold older ones.
    /// - Returns: the last entry.
    public func seekToEnd(at now: Instant) throws(SystemError) -> JournalEntry? {
        isPending = false
        filesHaveChanged = false
        try check(sd_journal_seek_tail(handle), "sd_journal_seek_tail")
        // Going forwards from the tail itself skips entries, also those that are written later.
        if try check(sd_journal_previous(handle), "sd_journal_previous") > 0 {
            let last = try entry()
            position = .behind(cursor: last.cursor)
            return last
        }
        position = .end(since: now)
        try settle()
        return nil
    }

    /// Moves before the first entry of this instant or later.
    public func seek(to instant: Instant) throws(SystemError) {
        position = .instant(instant)
        try settle()
    }

    /// Moves behind the entry with this cursor; where it is gone, behind where it was.
    public func seek(cursor: String) throws(SystemError) {
        position = .behind(cursor: cursor)
        try settle()
    }

    private func settle() throws(SystemError) {
        isPending = false
        let haveChanged = filesHaveChanged
        filesHaveChanged = false
        switch position {
        case .head: try check(sd_journal_seek_head(handle), "sd_journal_seek_head")
        // By instant only where it must be: the clock may be set back before the first entry comes.
        case .end(let since) where haveChanged: try seekRealtime(since)
        case .end: try check(sd_journal_seek_head(handle), "sd_journal_seek_head")
        case .instant(let instant): try seekRealtime(instant)
        case .behind(let cursor): try settle(behind: cursor)
        }
    }

    private func seekRealtime(_ instant: Instant) throws(SystemError) {
        try check(sd_journal_seek_realtime_usec(handle, UInt64(max(instant.microseconds, 0))), "sd_journal_seek_realtime_usec")
    }

    /// Whether the entry last read was found to be gone since this was last asked: what came behind it may be gone as well.
    public func hasLostItsPlace() -> Bool {
        defer { isPlaceLost = false }
        return isPlaceLost
    }
    private var isPlaceLost = false

    private func settle(behind cursor: String) throws(SystemError) {
        isPlaceLost = true
        guard try step(to: cursor) else { return }
        if try check(sd_journal_test_cursor(handle, cursor), "sd_journal_test_cursor") > 0 {
            isPlaceLost = false
            return
        }
        // Not the entry itself. Copied from /run to /var it has another sequence number, and the handle stands on the first of its
        // microsecond, of which there may be many.
        if let wanted = JournalCursor(cursor) {
            for _ in 0..<Journal.simultaneousMax {
                guard let here = JournalCursor(try present()), here.isSimultaneous(with: wanted) else { break }
                if here.contents == wanted.contents {
                    isPlaceLost = false
                    return
                }
                guard try check(sd_journal_next(handle), "sd_journal_next") > 0 else { break }
            }
            guard try step(to: cursor) else { return }
        }
        // It is gone: this is the one behind it.
        isPending = true
    }

    private func step(to cursor: String) throws(SystemError) -> Bool {
        try check(sd_journal_seek_cursor(handle, cursor), "sd_journal_seek_cursor")
        return try check(sd_journal_next(handle), "sd_journal_next") > 0
    }

    // MARK: reading

    /// The next entry; nil at the end, where it costs next to nothing as long as nothing has been written.
    public func next() throws(SystemError) -> JournalEntry? {
        if filesHaveChanged { try settle() }
        if try !advance() {
            // journald counts an entry before it enters it under its fields. Who looks between the two is told that there is none, and
            // told so again until another one is counted; so once it has said that it is done, we look afresh.
            guard mayHaveMore else { return nil }
            mayHaveMore = false
            try settle()
            guard try advance() else { return nil }
        }
        let entry = try entry()
        position = .behind(cursor: entry.cursor)
        return entry
    }

    /// Passes over entries.
    /// - Returns: how many; fewer than `count` at the end.
    public func skip(_ count: Int) throws(SystemError) -> Int {
        Int(try check(sd_journal_next_skip(handle, UInt64(clamping: count)), "sd_journal_next_skip"))
    }

    private func advance() throws(SystemError) -> Bool {
        if isPending {
            isPending = false
            return true
        }
        return try check(sd_journal_next(handle), "sd_journal_next") > 0
    }

    /// Waits until journald says that something has changed, at most so long. It says so up to 250 ms late, so whoever needs
    /// entries sooner calls `next` meanwhile. Must be called now and then, for files that come and go are only noticed here.
    public func wait(milliseconds: Int32) throws(SystemError) {
        let number = try check(sd_journal_get_fd(handle), "sd_journal_get_fd")
        let events = try check(sd_journal_get_events(handle), "sd_journal_get_events")
        var descriptor = pollfd(fd: number, events: Int16(truncatingIfNeeded: events), revents: 0)
        // The first call has begun to watch, and has looked for files that came before that. A signal ends the wait, too.
        let isFirst = !isWatching
        isWatching = true
        guard poll(&descriptor, 1, isFirst ? 0 : milliseconds) > 0 || isFirst else { return }
        switch Int(try check(sd_journal_process(handle), "sd_journal_process")) {
        case Int(SD_JOURNAL_APPEND): mayHaveMore = true
        case Int(SD_JOURNAL_INVALIDATE):
            mayHaveMore = true
            filesHaveChanged = true
        default: break
        }
    }

    private func entry() throws(SystemError) -> JournalEntry {
        let text = try present()
        var microseconds: UInt64 = 0
        try check(sd_journal_get_realtime_usec(handle, &microseconds), "sd_journal_get_realtime_usec")
        guard let cursor = JournalCursor(text) else { throw SystemError("sd_journal_get_cursor", EBADMSG, on: text) }
        var entry = JournalEntry(
            cursor: text, sequenceID: cursor.sequenceID, sequence: cursor.sequence,
            realtime: Instant(microseconds: Int64(clamping: microseconds)))
        sd_journal_restart_data(handle)
        while true {
            var field: UnsafeRawPointer?
            var count = 0
            let code = sd_journal_enumerate_available_data(handle, &field, &count)
            // A damaged field must not keep everything behind this entry from being read.
            if code < 0 { entry.isCut = true }
            guard code > 0 else { return entry }
            entry.take(UnsafeRawBufferPointer(start: field, count: count))
        }
    }

    /// The cursor of the entry on which the handle stands.
    private func present() throws(SystemError) -> String {
        var text: UnsafeMutablePointer<CChar>?
        try check(sd_journal_get_cursor(handle, &text), "sd_journal_get_cursor")
        guard let text else { return "" }
        defer { free(text) }
        return String(cString: text)
    }

    @discardableResult
    private func check(_ code: Int32, _ call: String) throws(SystemError) -> Int32 {
        guard code >= 0 else { throw SystemError(call, -code, on: subject) }
        return code
    }
}
