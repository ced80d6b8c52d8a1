// Standard output and standard error of the short-lived commands. The daemon writes by `Log`.

import Glibc
import Protocol

enum Output {
    /// Writes all of it to standard output; a reader that went away ends the process by SIGPIPE, as usual for commands.
    static func write(_ text: String) { write(text, to: 1) }

    /// Writes to standard error, which services keep: without secrets that stand in an address or a value.
    static func error(_ text: String) { write(ForeignText.masked(text), to: 2) }

    /// Foreign text as a terminal may see it: control characters, and those that turn the direction of writing, are blanks.
    static func harmless(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { isHarmless($0) ? $0 : " " }))
    }

    private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var copy = text
        copy.withUTF8 { bytes in
            var rest = UnsafeRawBufferPointer(bytes)
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                // Nobody is left to be told.
                guard count > 0 else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
        }
    }
}
