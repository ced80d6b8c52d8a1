@testable import Base
import Testing

@testable import Host

@Suite struct JournalSinkTests {
    @Test func anEntryBecomesTheFieldsOfTheJournal() {
        let entry = LogEntry(
            time: Instant(milliseconds: 0), level: .error, message: "it broke", event: .cannotStart, fields: [.client(17), .channel("logs")],
            file: "Host/X.swift", line: 9, function: "f()")
        #expect(
            JournalSink(identifier: "goleapai-ws").assignments(of: entry) == [
                "MESSAGE=it broke", "PRIORITY=3", "SYSLOG_IDENTIFIER=goleapai-ws", "CODE_FILE=Host/X.swift", "CODE_LINE=9", "CODE_FUNC=f()",
                "MESSAGE_ID=\(LogEvent.cannotStart.id)", "CLIENT_ID=17", "CHANNEL=logs",
            ])
    }

    @Test(arguments: [nil, "", "1", "1:2:3", "a:b", "1:99999999999", ":"])
    func standardErrorIsNoJournalWhereTheEnvironmentNamesAnotherFile(stream: String?) {
        #expect(!JournalSink.isStandardError(stream: stream))
    }
}
