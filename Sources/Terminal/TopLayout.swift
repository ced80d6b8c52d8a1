// Where everything stands on a screen of a given size.

/// Pure: from the model's size and view to rectangles that do not overlap.
struct TopLayout {
    private(set) var header: Rect
    private(set) var tabs: Rect?
    /// One row, or two with the names of the numbers above them.
    private(set) var numbers: Rect?
    private(set) var sparklines: Rect?
    private(set) var panes: [(pane: TopPane, rect: Rect)] = []
    private(set) var footer: Rect?

    /// From here on two tables stand side by side.
    static let columnsOfTwo = 132

    init(_ model: TopModel) {
        let columns = model.columns
        var top = 0
        var bottom = model.rows
        func take(_ rows: Int) -> Rect {
            defer { top += rows }
            return Rect(column: 0, row: top, columns: columns, rows: rows)
        }
        header = take(1)
        if model.rows >= 6 {
            bottom -= 1
            footer = Rect(column: 0, row: bottom, columns: columns, rows: 1)
        }
        if model.rows >= 8 { tabs = take(1) }
        if model.tab == .overview {
            if model.rows >= 18 { numbers = take(2) } else if model.rows >= 9 { numbers = take(1) }
            // One row of names, and bars: more of them where there is room.
            if model.rows >= 22 { sparklines = take(1 + min(6, max(2, (model.rows - 14) / 6))) }
        } else if model.rows >= 14 {
            numbers = take(1)
        }
        let rest = Rect(column: 0, row: top, columns: columns, rows: max(0, bottom - top))
        let isWide = columns >= TopLayout.columnsOfTwo
        switch model.tab {
        case .overview: overview(rest, isWide, model)
        case .providers: providers(rest, isWide, model)
        case .requests: panes = [(.requests, rest)]
        case .logs: panes = [(.logs, rest)]
        }
        panes.removeAll { $0.rect.rows < 2 }
    }

    private mutating func overview(_ rest: Rect, _ isWide: Bool, _ model: TopModel) {
        let providers = model.shown.health.count
        if isWide, rest.rows >= 12 {
            let models = model.shown.stats?.models.count ?? 0
            let upper = min(max(4, max(providers, models) + 2), rest.rows * 2 / 5)
            let above = halves(rest.rows(0, upper))
            let below = halves(rest.rows(upper, rest.rows - upper))
            panes = [(.providers, above.0), (.models, above.1), (.requests, below.0), (.logs, below.1)]
        } else if rest.rows >= 11 {
            let first = min(max(3, providers + 1), rest.rows * 2 / 5)
            let second = (rest.rows - first + 1) / 2
            panes = [
                (.providers, rest.rows(0, first)), (.requests, rest.rows(first, second)),
                (.logs, rest.rows(first + second, rest.rows - first - second)),
            ]
        } else {
            let first = rest.rows >= 5 ? rest.rows / 2 : 0
            panes = [(.providers, rest.rows(0, first)), (.requests, rest.rows(first, rest.rows - first))]
        }
    }

    private mutating func providers(_ rest: Rect, _ isWide: Bool, _ model: TopModel) {
        if isWide {
            let halves = halves(rest)
            panes = [(.providers, halves.0), (.models, halves.1)]
        } else {
            let first = min(max(3, model.shown.health.count + 1), rest.rows / 2)
            panes = [(.providers, rest.rows(0, first)), (.models, rest.rows(first, rest.rows - first))]
        }
    }

    /// With a free column between them.
    private func halves(_ rect: Rect) -> (Rect, Rect) {
        let left = (rect.columns - 1) / 2
        return (
            Rect(column: 0, row: rect.row, columns: left, rows: rect.rows),
            Rect(column: left + 1, row: rect.row, columns: rect.columns - left - 1, rows: rect.rows)
        )
    }
}

extension Rect {
    /// Some of its rows.
    func rows(_ first: Int, _ count: Int) -> Rect { Rect(column: column, row: row + first, columns: columns, rows: max(0, count)) }
}
