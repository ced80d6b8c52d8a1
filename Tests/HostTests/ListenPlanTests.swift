// What becomes of inherited sockets: names, kinds, addresses against the configuration.

import Base
import Testing

@testable import Host

private typealias Inherited = (name: String, kind: InheritedSocket.Kind)

private func tcp(_ name: String, _ host: String, _ port: Int, isDualStack: Bool = false) -> Inherited {
    (name, .network(ListenAddress(host: host, port: port), isDualStack: isDualStack))
}

private let both = ["127.0.0.1", "::1"]
private let ipv4 = ListenAddress(host: "127.0.0.1", port: 8080)
private let ipv6 = ListenAddress(host: "::1", port: 8080)

@Suite struct ListenPlanTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var inherited: [(name: String, kind: InheritedSocket.Kind)] = []
        var hosts = both
        var port = 8080
        var tls = ListenPlan.TLSPort.none
        /// Of the steps.
        var speakTLS: [Bool]?
        var steps: [ListenPlan.Step] = []
        var closed: [(Int, ListenPlan.Reason)] = []
        var publishers: [Int] = []
        var isActivated = false
        var agrees = true
    }

    static let cases: [Case] = [
        Case(testDescription: "nothing inherited", steps: [.bind(ipv4), .bind(ipv6)]),
        Case(
            testDescription: "stored, in another order",
            inherited: [tcp("listen-__1-8080", "::1", 8080), tcp("listen-127.0.0.1-8080", "127.0.0.1", 8080)],
            steps: [.serve(1, ipv4), .serve(0, ipv6)]),
        Case(
            testDescription: "one is missing", inherited: [tcp("listen-127.0.0.1-8080", "127.0.0.1", 8080)],
            steps: [.serve(0, ipv4), .bind(ipv6)]),
        Case(
            testDescription: "the socket counts, not its name", inherited: [tcp("listen-192.0.2.1-1", "127.0.0.1", 8080)],
            hosts: ["127.0.0.1"], steps: [.serve(0, ipv4)]),
        Case(
            testDescription: "the port has changed", inherited: [tcp("listen-127.0.0.1-8079", "127.0.0.1", 8079)], hosts: ["127.0.0.1"],
            steps: [.bind(ipv4)], closed: [(0, .notConfigured(ListenAddress(host: "127.0.0.1", port: 8079)))]),
        Case(
            testDescription: "the host has changed", inherited: [tcp("listen-127.0.0.1-8080", "127.0.0.1", 8080)], hosts: ["::1"],
            steps: [.bind(ipv6)], closed: [(0, .notConfigured(ipv4))]),
        Case(
            testDescription: "the wildcard is another address", inherited: [tcp("listen-127.0.0.1-8080", "127.0.0.1", 8080)],
            hosts: ["0.0.0.0"], steps: [.bind(ListenAddress(host: "0.0.0.0", port: 8080))], closed: [(0, .notConfigured(ipv4))]),
        Case(
            testDescription: "any port fits port 0", inherited: [tcp("listen-127.0.0.1-40001", "127.0.0.1", 40_001)], port: 0,
            steps: [.serve(0, ListenAddress(host: "127.0.0.1", port: 40_001)), .bind(ListenAddress(host: "::1", port: 0))]),
        Case(
            testDescription: "two sockets share an address (SO_REUSEPORT): both have connections waiting",
            inherited: [tcp("listen-a", "127.0.0.1", 8080), tcp("listen-b", "127.0.0.1", 8080)], hosts: ["127.0.0.1"],
            steps: [.serve(0, ipv4), .serve(1, ipv4)]),
        Case(
            testDescription: "a host named twice", inherited: [tcp("listen-127.0.0.1-8080", "127.0.0.1", 8080)], hosts: ["127.0.0.1"],
            steps: [.serve(0, ipv4)]),
        Case(
            testDescription: "publishers", inherited: [("publish", .local(path: "/run/a/publish.sock"))], steps: [.bind(ipv4), .bind(ipv6)],
            publishers: [0]),
        Case(
            testDescription: "a TCP socket called publish", inherited: [tcp("publish", "127.0.0.1", 8080)], hosts: ["127.0.0.1"],
            steps: [.bind(ipv4)], closed: [(0, .foreign("no Unix socket, but a TCP one on 127.0.0.1:8080"))]),
        Case(
            testDescription: "a Unix socket called otherwise", inherited: [("listen-127.0.0.1-8080", .local(path: "/run/x"))],
            hosts: ["127.0.0.1"], steps: [.bind(ipv4)], closed: [(0, .foreign("a Unix socket, /run/x"))]),
        Case(
            testDescription: "something else", inherited: [("listen-127.0.0.1-8080", .other("no socket: /dev/null"))],
            hosts: ["127.0.0.1"], steps: [.bind(ipv4)], closed: [(0, .foreign("no socket: /dev/null"))]),
        Case(
            testDescription: "a socket unit that agrees",
            inherited: [tcp("goleapai-ws.socket", "::1", 8080), tcp("goleapai-ws.socket", "127.0.0.1", 8080)],
            steps: [.serve(0, ipv6), .serve(1, ipv4)], isActivated: true),
        Case(
            testDescription: "a socket unit with another port", inherited: [tcp("goleapai-ws.socket", "127.0.0.1", 9000)],
            hosts: ["127.0.0.1"], steps: [.serve(0, ListenAddress(host: "127.0.0.1", port: 9000))], isActivated: true, agrees: false),
        Case(
            testDescription: "a socket unit with fewer addresses", inherited: [tcp("unknown", "127.0.0.1", 8080)],
            steps: [.serve(0, ipv4)], isActivated: true, agrees: false),
        Case(
            testDescription: "a socket unit, port 0", inherited: [tcp("unknown", "127.0.0.1", 9000)], hosts: ["127.0.0.1"], port: 0,
            steps: [.serve(0, ListenAddress(host: "127.0.0.1", port: 9000))], isActivated: true),
        Case(
            testDescription: "a socket unit for both families", inherited: [tcp("unknown", "::", 8080, isDualStack: true)],
            hosts: ["0.0.0.0", "::"], steps: [.serve(0, ListenAddress(host: "::", port: 8080))], isActivated: true),
        Case(
            testDescription: "a socket unit for IPv6 alone", inherited: [tcp("unknown", "::", 8080)], hosts: ["0.0.0.0", "::"],
            steps: [.serve(0, ListenAddress(host: "::", port: 8080))], isActivated: true, agrees: false),
        Case(
            testDescription: "stored ones beside a socket unit",
            inherited: [
                tcp("listen-127.0.0.1-8080", "127.0.0.1", 8080), tcp("goleapai-ws.socket", "127.0.0.1", 8080),
                tcp("listen-__1-8080", "::1", 8080), ("publish", .local(path: "/p")),
            ],
            hosts: ["127.0.0.1"], steps: [.serve(1, ipv4)], closed: [(0, .besideUnit(ipv4)), (2, .besideUnit(ipv6))], publishers: [3],
            isActivated: true),
        Case(testDescription: "TLS on the one port", tls: .shared, speakTLS: [true, true], steps: [.bind(ipv4), .bind(ipv6)]),
        Case(
            testDescription: "TLS beside it, one stored", inherited: [tcp("listen-127.0.0.1-8443", "127.0.0.1", 8443)], tls: .own(8443),
            speakTLS: [false, false, true, true],
            steps: [.bind(ipv4), .bind(ipv6), .serve(0, ListenAddress(host: "127.0.0.1", port: 8443)), .bind(ListenAddress(host: "::1", port: 8443))]),
        Case(
            testDescription: "TLS beside any port: its own stored socket is not that", inherited: [tcp("listen-127.0.0.1-8443", "127.0.0.1", 8443)],
            hosts: ["127.0.0.1"], port: 0, tls: .own(8443), speakTLS: [false, true],
            steps: [.bind(ListenAddress(host: "127.0.0.1", port: 0)), .serve(0, ListenAddress(host: "127.0.0.1", port: 8443))]),
        Case(
            testDescription: "TLS is no longer beside it", inherited: [tcp("listen-127.0.0.1-8443", "127.0.0.1", 8443)], hosts: ["127.0.0.1"],
            speakTLS: [false], steps: [.bind(ipv4)], closed: [(0, .notConfigured(ListenAddress(host: "127.0.0.1", port: 8443)))]),
        Case(
            testDescription: "a unit's names", inherited: [tcp("https", "127.0.0.1", 8080), tcp("http", "127.0.0.1", 8081)], hosts: ["127.0.0.1"],
            port: 8081, tls: .own(8080), speakTLS: [true, false], steps: [.serve(0, ipv4), .serve(1, ListenAddress(host: "127.0.0.1", port: 8081))],
            isActivated: true),
        Case(
            testDescription: "a unit's name counts more than its port", inherited: [tcp("https", "127.0.0.1", 8080)], hosts: ["127.0.0.1"],
            tls: .own(8443), speakTLS: [true], steps: [.serve(0, ipv4)], isActivated: true, agrees: false),
        Case(
            testDescription: "a unit's http, where all others speak TLS", inherited: [tcp("http", "127.0.0.1", 8080), tcp("x", "::1", 8080)],
            tls: .shared, speakTLS: [false, true], steps: [.serve(0, ipv4), .serve(1, ipv6)], isActivated: true),
    ]

    @Test(arguments: cases) func plans(wanted: Case) {
        let plan = ListenPlan(inherited: wanted.inherited, hosts: wanted.hosts, port: wanted.port, tlsPort: wanted.tls)
        #expect(plan.steps == wanted.steps)
        if let speakTLS = wanted.speakTLS {
            #expect(
                plan.steps.map { step in
                    switch step {
                    case .serve(let position, let address): plan.speaksTLS(address, name: wanted.inherited[position].name)
                    case .bind(let address): plan.speaksTLS(address, name: "")
                    }
                } == speakTLS)
        }
        #expect(plan.closed == wanted.closed.map { .init(position: $0, reason: $1) })
        #expect(plan.publishers == wanted.publishers)
        #expect(plan.isActivated == wanted.isActivated)
        #expect(plan.agrees == wanted.agrees)
    }

    @Test func namesInTheStore() {
        let addresses = both + ["0.0.0.0", "::", "2001:db8::1:8080", "::ffff:192.0.2.1"]
        let names = addresses.map { ListenAddress(host: $0, port: 8080).storeName }
        #expect(names.prefix(2) == ["listen-127.0.0.1-8080", "listen-__1-8080"])
        #expect(names.allSatisfy(ServiceManager.isName))
        #expect(Set(names).count == names.count)
        #expect(names.allSatisfy { $0.hasPrefix(ListenAddress.storePrefix) })
    }
}
