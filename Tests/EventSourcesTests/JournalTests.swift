// The reader of journal files, against files that systemd's own tool has written.

import Base
import Glibc
import Testing

@testable import EventSources
@testable import Host

@Suite struct JournalTests {
    let folder: Folder

    init() throws { folder = try Folder() }

    @Test func fieldsOfAnEntry() throws {
        try folder.write([
            TestEntry(
                [0x1B, 0x5B, 0x41, 0xFF, 0x0A, 0x00], at: 7,
                [
                    ("PRIORITY", "3"), ("_SYSTEMD_UNIT", gatewayUnit), ("_LINE_BREAK", "line-max"), ("_STREAM_ID", "ab12"),
                    ("_PID", "30423"), ("_COMM", "goleapai"), ("_TRANSPORT", "stdout"), ("MESSAGE_ID", "00ff"),
                    ("N_DROPPED", "12"),
                    ("OBJECT_SYSTEMD_UNIT", "other.service"), ("SYSLOG_IDENTIFIER", "gateway"), ("_HOSTNAME", "host"),
                ])
        ])
        let journal = try folder.journal()
        let entry = try #require(try journal.next())
        #expect(entry.message == [0x1B, 0x5B, 0x41, 0xFF, 0x0A, 0x00])
        #expect(entry.realtime == TestEntry.began.advanced(byMicroseconds: 7))
        #expect(entry.priority == 3 && entry.unit == gatewayUnit && entry.lineBreak == "line-max" && entry.streamID == "ab12")
        #expect(
            entry.processID == 30423 && entry.command == "goleapai" && entry.transport == "stdout" && entry.messageID == "00ff")
        #expect(entry.dropped == 12 && entry.objectUnit == "other.service" && entry.identifier == "gateway" && !entry.isCut)
        #expect(entry.sequence == 1 && entry.sequenceID != 0)
        #expect(entry.cursor.contains("i=1;"))
        #expect(try journal.next() == nil)
    }

    @Test(arguments: [
        (JournalEntry.valueBytesMax - 1, false), (JournalEntry.valueBytesMax, false), (JournalEntry.valueBytesMax + 1, true),
        (3 * JournalEntry.valueBytesMax, true),
    ])
    func longMessages(_ count: Int, _ isCut: Bool) throws {
        try folder.write([TestEntry([UInt8](repeating: 0x61, count: count), at: 0)])
        let entry = try #require(try folder.journal().next())
        #expect(entry.message.count == min(count, JournalEntry.valueBytesMax))
        #expect(entry.isCut == isCut)
    }

    @Test func matchesUnitsAndNotices() throws {
        let units = [("_SYSTEMD_UNIT", "other.service")]
        try folder.write([
            TestEntry("ours", at: 1), TestEntry("theirs", at: 2, units), TestEntry.suppressed(5, at: 3),
            TestEntry("forged", at: 4, [("_TRANSPORT", "journal"), ("MESSAGE_ID", Journal.suppressedID)] + units),
            TestEntry("driver", at: 5, [("_TRANSPORT", "driver"), ("MESSAGE_ID", "0123")] + units),
            TestEntry("missed", at: 6, [("_TRANSPORT", "driver"), ("MESSAGE_ID", Journal.missedID)]),
            TestEntry("second unit", at: 7, [("_SYSTEMD_UNIT", "second.service")]),
        ])
        let journal = try journalOptions(folder.path, units: [gatewayUnit, "second.service"]).open()
        #expect(try journal.messages() == ["ours", "Suppressed 5 messages from goleapai.service", "missed", "second unit"])
    }

    // MARK: positions

    @Test func endOfAnEmptyJournalMissesNothing() throws {
        let journal = try folder.journal()
        #expect(try journal.seekToEnd(at: TestEntry.began) == nil)
        #expect(try journal.next() == nil)
        try folder.write(numbered(0..<3))
        try journal.waitForChange()
        #expect(try journal.messages() == lines(0..<3))
    }

    /// The trap: of the first burst only the last entry would come.
    @Test func endWithoutAnEntryOfTheUnitMissesNothing() throws {
        try folder.write([TestEntry("theirs", at: 0, [("_SYSTEMD_UNIT", "other.service")])])
        let journal = try folder.journal()
        #expect(try journal.seekToEnd(at: TestEntry.began) == nil)
        #expect(try journal.next() == nil)
        try folder.write(numbered(1..<4))
        try journal.waitForChange()
        #expect(try journal.messages() == lines(1..<4))
    }

    @Test func endGivesTheLastEntryAndWhatFollows() throws {
        try folder.write(numbered(0..<5))
        let journal = try folder.journal()
        #expect(try #require(try journal.seekToEnd(at: TestEntry.began)).sequence == 5)
        #expect(try journal.next() == nil)
        for burst in 1..<4 {
            try folder.write(numbered((5 * burst)..<(5 * burst + 5)))
            try journal.waitForChange()
            #expect(try journal.messages() == lines((5 * burst)..<(5 * burst + 5)))
        }
    }

    /// Older entries of files that come later are none that were written since.
    @Test func olderFilesThatComeLaterAreNotNew() throws {
        let journal = try folder.journal()
        #expect(try journal.seekToEnd(at: Instant(microseconds: TestEntry.began.microseconds + 25_000)) == nil)
        try journal.wait(milliseconds: 0)
        try folder.write(numbered(0..<5))
        try journal.waitForChange()
        #expect(try journal.messages() == lines(3..<5))
    }

    @Test(arguments: [(0, 0), (1, 1), (20_000, 2), (20_001, 3), (90_000, 9), (90_001, 10)])
    func instants(_ microseconds: Int64, _ first: Int) throws {
        try folder.write(numbered(0..<10))
        let journal = try folder.journal()
        try journal.seek(to: Instant(microseconds: TestEntry.began.microseconds + microseconds))
        #expect(try journal.messages() == lines(first..<10))
    }

    @Test func cursorsGoOnBehindTheirEntry() throws {
        try folder.write(numbered(0..<10))
        let all = try folder.journal()
        for number in 0..<10 {
            let cursor = try #require(try all.next()).cursor
            let journal = try folder.journal()
            try journal.seek(cursor: cursor)
            #expect(try journal.messages() == lines((number + 1)..<10))
        }
    }

    @Test func aCursorThatIsGoneSkipsNothing() throws {
        try folder.write(numbered(0..<5), to: "a.journal")
        try folder.write(numbered(5..<10), to: "b.journal")
        let all = try folder.journal()
        let cursors = try (0..<5).map { _ in try #require(try all.next()).cursor }
        folder.delete("a.journal")
        for cursor in cursors {
            let journal = try folder.journal()
            try journal.seek(cursor: cursor)
            #expect(try journal.messages() == lines(5..<10))
        }
    }

    @Test func aCursorAtTheEndGoesOnWithWhatComes() throws {
        try folder.write(numbered(0..<2))
        let cursor = try #require(try folder.journal().seekToEnd(at: TestEntry.began)).cursor
        let journal = try folder.journal()
        try journal.seek(cursor: cursor)
        #expect(try journal.next() == nil)
        try folder.write(numbered(2..<4))
        try journal.waitForChange()
        #expect(try journal.messages() == lines(2..<4))
    }

    // MARK: files that come and go

    @Test func severalFilesInOneOrder() throws {
        try folder.write(numbered(0..<20).filter { $0.at % 20_000 == 0 }, to: "a.journal")
        try folder.write(numbered(0..<20).filter { $0.at % 20_000 != 0 }, to: "b.journal")
        let journal = try folder.journal()
        #expect(try journal.messages() == lines(0..<20))
        #expect(try #require(try folder.journal().seekToEnd(at: TestEntry.began)).realtime == numbered(19..<20)[0].instant)
    }

    @Test func rotationAndVacuumLoseAndDoubleNothing() throws {
        try folder.write(numbered(0..<4))
        let journal = try folder.journal()
        try journal.wait(milliseconds: 0)
        #expect(try journal.messages(atMost: 2) == lines(0..<2))
        folder.rename("system.journal", to: "system@1.journal")
        try folder.write(numbered(4..<8))
        try journal.waitForChange()
        #expect(try journal.messages(atMost: 4) == lines(2..<6))
        // What was read from is gone, and what is read from now is renamed.
        folder.delete("system@1.journal")
        folder.rename("system.journal", to: "system@2.journal")
        try folder.write(numbered(8..<10))
        try journal.waitForChange()
        #expect(try journal.messages() == lines(6..<10))
    }

    /// As when a volatile journal is made persistent: the same entries under other sequence numbers, several of one microsecond.
    @Test func copiedEntriesAreNotGivenAgain() throws {
        let entries = (0..<12).map { TestEntry("line \($0)", at: Int64($0 / 6) * 1000) }
        try folder.write(entries, to: "volatile.journal")
        let all = try folder.journal()
        let cursors = try entries.map { _ in try #require(try all.next()).cursor }
        folder.delete("volatile.journal")
        try folder.write(numbered(0..<1).map { TestEntry("before", at: $0.at - 500) } + entries, to: "persistent.journal")
        for (number, cursor) in cursors.enumerated() {
            let journal = try folder.journal()
            try journal.seek(cursor: cursor)
            #expect(try journal.messages() == lines((number + 1)..<12), "behind \(number)")
        }
    }

    @Test func nextAtTheEndStaysCheapAndQuiet() throws {
        try folder.write(numbered(0..<1))
        let journal = try folder.journal()
        #expect(try journal.messages() == lines(0..<1))
        for _ in 0..<100 { #expect(try journal.next() == nil) }
    }

    @Test func aDirectoryThatIsNotThere() throws {
        let path = folder.path + "/nowhere"
        #expect(throws: SystemError("sd_journal_open_directory", ENOENT, on: path)) { _ = try Journal(directory: path) }
    }

    // MARK: cursors

    @Test func cursorParts() throws {
        let text =
            "s=3f5e51b8ff8c444aa88b5e804757645e;i=2cb;b=0123456789abcdef0123456789abcdef;m=c0eca7f7;t=660e853901768;x=6daa92842d435041"
        let cursor = try #require(JournalCursor(text))
        #expect(cursor.sequence == 0x2cb)
        let id: UInt64 = 0x3f5e_51b8_ff8c_444a ^ 0xa88b_5e80_4757_645e
        #expect(cursor.sequenceID == id)
    }

    @Test(arguments: [
        "", "s", "s=", "s=1;i=2", "s=1;i=g;b=1;m=1;t=1;x=1", "s=1;;i", "s=1;i=-1;b=1;m=1;t=1;x=1",
        "i=11111111111111111111111111111111111111;s=1;b=1;m=1;t=1;x=1",
    ])
    func refusedCursors(_ text: String) { #expect(JournalCursor(text) == nil) }

    // MARK: permission

    @Test func accessByDirectories() throws {
        #expect(JournalDirectories.look(in: [folder.path, "/nowhere"], machine: nil).access == .noJournal)
        mkdir("\(folder.path)/machine", 0o755)
        let before = JournalDirectories.look(in: [folder.path], machine: nil)
        #expect(before.access == .noJournal)
        let file = try #require(fopen("\(folder.path)/machine/system.journal", "w"))
        fclose(file)
        defer {
            unlink("\(folder.path)/machine/system.journal")
            rmdir("\(folder.path)/machine")
        }
        #expect(JournalDirectories.look(in: [folder.path], machine: nil).access == .ok)
        #expect(JournalDirectories.look(in: [folder.path], machine: "machine").access == .ok)
        #expect(JournalDirectories.look(in: [folder.path], machine: "other").access == .noJournal)
        #expect(
            JournalDirectories.look(in: [folder.path, "/nowhere"], machine: nil)
                != JournalDirectories.look(in: ["/nowhere"], machine: nil))
        // Only where the tests are not root's, whom no mode keeps out.
        if geteuid() != 0 {
            chmod("\(folder.path)/machine/system.journal", 0)
            let access = JournalDirectories.look(in: [folder.path], machine: nil).access
            #expect(access == .noPermission(path: "\(folder.path)/machine/system.journal"))
        }
        #expect(
            JournalAccess.noPermission(path: "/x").sentence.hasPrefix("/x may not be read: add the user to group systemd-journal")
        )
    }
}

extension Journal {
    /// Takes in what has been done to the files; all of it, since the kernel tells it at once.
    func waitForChange() throws { try wait(milliseconds: 5000) }
}

extension Instant {
    func advanced(byMicroseconds microseconds: Int64) -> Instant { Instant(microseconds: self.microseconds &+ microseconds) }
}
