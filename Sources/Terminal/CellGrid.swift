// The screen as a rectangle of cells. Views draw into it; nothing else gets to the terminal.

/// A place and a size on the grid, in cells.
struct Rect: Equatable, Sendable {
    var column: Int
    var row: Int
    var columns: Int
    var rows: Int

    var isEmpty: Bool { columns <= 0 || rows <= 0 }
    var endColumn: Int { column + columns }
    var endRow: Int { row + rows }
}

/// Cells, row by row. Drawing outside is cut off, and every text is made harmless here.
struct CellGrid: Equatable, Sendable {
    let columns: Int
    let rows: Int
    /// Whether the terminal shows more than ASCII.
    let isUnicode: Bool
    private(set) var cells: [Cell]

    /// Larger sizes are none that a person reads.
    static let columnsMax = 1000
    static let rowsMax = 500

    init(columns: Int, rows: Int, isUnicode: Bool = true) {
        self.columns = min(max(columns, 1), CellGrid.columnsMax)
        self.rows = min(max(rows, 1), CellGrid.rowsMax)
        self.isUnicode = isUnicode
        cells = Array(repeating: .blank, count: self.columns * self.rows)
    }

    var bounds: Rect { Rect(column: 0, row: 0, columns: columns, rows: rows) }

    subscript(column: Int, row: Int) -> Cell {
        guard (0..<columns).contains(column), (0..<rows).contains(row) else { return .blank }
        return cells[row * columns + column]
    }

    /// Writes one line of text.
    /// - Parameters:
    ///   - limit: the places it may take; what is longer ends with `…`.
    ///   - pads: whether the rest of `limit` becomes blanks of the same look.
    /// - Returns: the column behind what was written, padding included.
    @discardableResult
    mutating func put(_ text: String, column: Int, row: Int, limit: Int = .max, style: Style = .plain, pads: Bool = false) -> Int {
        guard (0..<rows).contains(row), (0..<columns).contains(column) else { return column }
        let end = limit >= columns - column ? columns : column + max(limit, 0)
        var at = column
        var isCut = false
        var lastColumn: Int?
        SafeText.forEach(text, isUnicode: isUnicode) { scalar, width in
            guard !isCut else { return }
            switch width {
            case .forbidden: break
            case .zero:
                if let lastColumn, cells[row * columns + lastColumn].mark == nil {
                    cells[row * columns + lastColumn].mark = scalar
                }
            case .one, .two:
                let size = width == .two ? 2 : 1
                guard at + size <= end else {
                    isCut = true
                    return
                }
                lastColumn = at
                set(Cell(scalar: scalar, part: size == 2 ? .wide : .narrow, style: style), column: at, row: row)
                at += size
            }
        }
        if isCut, end > column {
            // In the place of the last character that fits, or of both halves of a wide one.
            if at > column, at == end {
                at -= cells[row * columns + at - 1].part == .behindWide ? 2 : 1
            }
            set(Cell(scalar: isUnicode ? "…" : "~", style: style), column: at, row: row)
            at += 1
        }
        if pads {
            while at < end {
                set(Cell(style: style), column: at, row: row)
                at += 1
            }
        }
        return at
    }

    /// Writes text so that it ends before `endColumn`.
    mutating func put(_ text: String, endColumn: Int, row: Int, style: Style = .plain) {
        put(text, column: max(0, endColumn - SafeText.width(text, isUnicode: isUnicode)), row: row, limit: endColumn, style: style)
    }

    /// Blanks of one look.
    mutating func fill(_ rect: Rect, style: Style = .plain, with scalar: Unicode.Scalar = " ") {
        for row in max(0, rect.row)..<max(0, rect.row, min(rows, rect.endRow)) {
            for column in max(0, rect.column)..<max(0, rect.column, min(columns, rect.endColumn)) {
                set(Cell(scalar: scalar, style: style), column: column, row: row)
            }
        }
    }

    /// Gives a look to what stands there already.
    mutating func restyle(_ rect: Rect, _ change: (inout Style) -> Void) {
        for row in max(0, rect.row)..<max(0, rect.row, min(rows, rect.endRow)) {
            for column in max(0, rect.column)..<max(0, rect.column, min(columns, rect.endColumn)) {
                change(&cells[row * columns + column].style)
            }
        }
    }

    /// Half a wide character cannot stay: the other half becomes a blank.
    private mutating func set(_ cell: Cell, column: Int, row: Int) {
        guard (0..<columns).contains(column), (0..<rows).contains(row) else { return }
        let at = row * columns + column
        let size = cell.part == .wide ? 2 : 1
        guard column + size <= columns else { return set(Cell(style: cell.style), column: column, row: row) }
        if cells[at].part == .behindWide { cells[at - 1] = Cell(style: cells[at - 1].style) }
        let last = at + size - 1
        if cells[last].part == .wide { cells[last + 1] = Cell(style: cells[last + 1].style) }
        cells[at] = cell
        if size == 2 { cells[at + 1] = Cell(part: .behindWide, style: cell.style) }
    }

    /// The text of each row, without blanks at its end.
    var lines: [String] {
        (0..<rows).map { row in
            var line = String.UnicodeScalarView()
            for cell in cells[(row * columns)..<((row + 1) * columns)] where cell.part != .behindWide {
                line.append(cell.scalar)
                if let mark = cell.mark { line.append(mark) }
            }
            while line.last == " " { line.removeLast() }
            return String(line)
        }
    }
}
