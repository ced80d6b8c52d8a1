import EventSources
import Testing

@testable import Daemon

@Suite struct StatusLineTests {
    private func source(_ name: String, _ state: SourceStatus.State, _ why: String = "") -> SourceStatus {
        SourceStatus(name: name, state: state, lagMilliseconds: 0, why: why)
    }

    @Test func theSentenceNamesClientsRateAndSources() {
        #expect(
            StatusLine.text(clients: 12, eventsPerSecond: 341.7, sources: [source("stats", .working), source("requests", .working)])
                == "serving 12 clients, 340 events/s; stats, requests working")
        #expect(
            StatusLine.text(
                clients: 1, eventsPerSecond: 0.26, sources: [source("stats", .failing, "no such file"), source("requests", .starting), source("journal", .failing, "no such file")])
                == "serving 1 client, 0.3 events/s; stats, journal failing (no such file); requests starting")
        #expect(StatusLine.text(clients: 0, eventsPerSecond: 0, sources: []) == "serving 0 clients, 0 events/s; no sources")
    }

    @Test(arguments: [(0.0, "0"), (0.04, "0"), (9.94, "9.9"), (9.96, "10"), (99.4, "99"), (99.6, "100"), (123_456.0, "120000")])
    func ratesAreRounded(rate: Double, text: String) {
        #expect(StatusLine.text(clients: 0, eventsPerSecond: rate, sources: []).contains(" \(text) events/s"))
    }
}
