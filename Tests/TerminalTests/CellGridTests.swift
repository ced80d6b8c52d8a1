import TestSupport
import Testing

@testable import Terminal

struct CellGridTests {
    private func line(_ text: String, columns: Int = 10, column: Int = 0, limit: Int = .max, isUnicode: Bool = true) -> String {
        var grid = CellGrid(columns: columns, rows: 1, isUnicode: isUnicode)
        grid.put(text, column: column, row: 0, limit: limit)
        return grid.lines[0]
    }

    @Test func cuts() {
        #expect(line("0123456789") == "0123456789")
        #expect(line("0123456789a") == "012345678…")
        #expect(line("0123456789a", isUnicode: false) == "012345678~")
        #expect(line("abc", limit: 2) == "a…")
        #expect(line("abc", limit: 1) == "…")
        #expect(line("abc", limit: 0) == "")
        #expect(line("abc", column: 9) == "         …")
        #expect(line("abc", column: 10) == "")
        #expect(line("abc", column: -1) == "")
    }

    @Test func wideCharacters() {
        #expect(line("日本語", columns: 6) == "日本語")
        #expect(line("日本語", columns: 5) == "日本…")
        #expect(line("日本語", columns: 4) == "日…")
        #expect(line("日", columns: 1) == "…")
        var grid = CellGrid(columns: 6, rows: 1)
        grid.put("日本", column: 0, row: 0)
        grid.put("x", column: 1, row: 0)
        #expect(grid.lines[0] == " x本")
        grid.put("y", column: 2, row: 0)
        #expect(grid.lines[0] == " xy")
        grid.put("e\u{301}\u{302}\u{303}", column: 0, row: 0)
        #expect(grid.lines[0] == "e\u{301}xy")
    }

    @Test func padsAndAligns() {
        var grid = CellGrid(columns: 8, rows: 1)
        #expect(grid.put("ab", column: 1, row: 0, limit: 4, style: .bold, pads: true) == 5)
        #expect((0..<8).map { grid[$0, 0].style.isBold } == [false, true, true, true, true, false, false, false])
        grid.put("12", endColumn: 8, row: 0)
        #expect(grid.lines[0] == " ab   12")
    }

    /// Whatever is drawn wherever: every wide character has both halves, and nothing lies outside.
    @Test func staysWhole() {
        for seed in testSeeds(40) {
            var random = SeededGenerator(seed: seed)
            var grid = CellGrid(columns: random.int(1...30), rows: random.int(1...6), isUnicode: random.chance(80))
            for _ in 0..<60 { randomDrawing(&grid, &random) }
            expectWhole(grid, "seed \(seed)")
        }
    }

    @Test func sizesHaveBounds() {
        #expect(CellGrid(columns: 0, rows: -5).bounds == Rect(column: 0, row: 0, columns: 1, rows: 1))
        #expect(CellGrid(columns: 1 << 40, rows: 1 << 40).cells.count == CellGrid.columnsMax * CellGrid.rowsMax)
    }
}

/// One text or rectangle, at places inside and outside.
func randomDrawing(_ grid: inout CellGrid, _ random: inout SeededGenerator) {
    let column = random.int(-3...grid.columns + 3)
    let row = random.int(-2...grid.rows + 2)
    let color = Color(red: UInt8(random.int(0...255)), green: UInt8(random.int(0...255)), blue: 40, basic: UInt8(random.int(0...15)))
    let style = Style(
        foreground: random.chance(50) ? color : nil, background: random.chance(20) ? color : nil, isBold: random.chance(20),
        isFaint: random.chance(20), isReversed: random.chance(20))
    switch random.int(0..<5) {
    case 0: grid.fill(Rect(column: column, row: row, columns: random.int(-1...8), rows: random.int(-1...3)), style: style)
    case 1: grid.restyle(Rect(column: column, row: row, columns: random.int(-1...8), rows: random.int(-1...3))) { $0.isBold.toggle() }
    case 2: grid.put(randomText(&random, count: 8), endColumn: column, row: row, style: style)
    default:
        grid.put(
            randomText(&random, count: 12), column: column, row: row, limit: random.chance(50) ? .max : random.int(-1...9), style: style,
            pads: random.chance(30))
    }
}

/// The invariants of a grid.
func expectWhole(_ grid: CellGrid, _ what: @autoclosure () -> String) {
    #expect(grid.cells.count == grid.columns * grid.rows)
    for row in 0..<grid.rows {
        for column in 0..<grid.columns {
            let cell = grid[column, row]
            let width = CharacterWidth(of: cell.scalar)
            switch cell.part {
            case .narrow: #expect(width == .one, "\(what()): \(column), \(row): \(cell)")
            case .wide: #expect(width == .two && column + 1 < grid.columns && grid[column + 1, row].part == .behindWide, "\(what())")
            case .behindWide: #expect(cell.scalar == " " && column > 0 && grid[column - 1, row].part == .wide, "\(what())")
            }
            if let mark = cell.mark { #expect(CharacterWidth(of: mark) == .zero, "\(what())") }
            if !grid.isUnicode { #expect(cell.scalar.isASCII && cell.mark == nil, "\(what())") }
        }
    }
}
