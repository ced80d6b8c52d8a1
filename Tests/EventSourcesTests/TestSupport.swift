// Doubles and places for the tests of the sampler.

import Base
import Glibc
import Protocol
import Testing

@testable import EventSources

/// The gateway's own files, shared by all tests.
enum Fixture {
    static func path(_ name: String, file: String = #filePath) -> String {
        let folder = file.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        return "\(folder)/Fixtures/gateway/\(name)"
    }

    static func bytes(_ name: String) throws -> [UInt8] {
        let file = try #require(fopen(path(name), "r"), "no fixture \(name)")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return bytes }
            bytes += chunk[..<count]
        }
    }

    static func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }
}

/// A directory of its own, gone with the value.
final class Folder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/goleapai-sampler-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit { empty(path) }

    /// Copies a fixture in.
    func copy(_ name: String, as target: String? = nil) throws -> String {
        let bytes = try Fixture.bytes(name)
        let place = "\(path)/\(target ?? name)"
        let file = try #require(fopen(place, "w"))
        defer { fclose(file) }
        try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        return place
    }

    private func empty(_ folder: String) {
        guard let directory = opendir(folder) else { return }
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { unlink("\(folder)/\(name)") }
        }
        closedir(directory)
        rmdir(folder)
    }
}

/// Time that moves only when told to.
final class ManualClock: Clock {
    private let time: Locked<(now: Instant, monotonic: UInt64)>

    init(_ now: Instant) { time = Locked((now, 1_000_000_000)) }
    convenience init(_ text: String) throws { self.init(try #require(Instant(parsing: text))) }

    func now() -> Instant { time.withLock { $0.now } }
    func monotonic() -> UInt64 { time.withLock { $0.monotonic } }

    /// Lets both clocks run.
    func advance(milliseconds: Int64) {
        time.withLock {
            $0.now = $0.now.advanced(byMilliseconds: milliseconds)
            $0.monotonic += UInt64(milliseconds) * 1_000_000
        }
    }

    /// Sets the wall clock alone.
    func set(_ now: Instant) { time.withLock { $0.now = now } }
}

/// Remembers what the sampler said.
final class CollectingSink: EventSink {
    struct Stats: Sendable {
        let window: StatsWindow
        let interval: Int
        let at: Instant
        let data: [UInt8]
    }
    struct Received: Sendable {
        let event: SourceEvent
        let monotonic: UInt64
    }

    private let state = Locked<(events: [Received], gaps: [(SourceChannel, SourceGap)], states: [[(id: String, data: [UInt8])]], stats: [Stats])>(
        ([], [], [], []))

    func publish(_ events: [SourceEvent]) {
        #expect(!events.isEmpty)
        let now = SystemClock().monotonic()
        state.withLock { $0.events += events.map { Received(event: $0, monotonic: now) } }
    }
    func gap(channel: SourceChannel, reason: SourceGap) { state.withLock { $0.gaps.append((channel, reason)) } }
    func providerStates(_ states: [(id: String, data: [UInt8])]) { state.withLock { $0.states.append(states) } }
    func stats(window: StatsWindow, interval: Int, at: Instant, data: [UInt8]) {
        state.withLock { $0.stats.append(Stats(window: window, interval: interval, at: at, data: data)) }
    }

    var received: [Received] { state.withLock { $0.events } }
    var events: [SourceEvent] { received.map(\.event) }
    var requests: [SourceEvent] { events.filter { $0.kind == .request } }
    var providerEvents: [SourceEvent] { events.filter { $0.kind == .providerStatus } }
    var gaps: [String] { state.withLock { $0.gaps.map { "\($0.0.rawValue) \($0.1.rawValue)" } } }
    var states: [[(id: String, data: [UInt8])]] { state.withLock { $0.states } }
    var stats: [Stats] { state.withLock { $0.stats } }
    func forget() { state.withLock { $0 = ([], [], [], []) } }

    /// The ids of the request events, in order.
    func requestIDs() throws -> [String] { try requests.map { try json($0.data)["request_id"]?.string ?? "" } }
}

func json(_ bytes: [UInt8]) throws -> JSON { try bytes.withUnsafeBytes { try JSON(parsing: $0) } }

/// A sampler without threads, and everything around it.
struct Bench {
    let clock: ManualClock
    let sink = CollectingSink()
    let health: SourceHealth
    let subscriptions = Subscriptions()
    let core: SamplerCore
    let published = PublishedPlaces()
    let names = ProviderNames()

    init(_ path: String, enabled: EnabledSources = EnabledSources(), clock: ManualClock) {
        self.clock = clock
        health = SourceHealth(enabled.channels, clock: clock)
        core = SamplerCore(
            path: path, enabled: enabled, clock: clock, sink: sink, health: health, phase: SamplerPhase(clock: clock),
            subscriptions: subscriptions, published: published, names: names)
    }

    /// Lets the sampler do all that is due, and a poll's time pass.
    func settle() {
        for _ in 0..<10_000 where core.step() == 0 {}
        clock.advance(milliseconds: 50)
        for _ in 0..<10_000 where core.step() == 0 {}
    }

    func run(milliseconds: Int64) {
        for _ in 0..<milliseconds / 50 {
            for _ in 0..<10_000 { if core.step() != 0 { break } }
            clock.advance(milliseconds: 50)
        }
    }

    /// One fresh computation.
    func stats(_ window: StatsWindow) throws -> JSON {
        let group = StatsGroup(window: window, interval: 3600)
        _ = subscriptions.add(group)
        defer {
            subscriptions.remove(group)
            // The group is forgotten at the next step.
            _ = core.step()
        }
        for _ in 0..<10_000 {
            let before = sink.stats.count
            _ = core.step()
            if sink.stats.count > before, let last = sink.stats.last { return try json(last.data) }
        }
        throw NothingCame()
    }
}

struct NothingCame: Error {}

func uuid(_ number: Int) -> String {
    let digits = String(number, radix: 16)
    let tail = String(repeating: "0", count: 12 - digits.count) + digits
    return "aaaaaaaa-0000-4000-8000-\(tail)"
}
