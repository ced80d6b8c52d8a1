import TestSupport
import Testing

@testable import Terminal

struct ScreenRendererTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self).replacing("\u{1B}[", with: "<") }

    @Test func writesDifferencesOnly() {
        var renderer = ScreenRenderer(colors: .none)
        var grid = CellGrid(columns: 10, rows: 2)
        grid.put("hello", column: 0, row: 0)
        #expect(text(renderer.draw(grid)) == "<?2026h<m<2J<1;1Hhello<m<?2026l")
        #expect(renderer.draw(grid).isEmpty)
        grid.put("p!", column: 3, row: 0)
        grid.put("x", column: 9, row: 1)
        #expect(text(renderer.draw(grid)) == "<?2026h<m<1;4Hp!<2;10Hx<m<?2026l")
        renderer.forget()
        #expect(text(renderer.draw(grid)) == "<?2026h<m<2J<1;1Hhelp!<2;10Hx<m<?2026l")
    }

    @Test(arguments: [
        (TerminalCapabilities.Colors.none, "0;1"), (.basic16, "0;1;91;42"), (.indexed256, "0;1;38;5;203;48;5;28"),
        (.exact, "0;1;38;2;255;80;80;48;2;0;130;0"),
    ])
    func looks(colors: TerminalCapabilities.Colors, sequence: String) {
        var renderer = ScreenRenderer(colors: colors)
        var grid = CellGrid(columns: 3, rows: 1)
        let style = Style(
            foreground: Color(red: 255, green: 80, blue: 80, basic: 9), background: Color(red: 0, green: 130, blue: 0, basic: 2), isBold: true)
        grid.put("a", column: 0, row: 0, style: style)
        #expect(text(renderer.draw(grid)) == "<?2026h<m<2J<1;1H<\(sequence)ma<m<?2026l")
    }

    /// From any grid to any other, by differences: the screen is as if all had been drawn.
    @Test(arguments: [TerminalCapabilities.Colors.none, .exact])
    func differencesAreTheWhole(colors: TerminalCapabilities.Colors) {
        for seed in testSeeds(30) {
            var random = SeededGenerator(seed: seed)
            var (columns, rows) = (random.int(1...40), random.int(1...8))
            var grid = CellGrid(columns: columns, rows: rows)
            var renderer = ScreenRenderer(colors: colors)
            var screen = SimulatedScreen(columns: columns, rows: rows, garbage: true)
            for _ in 0..<25 {
                if random.chance(8) {
                    (columns, rows) = (random.int(1...40), random.int(1...8))
                    grid = CellGrid(columns: columns, rows: rows)
                    screen = SimulatedScreen(columns: columns, rows: rows, garbage: true)
                }
                for _ in 0..<random.int(0...6) { randomDrawing(&grid, &random) }
                screen.feed(renderer.draw(grid))
                #expect(screen.faults.isEmpty, "seed \(seed): \(screen.faults)")
                #expect(!screen.isUpdating)
                let drawn = grid.cells.map { shown($0) }
                #expect(screen.cells.map { shown($0) } == drawn, "seed \(seed)")
            }
        }
    }

    /// Colours are in the table above; here it is text and what every terminal has. A right half has no look of its own.
    private func shown(_ cell: Cell) -> Cell {
        var cell = cell
        cell.style.foreground = nil
        cell.style.background = nil
        if cell.part == .behindWide { cell.style = .plain }
        return cell
    }

    @Test(arguments: [
        (Color(red: 0, green: 0, blue: 0, basic: 0), 16), (Color(red: 255, green: 255, blue: 255, basic: 15), 231),
        (Color(red: 255, green: 0, blue: 0, basic: 9), 196), (Color(red: 95, green: 135, blue: 175, basic: 4), 67),
    ])
    func nearestOf256(color: Color, index: Int) {
        #expect(color.indexed == index)
    }
}
