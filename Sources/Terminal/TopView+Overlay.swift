// What lies on top of the tables: the help, and the details of a row.

import Base
import GoLeapAIWSClient

extension TopView {
    /// A name, and what is told of it.
    private struct Entry {
        let name: String
        let text: String
        var style = Style.plain
    }

    func overlay(_ grid: inout CellGrid) {
        if model.isHelpOpen {
            box(&grid, "Keys", "any key closes", TopBinding.all.map { Entry(name: $0.keys, text: $0.what, style: .plain) })
        } else if let details = model.details {
            let (title, entries) = told(details)
            box(&grid, title, "Esc closes, arrows show the next", entries)
        }
    }

    private func told(_ details: TopDetails) -> (String, [Entry]) {
        switch details {
        case .request(let row):
            let entries = [
                Entry(name: "time", text: TopText.date(row.instant, offset: model.offset)),
                Entry(name: "status", text: "\(row.status) \(row.isSuccess ? "success" : "failed")", style: row.isSuccess ? theme.good : theme.bad),
                Entry(name: "error", text: row.error, style: theme.bad.colorOnly),
                Entry(name: "provider", text: row.provider), Entry(name: "model", text: row.model), Entry(name: "endpoint", text: row.endpoint),
                Entry(name: "latency", text: TopText.latency(row.latency)),
                Entry(name: "tokens", text: "\(row.inputTokens) in, \(row.outputTokens) out"), Entry(name: "cost", text: TopText.cost(row.cost)),
                Entry(name: "user", text: row.user), Entry(name: "request id", text: row.id),
            ]
            return ("Request", entries)
        case .log(let row):
            let entries = [
                Entry(name: "time", text: TopText.date(row.instant, offset: model.offset)),
                Entry(name: "level", text: row.levelText, style: look(ofLevel: row.level)), Entry(name: "component", text: row.component),
                Entry(name: "message", text: row.message), Entry(name: "request id", text: row.request), Entry(name: "provider", text: row.provider),
            ]
            return ("Log line", entries + row.fields.map { Entry(name: $0.name, text: $0.value) })
        case .provider(let row):
            let (sign, style) = look(of: row.state)
            let entries = [
                Entry(name: "state", text: "\(sign) \(row.state)", style: style),
                Entry(name: "since", text: row.since.map { TopText.date($0, offset: model.offset) } ?? ""),
                Entry(name: "message", text: row.message), Entry(name: "success", text: TopText.percent(row.successRate)),
                Entry(name: "latency", text: TopText.latency(row.latency)), Entry(name: "requests", text: row.requests.map { "\($0)" } ?? ""),
                Entry(name: "tokens", text: row.tokens.map { "\($0)" } ?? ""), Entry(name: "errors", text: row.errors.map { "\($0)" } ?? ""),
                Entry(name: "provider id", text: row.id),
            ]
            return (row.name, entries)
        case .model(let row):
            let entries = [
                Entry(name: "requests", text: "\(row.requests)"), Entry(name: "success", text: TopText.percent(row.successRate)),
                Entry(name: "latency", text: TopText.latency(row.averageLatency)), Entry(name: "tokens", text: "\(row.tokens)"),
                Entry(name: "errors", text: "\(row.errorCount)"), Entry(name: "model id", text: row.modelID),
                Entry(name: "provider id", text: row.providerID),
            ]
            return (row.modelName, entries)
        }
    }

    /// A frame in the middle, as large as its text and the screen allow.
    private func box(_ grid: inout CellGrid, _ title: String, _ hint: String, _ all: [Entry]) {
        let entries = all.filter { !$0.text.isEmpty }
        let isUnicode = grid.isUnicode
        let names = min(entries.map { SafeText.width($0.name, isUnicode: isUnicode) }.max() ?? 0, max(8, grid.columns / 3))
        let texts = entries.map { SafeText.width($0.text, isUnicode: isUnicode) }.max() ?? 0
        let wanted = max(names + 2 + texts, SafeText.width(title) + SafeText.width(hint) + 6)
        let inner = min(max(wanted, 24), min(grid.columns - 4, 110))
        guard inner > 8, grid.rows >= 3 else { return }
        let room = max(1, inner - names - 2)
        var lines: [(name: String, text: String, style: Style)] = []
        for entry in entries {
            for (index, line) in TopView.wrapped(entry.text, room, isUnicode: isUnicode).enumerated() {
                lines.append((index == 0 ? entry.name : "", line, entry.style))
            }
        }
        let rows = min(lines.count, max(1, grid.rows - 4))
        if lines.count > rows { lines[rows - 1] = ("", "…", theme.quiet) }
        let rect = Rect(
            column: (grid.columns - inner - 4) / 2, row: max(0, (grid.rows - rows - 2) / 2), columns: inner + 4, rows: rows + 2)
        grid.fill(rect)
        frame(&grid, rect, title, hint)
        for (index, line) in lines.prefix(rows).enumerated() {
            let row = rect.row + 1 + index
            grid.put(line.name, column: rect.column + 2, row: row, limit: names, style: theme.accent)
            grid.put(line.text, column: rect.column + 2 + names + 2, row: row, limit: room, style: line.style)
        }
    }

    private func frame(_ grid: inout CellGrid, _ rect: Rect, _ title: String, _ hint: String) {
        let signs: [Unicode.Scalar] = grid.isUnicode ? ["╭", "╮", "╰", "╯", "─", "│"] : ["+", "+", "+", "+", "-", "|"]
        let (last, bottom) = (rect.endColumn - 1, rect.endRow - 1)
        grid.fill(rect.rows(0, 1), style: theme.accent, with: signs[4])
        grid.fill(rect.rows(rect.rows - 1, 1), style: theme.accent, with: signs[4])
        for row in rect.row...bottom {
            for column in [rect.column, last] { grid.fill(Rect(column: column, row: row, columns: 1, rows: 1), style: theme.accent, with: signs[5]) }
        }
        for (index, place) in [(rect.column, rect.row), (last, rect.row), (rect.column, bottom), (last, bottom)].enumerated() {
            grid.fill(Rect(column: place.0, row: place.1, columns: 1, rows: 1), style: theme.accent, with: signs[index])
        }
        grid.put(" \(title) ", column: rect.column + 2, row: rect.row, limit: rect.columns - 4, style: theme.accent.bold)
        if rect.columns > hint.count + 6 { grid.put(" \(hint) ", endColumn: last - 1, row: bottom, style: theme.quiet) }
    }

    /// Lines of at most `width` places, broken at blanks where there are some; at most 40 lines.
    static func wrapped(_ text: String, _ width: Int, isUnicode: Bool) -> [String] {
        var lines: [String] = []
        var line = ""
        var used = 0
        func end() {
            lines.append(line)
            line = ""
            used = 0
        }
        for word in SafeText.line(text, isUnicode: isUnicode).split(separator: " ", omittingEmptySubsequences: true) {
            let size = SafeText.width(String(word), isUnicode: isUnicode)
            if used > 0, used + 1 + size > width { end() }
            if used > 0 {
                line += " "
                used += 1
            }
            // What is longer than a line is cut where the line ends.
            for scalar in word.unicodeScalars {
                let places = SafeText.width(String(scalar), isUnicode: isUnicode)
                if used + places > width, used > 0 { end() }
                line.unicodeScalars.append(scalar)
                used += places
            }
            if lines.count >= 40 { break }
        }
        if used > 0 || lines.isEmpty { end() }
        return lines
    }
}
