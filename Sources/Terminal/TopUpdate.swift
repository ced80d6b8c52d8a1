// What each key does.

import Base
import GoLeapAIWSClient

/// A key, for the help and the last line.
struct TopBinding: Sendable {
    let keys: String
    let what: String
    /// For the last line, most important first; nil: only in the help.
    var short: String?

    static let all: [TopBinding] = [
        TopBinding(keys: "1 2 3 4, Tab", what: "overview, providers and models, requests, logs", short: "view"),
        TopBinding(keys: "arrows, PgUp PgDn, Home End", what: "select a row; left and right change the table"),
        TopBinding(keys: "Enter", what: "all about the selected row; Esc closes", short: "details"),
        TopBinding(keys: "/", what: "show rows with these words only; Esc clears", short: "filter"),
        TopBinding(keys: "s", what: "sort by the next column", short: "sort"),
        TopBinding(keys: "Space", what: "hold the picture still; once more goes on", short: "pause"),
        TopBinding(keys: "w", what: "window of the statistics: 1m 5m 1h 24h", short: "window"),
        TopBinding(keys: "l", what: "log lines of this level and worse", short: "level"),
        TopBinding(keys: "r", what: "connect again, where the daemon has ended it"),
        TopBinding(keys: "Ctrl-L", what: "draw everything anew"),
        TopBinding(keys: "?", what: "this help", short: "help"),
        TopBinding(keys: "q, Ctrl-C", what: "quit", short: "quit"),
    ]
}

extension TopModel {
    /// Bytes of the filter.
    static let filterBytesMax = 200

    /// The levels of the key `l`; `fatal` and `panic` are above `error`.
    private static let levels: [LogLine.Level] = [.debug, .info, .warn, .error]

    mutating func press(_ key: Key) -> [TopEffect] {
        switch key {
        case .control("c"): return [.quit]
        case .control("l"): return [.redraw]
        default: break
        }
        if isTyping { return type(key) }
        if isHelpOpen {
            // Any key but those that quit closes it.
            isHelpOpen = false
            return key == .character("q") ? [.quit] : []
        }
        if details != nil, key == .escape || key == .enter || key == .backspace {
            details = nil
            return []
        }
        switch key {
        case .character(let character): return command(character)
        case .tab: show(tab: (tab.rawValue + 1) % TopTab.allCases.count)
        case .backTab: show(tab: (tab.rawValue + TopTab.allCases.count - 1) % TopTab.allCases.count)
        case .escape: filter = ""
        case .enter: open()
        case .up: move(by: -1)
        case .down: move(by: 1)
        case .pageUp: move(by: -page)
        case .pageDown: move(by: page)
        case .home: move(by: -TopLimits.logsMax)
        case .end: move(by: TopLimits.logsMax)
        case .left: changeFocus(by: -1)
        case .right: changeFocus(by: 1)
        case .control, .backspace, .delete, .unknown: break
        }
        return []
    }

    private mutating func command(_ character: Character) -> [TopEffect] {
        switch character {
        case "q": return [.quit]
        case "1"..."4": show(tab: (character.wholeNumberValue ?? 1) - 1)
        case "/":
            isTyping = true
            details = nil
        case "s": orders[focus, default: 0] += 1
        case " ": if isPaused { resume() } else { pause() }
        case "?", "h": isHelpOpen = true
        case "w":
            let all = TopWindow.allCases
            window = all[((all.firstIndex(of: window) ?? 0) + 1) % all.count]
            return [.chooseWindow]
        case "l":
            let all = TopModel.levels
            level = all[((all.firstIndex(of: level) ?? 0) + 1) % all.count]
            return [.chooseLevel]
        case "r": if case .stopped = connection { return [.reconnect] }
        // As in less(1) and vi(1).
        case "j": move(by: 1)
        case "k": move(by: -1)
        case "g": move(by: -TopLimits.logsMax)
        case "G": move(by: TopLimits.logsMax)
        default: break
        }
        return []
    }

    /// Keys while the filter is typed: it acts with each of them.
    private mutating func type(_ key: Key) -> [TopEffect] {
        switch key {
        case .character(let character) where filter.utf8.count < TopModel.filterBytesMax: filter.append(character)
        case .backspace: if filter.isEmpty { isTyping = false } else { filter.removeLast() }
        case .control("u"): filter = ""
        case .control("w"):
            while filter.last == " " { filter.removeLast() }
            while let last = filter.last, last != " " { filter.removeLast() }
        case .enter: isTyping = false
        case .escape:
            isTyping = false
            filter = ""
        case .up: move(by: -1)
        case .down: move(by: 1)
        default: break
        }
        return []
    }

    private mutating func show(tab number: Int) {
        tab = TopTab(rawValue: number) ?? .overview
        details = nil
        let panes = TopLayout(self).panes.map(\.pane)
        if !panes.contains(focus) {
            focus = tab == .overview ? .requests : panes.first ?? .requests
        }
    }

    private mutating func changeFocus(by step: Int) {
        let panes = TopLayout(self).panes.map(\.pane)
        guard !panes.isEmpty else { return }
        let at = panes.firstIndex(of: focus) ?? 0
        focus = panes[(at + step + panes.count) % panes.count]
        details = nil
    }

    /// Rows of the table that the arrows move in.
    private var page: Int {
        let rect = TopLayout(self).panes.first { $0.pane == focus }?.rect
        return max(1, (rect?.rows ?? 2) - 2)
    }

    private mutating func move(by step: Int) {
        let keys = keys(of: focus)
        guard let at = selection(in: focus, keys) else { return }
        let next = min(max(at + step, 0), keys.count - 1)
        // The first row is whichever is the first: who looks at the newest stays with the newest.
        cursors[focus] = next == 0 ? nil : TopCursor(key: keys[next], index: next)
        if details != nil { open() }
    }

    private mutating func open() {
        guard let at = selection(in: focus, keys(of: focus)) else { return }
        // While one looks at it, others come: it must stay the selected one.
        cursors[focus] = TopCursor(key: keys(of: focus)[at], index: at)
        switch focus {
        case .providers: details = .provider(providerRows[at])
        case .models: details = .model(modelRows[at])
        case .requests: details = .request(requestRows[at])
        case .logs: details = .log(logRows[at])
        }
    }
}
