// From two grids to the bytes that turn one into the other: ECMA-48 sequences, as few as is simple.

/// Knows what the terminal shows, and writes only what differs. Owner: one thread. Pure: bytes out, no terminal needed.
struct ScreenRenderer {
    let colors: TerminalCapabilities.Colors
    /// Nil: unknown, so that everything is drawn.
    private var shown: CellGrid?

    init(colors: TerminalCapabilities.Colors) { self.colors = colors }

    /// The terminal may show anything now: the next drawing is a whole one.
    mutating func forget() { shown = nil }

    /// - Returns: nothing where nothing differs.
    mutating func draw(_ grid: CellGrid) -> [UInt8] {
        let isWhole = shown?.columns != grid.columns || shown?.rows != grid.rows
        let before = isWhole ? nil : shown
        if let before, before == grid { return [] }
        var output = Output(colors: colors)
        // Synchronized output: a terminal that knows mode 2026 shows all of it at once, and others ignore it.
        output.sequence("?2026h")
        output.sequence("m")
        if isWhole { output.sequence("2J") }
        for row in 0..<grid.rows {
            var column = 0
            while column < grid.columns {
                let cell = grid[column, row]
                let size = cell.part == .wide ? 2 : 1
                let isSame =
                    before.map { $0[column, row] == cell && (size == 1 || $0[column + 1, row] == grid[column + 1, row]) }
                    ?? (cell == .blank)
                if !isSame, cell.part != .behindWide { output.put(cell, column: column, row: row, columns: grid.columns) }
                column += size
            }
        }
        output.sequence("m")
        output.sequence("?2026l")
        shown = grid
        return output.bytes
    }

    private struct Output {
        let colors: TerminalCapabilities.Colors
        var bytes: [UInt8] = []
        private var style = Style.plain
        /// Where the terminal's cursor is for certain.
        private var cursor: (column: Int, row: Int)?

        init(colors: TerminalCapabilities.Colors) { self.colors = colors }

        mutating func sequence(_ text: String) {
            bytes.append(0x1B)
            bytes.append(UInt8(ascii: "["))
            bytes.append(contentsOf: text.utf8)
        }

        mutating func put(_ cell: Cell, column: Int, row: Int, columns: Int) {
            if cursor?.column != column || cursor?.row != row { move(column, row) }
            if style != cell.style { look(cell.style) }
            if cell.part == .wide {
                // A terminal that takes the character for a narrow one would leave there what stood behind it.
                bytes.append(contentsOf: "  ".utf8)
                move(column, row)
            }
            bytes.append(contentsOf: String(cell.scalar).utf8)
            if let mark = cell.mark { bytes.append(contentsOf: String(mark).utf8) }
            // Behind the last column, and behind what terminals disagree about, nobody knows.
            let isCertain = cell.part == .narrow && cell.mark == nil && column + 1 < columns
            cursor = isCertain ? (column + 1, row) : nil
        }

        private mutating func move(_ column: Int, _ row: Int) { sequence("\(row + 1);\(column + 1)H") }

        private mutating func look(_ new: Style) {
            style = new
            var parts = ["0"]
            if new.isBold { parts.append("1") }
            if new.isFaint { parts.append("2") }
            if new.isReversed { parts.append("7") }
            if let color = new.foreground { parts += code(color, isBackground: false) }
            if let color = new.background { parts += code(color, isBackground: true) }
            sequence(parts.joined(separator: ";") + "m")
        }

        private func code(_ color: Color, isBackground: Bool) -> [String] {
            switch colors {
            case .none: []
            case .basic16: ["\((color.basic < 8 ? 30 : 82) + Int(color.basic) + (isBackground ? 10 : 0))"]
            case .indexed256: ["\(isBackground ? 48 : 38);5;\(color.indexed)"]
            case .exact: ["\(isBackground ? 48 : 38);2;\(color.red);\(color.green);\(color.blue)"]
            }
        }
    }
}
