// swift-tools-version: 6.2
import PackageDescription

// One target per folder. A target may use earlier rows only; docs/ARCHITECTURE.md has the table.
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

func module(_ name: String, uses dependencies: [Target.Dependency], excluding files: [String] = []) -> Target {
    .target(name: name, dependencies: dependencies, exclude: files, swiftSettings: strict)
}

func tests(of name: String, uses dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(name: "\(name)Tests", dependencies: dependencies, resources: resources, swiftSettings: strict)
}

// `make` passes the commit; asking git here would make SwiftPM build everything anew after each commit.
let commit = Context.environment["GOLEAPAI_WS_COMMIT"].map { $0.filter { $0.isHexDigit } } ?? ""
let commitMacro: [CSetting] = commit.isEmpty ? [] : [.define("GOLEAPAI_WS_COMMIT", to: "\"\(commit)\"")]

let package = Package(
    name: "goleapai-ws",
    products: [
        .executable(name: "goleapai-ws", targets: ["Daemon"]),
        .library(name: "GoLeapAIWSClient", targets: ["GoLeapAIWSClient"]),
    ],
    targets: [
        // C libraries: module maps, and wrappers only for what Swift cannot import.
        .target(name: "CLinux"),
        .target(name: "CVersion", cSettings: commitMacro),
        .target(name: "CDashboard"),
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CSystemd", providers: [.apt(["libsystemd-dev"])]),
        .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),

        module("Base", uses: ["CLinux", "CVersion"]),
        module("Crypto", uses: ["COpenSSL", "CCrypt"]),
        module("Protocol", uses: ["Base", "CZlib"]),
        module("Storage", uses: ["Base", "CSQLite"]),
        module("Host", uses: ["Base", "CLinux", "COpenSSL", "CSystemd", "CYAML"]),
        module("Fanout", uses: ["Base", "CLinux", "Protocol", "Host"]),
        module("GoLeapAIWSClient", uses: ["Base", "CLinux", "Protocol", "Host"]),
        module("EventSources", uses: ["Base", "Protocol", "Storage", "Host"]),
        module("Server", uses: ["Base", "CDashboard", "Crypto", "Protocol", "Storage", "Host", "Fanout"], excluding: ["Dashboard", "Specification"]),
        module("Demo", uses: ["Base", "CSQLite", "Protocol"]),
        module("Terminal", uses: ["Base", "CLinux", "Protocol", "GoLeapAIWSClient"]),
        module("Bench", uses: ["Base", "CLinux", "Protocol", "Host"]),
        .executableTarget(
            name: "Daemon",
            dependencies: [
                "Base", "Crypto", "Protocol", "Storage", "Host", "Fanout", "EventSources", "Server", "Demo", "Bench", "GoLeapAIWSClient", "Terminal",
            ],
            swiftSettings: strict),

        // The connection code of the daemon as an echo server: what the conformance suite talks to.
        .executableTarget(
            name: "EchoTarget", dependencies: ["Base", "Protocol", "Host", "Fanout"],
            path: "Tests/EchoTarget", swiftSettings: strict),

        // Doubles and models that several test targets share.
        .target(
            name: "TestSupport", dependencies: ["Base", "COpenSSL", "CSQLite", "Protocol", "Fanout"], path: "Tests/TestSupport", swiftSettings: strict),

        tests(of: "Base", uses: ["Base", "TestSupport"]),
        tests(of: "Crypto", uses: ["Crypto", "TestSupport"]),
        tests(of: "Protocol", uses: ["Base", "Protocol", "TestSupport"]),
        tests(of: "Storage", uses: ["Storage", "CSQLite"]),
        tests(of: "Host", uses: ["TestSupport", "Host", "Base"]),
        tests(of: "Fanout", uses: ["Base", "Protocol", "Host", "Fanout", "TestSupport"]),
        tests(of: "Server", uses: ["Base", "CCrypt", "Crypto", "CSQLite", "Protocol", "Host", "Fanout", "Server", "TestSupport"]),
        tests(of: "EventSources", uses: ["Base", "Protocol", "Storage", "Host", "EventSources", "CSQLite", "TestSupport"]),
        tests(of: "Demo", uses: ["Base", "Protocol", "Storage", "Demo"]),
        tests(of: "GoLeapAIWSClient", uses: ["Base", "Protocol", "Fanout", "GoLeapAIWSClient", "TestSupport"]),
        tests(of: "Terminal", uses: ["Base", "GoLeapAIWSClient", "Terminal", "TestSupport"]),
        tests(of: "Bench", uses: ["Protocol", "Bench", "TestSupport"]),
        tests(of: "Daemon", uses: ["Base", "Host", "Fanout", "EventSources", "Server", "Bench", "GoLeapAIWSClient", "Terminal", "Daemon"]),
    ]
)
