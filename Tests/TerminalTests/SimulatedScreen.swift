// What a terminal would show: the sequences that the renderer uses, strictly, and nothing else.

@testable import Terminal

/// A screen of ECMA-48 sequences. Anything unknown, or outside, is noted in `faults`.
struct SimulatedScreen {
    let columns: Int
    let rows: Int
    private(set) var cells: [Cell]
    private(set) var faults: [String] = []
    /// Nesting of synchronized updates.
    private(set) var isUpdating = false

    private var column = 0
    private var row = 0
    private var style = Style.plain

    /// - Parameter garbage: what another program may have left on the screen.
    init(columns: Int, rows: Int, garbage: Bool = false) {
        self.columns = columns
        self.rows = rows
        cells = Array(repeating: garbage ? Cell(scalar: "#") : .blank, count: columns * rows)
    }

    mutating func feed(_ bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return faults.append("no UTF-8") }
        var scalars = text.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "\u{1B}" else {
                show(scalar)
                continue
            }
            guard scalars.popFirst() == "[" else { return faults.append("an escape that is no CSI") }
            var parameters = ""
            while let next = scalars.first, next == "?" || next == ";" || ("0"..."9").contains(next) {
                parameters.unicodeScalars.append(next)
                scalars.removeFirst()
            }
            obey(parameters, scalars.popFirst())
        }
    }

    private mutating func obey(_ parameters: String, _ final: Unicode.Scalar?) {
        switch (final, parameters) {
        case ("h", "?2026"): isUpdating = true
        case ("l", "?2026"): isUpdating = false
        case ("J", "2"): cells = Array(repeating: .blank, count: columns * rows)
        case ("H", _):
            let numbers = parameters.split(separator: ";").compactMap { Int($0) }
            guard numbers.count == 2, (1...rows).contains(numbers[0]), (1...columns).contains(numbers[1]) else {
                return faults.append("moved to \(parameters)")
            }
            (row, column) = (numbers[0] - 1, numbers[1] - 1)
        case ("m", _): look(parameters.split(separator: ";").map(String.init))
        default: faults.append("unknown sequence \(parameters)\(final.map(String.init) ?? "")")
        }
    }

    private mutating func look(_ parts: [String]) {
        var parts = parts[...]
        if parts.isEmpty { style = .plain }
        while let part = parts.popFirst() {
            switch Int(part) ?? -1 {
            case 0: style = .plain
            case 1: style.isBold = true
            case 2: style.isFaint = true
            case 7: style.isReversed = true
            // Colours are passed over: tables compare them as they are written.
            case 30...37, 90...97, 40...47, 100...107: break
            case 38, 48: parts = parts.dropFirst(parts.first == "2" ? 4 : 2)
            default: faults.append("unknown look \(part)")
            }
        }
    }

    private mutating func show(_ scalar: Unicode.Scalar) {
        switch CharacterWidth(of: scalar) {
        case .forbidden: faults.append("a control character \(scalar.value)")
        case .zero:
            // On top of what was just written, left of the cursor.
            var at = row * columns + column - 1
            guard column > 0 else { return faults.append("a mark on nothing") }
            if cells[at].part == .behindWide { at -= 1 }
            cells[at].mark = scalar
        case .one: place(Cell(scalar: scalar, style: style), 1)
        case .two: place(Cell(scalar: scalar, part: .wide, style: style), 2)
        }
    }

    private mutating func place(_ cell: Cell, _ size: Int) {
        guard column + size <= columns else { return faults.append("written behind the last column") }
        let at = row * columns + column
        // A terminal erases the half that is left of a wide character.
        if cells[at].part == .behindWide { cells[at - 1] = .blank }
        if cells[at + size - 1].part == .wide { cells[at + size] = .blank }
        cells[at] = cell
        if size == 2 { cells[at + 1] = Cell(part: .behindWide, style: cell.style) }
        column += size
    }
}
