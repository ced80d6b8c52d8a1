import Base
import Testing

@testable import Host

@Suite struct ServiceManagerTests {
    static let names: [(String, Bool)] = [
        ("publish", true), ("listen-127.0.0.1-8080", true), ("a b", true), (String(repeating: "n", count: 255), true), ("", false),
        (String(repeating: "n", count: 256), false), ("listen-::1", false), ("a\nFDSTORE=1", false), ("a\u{7F}", false), ("ü", false),
        ("a\0b", false),
    ]

    @Test(arguments: names) func namesOfDescriptors(name: String, isPossible: Bool) {
        #expect(ServiceManager.isName(name) == isPossible)
    }

    /// A value must not add assignments of its own.
    @Test func valuesStayOnTheirLine() {
        #expect(ServiceManager.message([("READY", "1"), ("STATUS", "one\ntwo\r\nthree\0four")]) == "READY=1\nSTATUS=one two three four")
        #expect(ServiceManager.message([("STATUS", "\u{2028}a\u{85}b")]) == "STATUS= a b")
    }

    /// The tests are no service: nobody listens, and nothing fails.
    @Test func withoutManagerNothingHappens() throws {
        let manager = ServiceManager()
        guard !manager.isPresent else { return }
        #expect(manager.ready(status: "fine") == nil && manager.watchdog() == nil && manager.extendTimeout(by: .seconds(1)) == nil)
        #expect(manager.remove("publish") == nil)
        #expect(manager.watchdogInterval == nil)
        #expect(manager.remove("a:b")?.code == 22)
    }
}
