// The terminal of the process: taken over as a whole, and given back on every way out.

import Base
import CLinux
import Glibc

/// Standard input and output as one screen. Owner: one thread; `giveBack()` any. There is one terminal, so there is one of these.
struct TerminalScreen {
    /// The other screen, no cursor, no wrapping of lines (the last column would scroll), the keypad's plain sequences.
    private static let hello = "\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l\u{1B}[m\u{1B}[2J"
    /// All of it back, also where a drawing was cut off in the middle of a sequence (CAN ends that) or of a synchronized update.
    private static let bye = "\u{18}\u{1B}[?2026l\u{1B}[m\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l"

    /// Whether both ends are a terminal.
    static var isThere: Bool { isatty(0) == 1 && isatty(1) == 1 }

    /// Takes the terminal, or takes it again after `giveBack()`.
    func take() throws(SystemError) {
        let (hello, bye) = (TerminalScreen.hello, TerminalScreen.bye)
        guard clinux_terminal_take(hello, hello.utf8.count, bye, bye.utf8.count) == 0 else { throw SystemError("tcsetattr") }
    }

    func giveBack() { clinux_terminal_give_back() }

    /// Lets go of a terminal that takes no bytes: what waits in it is thrown away, so that the farewell gets through.
    func giveBackAtOnce() {
        tcflush(1, Int32(TCOFLUSH))
        clinux_terminal_give_back()
    }

    /// Columns and rows; 80 × 24 where the terminal does not say.
    var size: (columns: Int, rows: Int) {
        var columns: Int32 = 0
        var rows: Int32 = 0
        guard clinux_terminal_size(&columns, &rows) == 0, columns > 0, rows > 0 else { return (80, 24) }
        return (Int(columns), Int(rows))
    }

    /// Writes all of it; blocks while the terminal takes nothing.
    func write(_ bytes: [UInt8]) throws(SystemError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR || errno == EAGAIN {
                var wait = pollfd(fd: 1, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, 1000)
                continue
            }
            guard count > 0 else { throw SystemError("write", on: "the terminal") }
            sent += count
        }
    }

    /// The bytes that were typed; does not wait. Nil where the terminal is gone.
    func read() -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(0, &bytes, bytes.count)
        if count < 0 { return errno == EINTR || errno == EAGAIN ? [] : nil }
        return Array(bytes[..<count])
    }
}
