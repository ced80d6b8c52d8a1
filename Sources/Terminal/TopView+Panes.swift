// The tables.

import Base
import GoLeapAIWSClient

extension TopView {
    func panes(_ grid: inout CellGrid) {
        for (pane, rect) in layout.panes {
            switch pane {
            case .providers: providers(&grid, rect)
            case .models: models(&grid, rect)
            case .requests: requests(&grid, rect)
            case .logs: logs(&grid, rect)
            }
        }
    }

    private func table(_ pane: TopPane, _ absence: String, _ columns: [TopColumn]) -> TopTable {
        var absence = absence
        if !model.filter.isEmpty { absence = "nothing with \"\(SafeText.prefix(model.filter, bytes: 40))\"" }
        if case .connected = model.connection {} else if model.filter.isEmpty { absence = "not connected" }
        return TopTable(
            pane: pane, columns: columns, isFocused: model.focus == pane, order: model.order(of: pane), theme: theme, absence: absence)
    }

    /// Sign, word and look of a state.
    func look(of state: ProviderRow.State) -> (sign: String, style: Style) {
        switch state {
        case .healthy: ("●", theme.good)
        case .degraded: ("▲", theme.warning)
        case .unhealthy: ("✖", theme.bad)
        case .unknown: ("○", theme.quiet)
        }
    }

    private func look(ofSuccess rate: Double) -> Style { rate < 0.9 ? theme.bad : rate < 0.98 ? theme.warning : .plain }

    private func providers(_ grid: inout CellGrid, _ rect: Rect) {
        let rows = model.providerRows
        let table = table(
            .providers, "no provider is known yet",
            [
                TopColumn(title: "PROVIDER", width: 14, growth: 3, importance: 9, order: .name),
                TopColumn(title: "STATE", width: 11, importance: 8, order: .state),
                TopColumn(title: "SINCE", width: 5, isRight: true, importance: 3),
                TopColumn(title: "SUCCESS", width: 8, isRight: true, importance: 6, order: .success),
                TopColumn(title: "LATENCY", width: 8, isRight: true, importance: 7, order: .latency),
                TopColumn(title: "REQUESTS", width: 9, isRight: true, importance: 5, order: .requests),
                TopColumn(title: "ERRORS", width: 7, isRight: true, importance: 4),
                TopColumn(title: "MESSAGE", width: 18, growth: 4, importance: 1),
            ])
        let keys = rows.map(\.id)
        table.draw(&grid, rect, count: rows.count, selection: model.selection(in: .providers, keys)) { index in
            let row = rows[index]
            let (sign, style) = look(of: row.state)
            let isKnown = row.state != .unknown || (row.requests ?? 0) > 0
            return [
                TopField(row.name, row.state == .unhealthy ? theme.bad : .plain),
                TopField("\(sign) \(row.state)", style),
                TopField(row.since.map { TopText.age(milliseconds: model.shownNow.milliseconds - $0.milliseconds) } ?? "", theme.quiet),
                TopField(isKnown ? TopText.percent(row.successRate) : "-", isKnown ? look(ofSuccess: row.successRate) : theme.quiet),
                TopField(isKnown ? TopText.latency(row.latency) : "-"),
                TopField(row.requests.map(TopText.count) ?? "-", row.requests == nil ? theme.quiet : .plain),
                TopField(row.errors.map(TopText.count) ?? "-", (row.errors ?? 0) > 0 ? theme.warning : theme.quiet),
                TopField(row.message, theme.quiet),
            ]
        }
    }

    private func models(_ grid: inout CellGrid, _ rect: Rect) {
        let rows = model.modelRows
        let table = table(
            .models, model.shown.stats == nil ? "no statistics yet" : "no requests within \(model.window.rawValue)",
            [
                TopColumn(title: "MODEL", width: 16, growth: 1, importance: 9, order: .name),
                TopColumn(title: "REQUESTS", width: 9, isRight: true, importance: 8, order: .requests),
                TopColumn(title: "SUCCESS", width: 8, isRight: true, importance: 6, order: .success),
                TopColumn(title: "LATENCY", width: 8, isRight: true, importance: 7, order: .latency),
                TopColumn(title: "TOKENS", width: 8, isRight: true, importance: 5, order: .tokens),
                TopColumn(title: "ERRORS", width: 7, isRight: true, importance: 4),
            ])
        let keys = rows.map { $0.modelID + " " + $0.providerID }
        table.draw(&grid, rect, count: rows.count, selection: model.selection(in: .models, keys)) { index in
            let row = rows[index]
            return [
                TopField(row.modelName), TopField(TopText.count(row.requests)),
                TopField(TopText.percent(row.successRate), look(ofSuccess: row.successRate)), TopField(TopText.latency(row.averageLatency)),
                TopField(TopText.count(row.tokens)), TopField(TopText.count(row.errorCount), row.errorCount > 0 ? theme.warning : theme.quiet),
            ]
        }
    }

    private func requests(_ grid: inout CellGrid, _ rect: Rect) {
        let rows = model.requestRows
        let table = table(
            .requests, "no requests yet",
            [
                TopColumn(title: "REQUEST", width: 12, importance: 9, order: .time),
                TopColumn(title: "PROVIDER", width: 13, growth: 2, importance: 7),
                TopColumn(title: "MODEL", width: 14, growth: 3, importance: 6),
                TopColumn(title: "CODE", width: 5, isRight: true, importance: 8, order: .errors),
                TopColumn(title: "LATENCY", width: 8, isRight: true, importance: 8, order: .latency),
                TopColumn(title: "TOKENS", width: 7, isRight: true, importance: 4, order: .tokens),
                TopColumn(title: "ERROR", width: 12, growth: 5, importance: 3),
            ])
        let keys = rows.map { "\($0.serial)" }
        table.draw(&grid, rect, count: rows.count, selection: model.selection(in: .requests, keys)) { index in
            let row = rows[index]
            let isSlow = row.latency >= 5000
            return [
                TopField(TopText.clock(row.instant, offset: model.offset), theme.quiet), TopField(row.provider), TopField(row.model),
                TopField("\(row.status)", row.isSuccess ? theme.good : theme.bad),
                TopField(TopText.latency(row.latency), isSlow ? theme.warning : .plain), TopField(TopText.count(row.tokens), theme.quiet),
                TopField(row.error, theme.bad.colorOnly),
            ]
        }
    }

    private func logs(_ grid: inout CellGrid, _ rect: Rect) {
        let rows = model.logRows
        let table = table(
            .logs, model.level > .debug ? "no lines of level \(model.level) or worse yet" : "no lines yet",
            [
                TopColumn(title: "LOG", width: 9, importance: 6, order: .time),
                TopColumn(title: "LEVEL", width: 6, importance: 7, order: .errors),
                TopColumn(title: "COMPONENT", width: 10, importance: 4),
                TopColumn(title: "MESSAGE", width: 20, growth: 1, importance: 9),
            ])
        let keys = rows.map { "\($0.serial)" }
        table.draw(&grid, rect, count: rows.count, selection: model.selection(in: .logs, keys)) { index in
            let row = rows[index]
            let style = look(ofLevel: row.level)
            return [
                TopField(TopText.clock(row.instant, offset: model.offset), theme.quiet), TopField("\(row.level)", style),
                TopField(row.component, theme.accent), TopField(row.line, row.level >= .error ? theme.bad.colorOnly : .plain),
            ]
        }
    }

    func look(ofLevel level: LogLine.Level) -> Style {
        switch level {
        case .debug: theme.quiet
        case .info: theme.good
        case .warn: theme.warning
        case .error, .fatal, .panic: theme.bad
        }
    }
}

extension Style {
    /// The colour alone.
    var colorOnly: Style { Style(foreground: foreground) }
}
