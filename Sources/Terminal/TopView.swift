// From the model to a grid: header, numbers, sparklines, last line. Pure.

import Base
import GoLeapAIWSClient

struct TopView {
    let model: TopModel
    let layout: TopLayout
    let theme: TopTheme

    /// The whole screen.
    static func draw(_ model: TopModel) -> CellGrid {
        var grid = CellGrid(columns: model.columns, rows: model.rows, isUnicode: model.settings.isUnicode)
        let view = TopView(model: model, layout: TopLayout(model), theme: TopTheme(hasColors: model.settings.hasColors))
        view.header(&grid)
        view.tabs(&grid)
        view.numbers(&grid)
        view.sparklines(&grid)
        view.panes(&grid)
        view.footer(&grid)
        view.overlay(&grid)
        return grid
    }

    // MARK: First lines

    /// What the connection is doing: a sign, words, and a look.
    var connection: (sign: String, text: String, style: Style) {
        switch model.connection {
        case .connecting: return ("◐", "connecting", theme.warning)
        case .connected: return ("●", "connected", theme.good)
        case .waiting(let until, let attempt, _):
            let seconds = max(0, (until.milliseconds - model.now.milliseconds + 999) / 1000)
            return ("◐", "reconnecting in \(seconds) s\(attempt > 0 ? " (attempt \(attempt))" : "")", theme.warning)
        case .stopped: return ("✖", "disconnected", theme.bad)
        }
    }

    private func header(_ grid: inout CellGrid) {
        let row = layout.header.row
        let bar = theme.header
        func on(_ style: Style) -> Style {
            var style = style
            style.background = bar.background
            style.isReversed = bar.isReversed
            if style.foreground == nil { style.foreground = bar.foreground }
            return style
        }
        grid.fill(layout.header, style: bar)
        // From the right: what is told there stays, and the address gives way.
        var end = grid.columns - 1
        func right(_ text: String, _ style: Style) {
            let width = SafeText.width(text, isUnicode: grid.isUnicode)
            guard end - width > 0 else { return }
            grid.put(text, endColumn: end, row: row, style: on(style))
            end -= width + 2
        }
        right(TopText.clock(model.now, offset: model.offset), bar)
        if grid.columns >= 56 { right("\(model.window.rawValue) window", bar) }
        let (sign, text, style) = connection
        right("\(sign) \(text)", style.bold)
        if model.isPaused { right("‖ paused\(model.heldBack > 0 ? " \(TopText.count(model.heldBack))" : "")", theme.warning.bold) }
        var column = 1
        if grid.columns >= 60 { column = grid.put("goleapai-ws", column: 1, row: row, limit: max(0, end - 1), style: on(.bold)) + 1 }
        var address = model.settings.address
        if grid.columns >= 60 {
            if !model.version.isEmpty { address += "  v\(model.version)" }
        } else if address.hasPrefix("http://") {
            address.removeFirst(7)
        }
        if end - column > 6 { grid.put(address, column: column, row: row, limit: end - column, style: bar) }
    }

    private func tabs(_ grid: inout CellGrid) {
        guard let rect = layout.tabs else { return }
        var column = 1
        for tab in TopTab.allCases {
            let isCurrent = tab == model.tab
            let name = grid.columns >= 60 ? tab.name : String(tab.name.prefix(4))
            column = grid.put("\(tab.rawValue + 1) ", column: column, row: rect.row, style: isCurrent ? theme.key : theme.quiet)
            column = grid.put(name, column: column, row: rect.row, style: isCurrent ? .bold : theme.quiet) + 2
        }
        var end = grid.columns - 1
        func right(_ text: String, _ style: Style) {
            let width = SafeText.width(text, isUnicode: grid.isUnicode)
            guard end - width > column else { return }
            grid.put(text, endColumn: end, row: rect.row, style: style)
            end -= width + 2
        }
        if case .stopped(let stop) = model.connection { return right(clip(stop.why, to: max(1, end - column - 1)), theme.bad) }
        if case .waiting(_, _, let why) = model.connection {
            // The address stands above.
            let known = "cannot connect to \(model.settings.address): "
            let told = why.hasPrefix(known) ? String(why.dropFirst(known.count)) : why
            return right(clip(told, to: max(1, end - column - 1)), theme.warning)
        }
        if model.gaps > 0 {
            right("\(model.gaps) gap\(model.gaps == 1 ? "" : "s")\(model.missed > 0 ? ", \(TopText.count(model.missed)) missed" : "")", theme.warning)
        }
        if model.feed.lag.magnitude >= 2000 { right("lag \(TopText.fixed(Double(model.feed.lag) / 1000, digits: 1)) s", theme.warning) }
        if model.level > .debug { right("logs: \(model.level) and worse", theme.accent) }
        if !model.filter.isEmpty, !model.isTyping { right("/\(SafeText.prefix(model.filter, bytes: 30))", theme.accent) }
        if !model.notice.isEmpty { right(clip(model.notice, to: max(1, end - column - 1)), theme.warning) }
    }

    private func clip(_ text: String, to count: Int) -> String {
        let line = SafeText.line(text, isUnicode: model.settings.isUnicode)
        return line.unicodeScalars.count > count ? String(String.UnicodeScalarView(line.unicodeScalars.prefix(max(0, count - 1)))) + "…" : line
    }

    // MARK: Numbers

    private struct Figure {
        let name: String
        let short: String
        let value: String
        let width: Int
        let style: Style
    }

    private var figures: [Figure] {
        let stats = model.shown.stats
        func value(_ text: (StatsUpdate) -> String) -> String { stats.map(text) ?? "-" }
        let success = stats.map {
            $0.totalRequests == 0 ? theme.number : $0.successRate < 0.9 ? theme.bad : $0.successRate < 0.98 ? theme.warning : theme.good
        }
        let errors = (stats?.errorCount ?? 0) > 0 ? theme.warning.bold : theme.number
        return [
            Figure(name: "REQ/MIN", short: "rpm", value: value { TopText.count($0.requestsPerMinute) }, width: 8, style: theme.accent.bold),
            Figure(
                name: "SUCCESS", short: "ok", value: value { $0.totalRequests == 0 ? "-" : TopText.percent($0.successRate) }, width: 8,
                style: success?.bold ?? theme.number),
            Figure(name: "ERRORS", short: "err", value: value { TopText.count($0.errorCount) }, width: 7, style: errors),
            Figure(name: "P50", short: "p50", value: value { TopText.latency($0.latencyP50) }, width: 8, style: theme.number),
            Figure(name: "P95", short: "p95", value: value { TopText.latency($0.latencyP95) }, width: 8, style: theme.number),
            Figure(name: "P99", short: "p99", value: value { TopText.latency($0.latencyP99) }, width: 8, style: theme.number),
            Figure(name: "REQUESTS", short: "n", value: value { TopText.count($0.totalRequests) }, width: 9, style: theme.number),
            Figure(name: "TOKENS", short: "tok", value: value { TopText.count($0.totalTokens) }, width: 8, style: theme.number),
            Figure(name: "COST", short: "cost", value: value { TopText.cost($0.estimatedCost) }, width: 8, style: theme.number),
        ]
    }

    private func numbers(_ grid: inout CellGrid) {
        guard let rect = layout.numbers else { return }
        var isOld = model.shown.stats.map { $0.window != model.window.rawValue } ?? true
        // What is not that of now must not look like it.
        if case .connected = model.connection {} else { isOld = true }
        func look(_ style: Style) -> Style { isOld ? Style(foreground: style.foreground, isFaint: true) : style }
        if rect.rows == 1 {
            var column = 1
            for figure in figures {
                let width = SafeText.width(figure.short + figure.value) + 1
                guard column + width < grid.columns else { continue }
                column = grid.put(figure.short + " ", column: column, row: rect.row, style: theme.quiet)
                column = grid.put(figure.value, column: column, row: rect.row, style: look(figure.style)) + 2
            }
            return
        }
        // Spread over the width where there is much of it.
        let spare = max(0, grid.columns - 2 - figures.map(\.width).reduce(0, +)) / figures.count
        var column = 1
        for figure in figures {
            let width = figure.width + min(spare, 10)
            guard column + figure.width - 2 < grid.columns else { break }
            grid.put(figure.name, column: column, row: rect.row, limit: width - 1, style: theme.quiet)
            grid.put(figure.value, column: column, row: rect.row + 1, limit: width - 1, style: look(figure.style))
            column += width
        }
    }

    // MARK: Sparklines

    private func sparklines(_ grid: inout CellGrid) {
        guard let rect = layout.sparklines else { return }
        let half = (rect.columns - 3) / 2
        let left = Rect(column: 1, row: rect.row, columns: half, rows: rect.rows)
        let right = Rect(column: 2 + half, row: rect.row, columns: half, rows: rect.rows)
        let series = model.shown.series
        let rates = series.requestsPerMinute(half, now: model.shownNow)
        let latencies = series.latencies(half, now: model.shownNow)
        let minutes = half * TrafficSeries.stepSeconds / 60
        let whose = model.role.isEmpty || model.role == "admin" ? "requests/min" : "own requests/min"
        let span = minutes > 0 ? ", \(minutes) min" : ""
        bars(&grid, left, whose, span, rates, theme.accent) { TopText.count(Int($0)) }
        bars(&grid, right, "mean latency", span, latencies, theme.latency) { TopText.latency(Int($0)) }
    }

    private func bars(
        _ grid: inout CellGrid, _ rect: Rect, _ title: String, _ span: String, _ values: [Double?], _ style: Style, _ text: (Double) -> String
    ) {
        let known = values.compactMap { $0 }
        let top = known.max() ?? 0
        // The last step may be one of which nothing is known.
        let now = values.last.flatMap { $0 }.map { text(min($0, 1e15)) } ?? "-"
        let told = known.isEmpty ? "" : "now \(now)  max \(text(min(top, 1e15)))"
        let room = rect.columns - (told.isEmpty ? 0 : SafeText.width(told) + 2)
        // The figures count for more than how long it is.
        let named = SafeText.width(title + span) <= room ? title + span : title
        grid.put(named, column: rect.column, row: rect.row, limit: rect.columns, style: theme.quiet)
        if SafeText.width(named) <= room { grid.put(told, endColumn: rect.endColumn, row: rect.row, style: theme.quiet) }
        let rows = rect.rows - 1
        for (index, height) in Sparkline.heights(values, rows: rows).enumerated() {
            for row in 0..<rows {
                let sign = Sparkline.sign(height: height, row: row, isUnicode: grid.isUnicode)
                guard sign != " " || (row == 0 && values[index] != nil) else { continue }
                // A line at the bottom, where it is known that there was nothing.
                let isNothing = sign == " "
                grid.put(
                    isNothing ? grid.isUnicode ? "▁" : "_" : String(sign), column: rect.column + index, row: rect.endRow - 1 - row,
                    style: isNothing ? theme.quiet : theme.bar(Double(height) / Double(max(1, rows * 8)), style))
            }
        }
    }

    // MARK: Last line

    private func footer(_ grid: inout CellGrid) {
        guard let rect = layout.footer else { return }
        if model.isTyping {
            let column = grid.put("/", column: 1, row: rect.row, style: theme.key)
            // The end is what is typed.
            let room = max(1, grid.columns - column - 2)
            var typed = model.filter.unicodeScalars[...]
            while SafeText.width(String(typed), isUnicode: grid.isUnicode) > room { typed = typed.dropFirst() }
            let end = grid.put(String(typed), column: column, row: rect.row)
            grid.put(" ", column: end, row: rect.row, style: Style(isReversed: true))
            let hint = "Enter keeps it, Esc clears"
            if end + SafeText.width(hint) + 4 < grid.columns { grid.put(hint, endColumn: grid.columns - 1, row: rect.row, style: theme.quiet) }
            return
        }
        var column = 1
        // The way out and the help stand where the eye begins.
        let shown = TopBinding.all.reversed().prefix(2) + TopBinding.all.dropLast(2)
        for binding in shown {
            guard let short = binding.short else { continue }
            let key = binding.keys.hasPrefix("1") ? "1-4" : String(binding.keys.prefix { $0 != "," && $0 != " " })
            guard column + key.count + short.count + 2 < grid.columns else { continue }
            column = grid.put(key, column: column, row: rect.row, style: theme.key) + 1
            column = grid.put(short, column: column, row: rect.row, style: theme.quiet) + 2
        }
    }
}
