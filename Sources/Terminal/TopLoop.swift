// The loop of the dashboard: keys, events and signals in, drawings out.

import Base
import Glibc
import GoLeapAIWSClient

/// Owner: the main thread, of which it takes all time until the user has had enough.
final class TopLoop {
    /// Between two drawings, at least.
    private static let frameMilliseconds: Int64 = 100
    /// So long an Escape may be the beginning of something.
    private static let escapeMilliseconds: Int64 = 50

    private let options: TopOptions
    private let screen = TerminalScreen()
    private let inbox: TopInbox
    private let client: LiveClient
    private var model: TopModel
    private var renderer: ScreenRenderer
    private var keys = KeyParser()

    private var needsDrawing = true
    /// Of the monotonic clock, in milliseconds.
    private var lastDrawing: Int64 = 0
    private var lastKey: Int64 = 0
    private var wasConnected = false
    /// Not while the process is stopped, or in the background.
    private var hasTerminal = false
    private var end: TopEnd?

    init(_ options: TopOptions, _ capabilities: TerminalCapabilities) throws {
        self.options = options
        let inbox = try TopInbox()
        self.inbox = inbox
        let (columns, rows) = screen.size
        let settings = TopModel.Settings(
            address: options.client.url, isUnicode: capabilities.isUnicode, hasColors: capabilities.colors != .none)
        model = TopModel(settings, columns: columns, rows: rows, now: SystemClock().now())
        renderer = ScreenRenderer(colors: capabilities.colors)
        // Before the client has threads: they would take the signals.
        try TerminalSignals.follow(inbox, screen)
        client = try LiveClient(options.subscribed(window: model.window, level: model.level), Callbacks(onEvent: { inbox.post(.event($0)) }))
    }

    func run() throws(SystemError) -> TopEnd {
        try take()
        defer {
            giveBack()
            leave()
        }
        client.start()
        while end == nil {
            try wait()
            for item in inbox.take() { try take(item) }
            if end == nil { try drawIfDue() }
        }
        return end ?? .quit
    }

    /// Closes the connection in order, as long as the daemon takes part at once.
    private func leave() {
        client.stop()
        let deadline = TopLoop.milliseconds + 300
        while true {
            for case .event(.state(.stopped)) in inbox.take() { return }
            var descriptor = pollfd(fd: inbox.descriptor, events: Int16(POLLIN), revents: 0)
            let rest = deadline - TopLoop.milliseconds
            guard rest > 0, poll(&descriptor, 1, Int32(rest)) > 0 else { return }
        }
    }

    // MARK: Waiting

    private static var milliseconds: Int64 { Int64(SystemClock().monotonic() / 1_000_000) }

    private func wait() throws(SystemError) {
        let now = TopLoop.milliseconds
        // The clock in the first line goes on with each second.
        var timeout = 1000 - SystemClock().now().milliseconds % 1000 + 1
        if needsDrawing, hasTerminal { timeout = min(timeout, max(0, lastDrawing + TopLoop.frameMilliseconds - now)) }
        if keys.isWaiting { timeout = min(timeout, max(0, lastKey + TopLoop.escapeMilliseconds - now)) }
        var descriptors = [
            pollfd(fd: inbox.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: hasTerminal ? 0 : -1, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&descriptors, 2, Int32(timeout)) >= 0 || errno == EINTR else { throw SystemError("poll") }
        let second = model.now.milliseconds / 1000
        let instant = SystemClock().now()
        model.now = instant
        if instant.milliseconds / 1000 != second {
            model.offset = TopLoop.offset(at: instant)
            needsDrawing = true
        }
        if descriptors[1].revents != 0 {
            guard let bytes = screen.read(), !bytes.isEmpty else {
                // The terminal is gone, and there is no one to tell.
                end = .quit
                return
            }
            lastKey = TopLoop.milliseconds
            press(keys.feed(bytes))
        } else if keys.isWaiting, TopLoop.milliseconds - lastKey >= TopLoop.escapeMilliseconds {
            press(keys.finish())
        }
    }

    private static func offset(at instant: Instant) -> Int {
        var seconds = time_t(instant.milliseconds / 1000)
        var parts = tm()
        return localtime_r(&seconds, &parts) == nil ? 0 : parts.tm_gmtoff
    }

    // MARK: What came

    private func press(_ keys: [Key]) {
        for key in keys {
            needsDrawing = true
            for effect in model.press(key) {
                switch effect {
                case .quit: end = .quit
                case .redraw: renderer.forget()
                case .reconnect: client.start()
                case .chooseWindow: client.subscribe([.stats], filters: options.filters(window: model.window, level: model.level))
                case .chooseLevel: client.subscribe([.logs], filters: options.filters(window: model.window, level: model.level))
                }
            }
        }
    }

    private func take(_ item: TopInbox.Item) throws(SystemError) {
        switch item {
        case .event(let event):
            model.apply(event)
            needsDrawing = true
            if case .state(let state) = event { changed(state) }
        case .version(let version): model.version = version
        case .signal(let number): try signaled(number)
        }
    }

    private func changed(_ state: ConnectionState) {
        switch state {
        case .connected:
            if model.version.isEmpty { askVersion() }
            wasConnected = true
        // Who never got in learns why, and gets the shell back; else what was seen stays.
        case .stopped(let stop) where !wasConnected: end = .failed(stop.why)
        case .connecting, .waiting, .stopped: break
        }
    }

    private func askVersion() {
        let (inbox, ask) = (inbox, options.version)
        // Without a thread there is no version in the first line.
        _ = Thread.start(named: "version") {
            if let version = ask() { inbox.post(.version(SafeText.prefix(version, bytes: 32))) }
        }
    }

    private func signaled(_ number: Int32) throws(SystemError) {
        switch number {
        case SIGWINCH: break
        case SIGTSTP:
            giveBack()
            // Not SIGTSTP itself, which is blocked. Returns when somebody continues us; SIGCONT then does the rest.
            kill(getpid(), SIGSTOP)
            return
        case SIGCONT:
            // Whoever stopped us may have used the terminal since.
            giveBack()
            try take()
        case SIGINT: end = .quit
        default: end = .signal(number)
        }
        (model.columns, model.rows) = screen.size
        needsDrawing = true
    }

    // MARK: The terminal

    private func take() throws(SystemError) {
        try screen.take()
        hasTerminal = true
        renderer.forget()
        needsDrawing = true
        (model.columns, model.rows) = screen.size
        model.offset = TopLoop.offset(at: model.now)
    }

    private func giveBack() {
        screen.giveBack()
        hasTerminal = false
    }

    private func drawIfDue() throws(SystemError) {
        guard needsDrawing, hasTerminal, TopLoop.milliseconds - lastDrawing >= TopLoop.frameMilliseconds else { return }
        needsDrawing = false
        lastDrawing = TopLoop.milliseconds
        let bytes = renderer.draw(TopView.draw(model))
        if !bytes.isEmpty { try screen.write(bytes) }
    }
}
