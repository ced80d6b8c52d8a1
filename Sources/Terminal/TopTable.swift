// Tables: columns that fit, a row of headings, rows, and the one that is selected.

/// A column of a table.
struct TopColumn: Sendable {
    let title: String
    let width: Int
    /// What it gets of the places that are left, in parts.
    var growth = 0
    var isRight = false
    /// The lowest goes first where there is no room.
    var importance = 5
    var order: TopOrder?
}

/// What stands in one place of a table.
struct TopField: Sendable {
    let text: String
    var style = Style.plain

    init(_ text: String, _ style: Style = .plain) {
        self.text = text
        self.style = style
    }
}

struct TopTable {
    let pane: TopPane
    let columns: [TopColumn]
    let isFocused: Bool
    let order: TopOrder
    let theme: TopTheme
    /// Words in the middle where there are no rows.
    let absence: String

    /// Width of each column in so many places, one free place between them; 0: left out.
    static func widths(_ columns: [TopColumn], in places: Int) -> [Int] {
        var isShown = Array(repeating: true, count: columns.count)
        func needed() -> Int {
            let widths = zip(columns, isShown).filter(\.1).map(\.0.width)
            return widths.reduce(0, +) + max(0, widths.count - 1)
        }
        while needed() > places, isShown.filter({ $0 }).count > 1 {
            let least = columns.indices.filter { isShown[$0] }.min { columns[$0].importance < columns[$1].importance }
            guard let least else { break }
            isShown[least] = false
        }
        var widths = columns.indices.map { isShown[$0] ? columns[$0].width : 0 }
        var rest = places - needed()
        if rest < 0, let only = isShown.firstIndex(of: true) { widths[only] = max(0, places) }
        var parts = columns.indices.filter { isShown[$0] }.map { columns[$0].growth }.reduce(0, +)
        for index in columns.indices where isShown[index] && columns[index].growth > 0 && rest > 0 {
            let share = rest * columns[index].growth / parts
            widths[index] += share
            rest -= share
            parts -= columns[index].growth
        }
        return widths
    }

    /// - Parameters:
    ///   - count: of all rows.
    ///   - selection: the selected one.
    ///   - fields: of a row, as many as there are columns. Asked for rows that are seen only.
    func draw(_ grid: inout CellGrid, _ rect: Rect, count: Int, selection: Int?, fields: (Int) -> [TopField]) {
        guard rect.rows >= 1, rect.columns >= 1 else { return }
        let widths = TopTable.widths(columns, in: rect.columns - 2)
        headings(&grid, rect, widths, count)
        let seen = rect.rows - 1
        guard count > 0, seen > 0 else {
            let width = SafeText.width(absence, isUnicode: grid.isUnicode)
            let column = rect.column + max(1, (rect.columns - width) / 2)
            if seen > 0 {
                grid.put(absence, column: column, row: rect.row + 1 + (seen - 1) / 3, limit: rect.endColumn - column - 1, style: theme.quiet)
            }
            return
        }
        // The selected row is in the middle, as far as there are rows around it.
        let first = min(max(0, (selection ?? 0) - seen / 2), max(0, count - seen))
        for row in 0..<min(seen, count - first) {
            let at = rect.row + 1 + row
            let isSelected = isFocused && selection == first + row
            var column = rect.column + 1
            let line = Rect(column: rect.column, row: at, columns: rect.columns, rows: 1)
            for (index, field) in fields(first + row).enumerated() where index < widths.count && widths[index] > 0 {
                put(field.text, &grid, column: column, row: at, width: widths[index], isRight: columns[index].isRight, style: field.style)
                column += widths[index] + 1
            }
            if isSelected { select(&grid, line) }
        }
        if count > seen, rect.columns > 20 { scrollbar(&grid, rect, first: first, seen: seen, count: count) }
    }

    private func select(_ grid: inout CellGrid, _ line: Rect) {
        let selected = theme.selected
        grid.restyle(line) { style in
            style.background = selected.background
            style.isReversed = selected.isReversed
            style.isFaint = false
            if style.foreground == nil { style.foreground = selected.foreground }
        }
    }

    private func headings(_ grid: inout CellGrid, _ rect: Rect, _ widths: [Int], _ count: Int) {
        let style = isFocused ? theme.focusedHeading : theme.heading
        grid.fill(rect.rows(0, 1), style: style)
        var column = rect.column + 1
        var isFirst = true
        for (index, width) in widths.enumerated() where width > 0 {
            var title = columns[index].title
            if isFirst, count > 0 { title += " \(count)" }
            isFirst = false
            let isSorted = columns[index].order == order && columns[index].order != nil
            if isSorted, width > SafeText.width(title) { title = columns[index].isRight ? "▼" + title : title + "▼" }
            put(title, &grid, column: column, row: rect.row, width: width, isRight: columns[index].isRight, style: isSorted ? style.bold : style)
            column += width + 1
        }
    }

    private func put(_ text: String, _ grid: inout CellGrid, column: Int, row: Int, width: Int, isRight: Bool, style: Style) {
        let taken = isRight ? SafeText.width(text, isUnicode: grid.isUnicode) : width
        grid.put(text, column: column + max(0, width - taken), row: row, limit: min(width, taken), style: style)
    }

    /// A mark at the right edge that tells which part is seen.
    private func scrollbar(_ grid: inout CellGrid, _ rect: Rect, first: Int, seen: Int, count: Int) {
        let size = max(1, seen * seen / count)
        let start = (seen - size) * first / max(1, count - seen)
        for row in start..<min(seen, start + size) {
            grid.put(grid.isUnicode ? "▐" : "|", column: rect.endColumn - 1, row: rect.row + 1 + row, style: theme.quiet)
        }
    }
}
