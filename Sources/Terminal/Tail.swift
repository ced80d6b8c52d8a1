// `goleapai-ws tail`: events as lines on standard output, until somebody ends it.

import Base
import CLinux
import Glibc
import GoLeapAIWSClient

/// What `tail` shows, and how.
public struct TailOptions: Sendable {
    public var client: Options
    /// Goes on with what is live, after events of before.
    public var follows = true
    /// Messages as they came, one a line.
    public var isJSON = false
    public var isColoured = false
    /// What complaints on standard error begin with.
    public var name = "tail"

    public init(client: Options) { self.client = client }
}

/// One run. Made and run by the main thread; events are written by the client's.
public final class Tail: Sendable {
    private let options: TailOptions
    private let line: TailLine
    private let isTerminal: Bool
    private let end: Locked<End?>
    private let progress = Locked(Progress())
    private let wake: FileDescriptor
    private let stopped = Bell()

    private enum End { case fine, failed }

    private struct Progress {
        var hasConnected = false
        var isWaiting = false
    }

    /// How long the daemon has for an orderly end.
    private static let stopTime: UInt64 = 1_000_000_000

    /// - Throws: without descriptors.
    public init(_ options: TailOptions) throws(SystemError) {
        self.options = options
        line = TailLine(isColoured: options.isColoured)
        isTerminal = isatty(1) == 1
        end = Locked(nil)
        let number = clinux_eventfd()
        guard number >= 0 else { throw SystemError("eventfd") }
        wake = FileDescriptor(owning: number)
    }

    /// Blocks until the end. Signals must not be waited for by anybody else.
    /// - Returns: whether all went well; what did not is on standard error.
    /// - Throws: for an address that is none.
    public func run() throws(OptionsError) -> Bool {
        let signals = SignalSet([SIGINT, SIGTERM, SIGHUP])
        signals.block()
        // A reader that goes away is a usual end, not a failure.
        signal(SIGPIPE, SIG_IGN)
        let client = try LiveClient(options.client, Callbacks(onEvent: { [self] in take($0) }))
        let failure = Thread.start(named: "signals") { [self] in
            _ = signals.wait()
            finish(.fine)
        }
        if let failure { complain("\(failure)") }
        client.start()
        while end.withLock({ $0 }) == nil { wait() }
        client.stop()
        let isFine = end.withLock { $0 } == .fine
        stopped.sleep(nanoseconds: Tail.stopTime)
        return isFine
    }

    /// Until something has ended the run, or nobody reads any more what we write.
    private func wait() {
        var waiting = [pollfd(fd: wake.number, events: Int16(POLLIN), revents: 0), pollfd(fd: 1, events: 0, revents: 0)]
        guard poll(&waiting, 2, -1) > 0 else { return }
        if waiting[1].revents != 0 { finish(.fine) }
    }

    private func finish(_ how: End) {
        end.withLock { if $0 == nil { $0 = how } }
        var one: UInt64 = 1
        _ = write(wake.number, &one, 8)
    }

    // MARK: events, on the client's thread

    private func take(_ event: ClientEvent) {
        if case .state(.stopped) = event { stopped.ring() }
        guard end.withLock({ $0 }) == nil else { return }
        switch event {
        case .state(let state): take(state)
        case .error(let error):
            complain("\(TailLine.harmless(error.description))")
            // What was too much at the moment may be said again later; anything else stays as wrong as it is.
            if error.code != "rate_limited" { finish(.failed) }
        case .gap(let gap):
            if options.isJSON { print(gap.rawJSON) }
            complain(Tail.words(gap))
        case .caughtUp(let caughtUp):
            if options.isJSON { print(caughtUp.rawJSON) }
            if !options.follows { finish(.fine) }
        case .stats, .provider, .request, .log, .other:
            if options.isJSON {
                print(event.event?.rawJSON ?? "")
            } else if let text = line.text(of: event) {
                print(text)
            }
        }
    }

    private func take(_ state: ConnectionState) {
        switch state {
        case .connecting: break
        case .connected:
            let isBack = progress.withLock { progress in
                defer { progress = Progress(hasConnected: true, isWaiting: false) }
                return progress.isWaiting
            }
            if isBack { complain("connected again") }
        case .waiting(_, _, let why):
            let (hasConnected, isNews) = progress.withLock { progress in
                defer { progress.isWaiting = true }
                return (progress.hasConnected, !progress.isWaiting)
            }
            // Who has never been there is more often misspelt than away.
            guard hasConnected else {
                complain("\(TailLine.harmless(why)); is the daemon running? --url names another address")
                return finish(.failed)
            }
            if isNews { complain("\(TailLine.harmless(why)); connecting again") }
        case .stopped(let stop):
            guard stop.cause != .asked else { return }
            var hint = ""
            if case .refused(let status) = stop.cause, status == 401 || status == 403 { hint = "; --token-file names a credential" }
            complain("\(TailLine.harmless(stop.why))\(hint)")
            finish(.failed)
        }
    }

    private static func words(_ gap: Gap) -> String {
        var words = "gap: \(gap.reason) of \(gap.channels.joined(separator: ", "))"
        if let dropped = gap.dropped { words += ", \(dropped) events" }
        if let after = gap.after, let resume = gap.resume { words += ", after \(after) up to \(resume)" }
        if let from = gap.from { words += ", from \(from)" }
        if let until = gap.until { words += ", until \(until)" }
        return TailLine.harmless(words)
    }

    /// Writes a line to standard output, however long that takes.
    private func print(_ text: String) {
        // Only white space between JSON's tokens can be a line break.
        let plain = isTerminal && options.isJSON ? TailLine.harmless(text) : text
        var bytes = plain.utf8.map { $0 == 10 || $0 == 13 ? 32 : $0 }
        bytes.append(10)
        bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let count = write(1, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } else if count < 0, errno == EAGAIN {
                    var waiting = pollfd(fd: 1, events: Int16(POLLOUT), revents: 0)
                    poll(&waiting, 1, -1)
                } else if count < 0, errno == EINTR {
                    continue
                } else {
                    if errno != EPIPE { complain("cannot write: \(SystemError.text(of: errno))") }
                    return finish(errno == EPIPE ? .fine : .failed)
                }
            }
        }
    }

    private func complain(_ words: String) {
        let bytes = Array("\(options.name): \(words)\n".utf8)
        // Nobody is left to be told.
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }
}
