// What is wrong with a configuration, as data; the texts of single values are made in `SettingValue.swift`.

/// One thing that is wrong, or worth a warning: where, which key, and what would be right.
public struct ConfigError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Where a value came from.
    public enum Origin: Equatable, Sendable, CustomStringConvertible {
        /// A file, and the line where there is one to name, from 1.
        case file(String, line: Int?)
        /// An environment variable or an option of the command line, by its name.
        case named(String)
        /// Nobody set it.
        case builtIn

        public var description: String {
            switch self {
            case .file(let path, let line): line.map { "\(path):\($0)" } ?? path
            case .named(let name): name
            case .builtIn: "defaults"
            }
        }
    }

    public let origin: Origin
    /// Full key such as `websocket.buffer_size`; empty where the trouble is the file itself.
    public let key: String
    /// What happened and what would be right: lower case, no full stop.
    public let message: String

    public init(_ origin: Origin, _ key: String = "", _ message: String) {
        self.origin = origin
        self.key = key
        self.message = message
    }

    public var description: String {
        key.isEmpty ? "\(origin): \(message)" : "\(origin): \(key): \(message)"
    }
}

/// Everything that is wrong with a configuration, in the order of the file; never empty.
public struct ConfigErrors: Error, Equatable, Sendable, CustomStringConvertible {
    public let errors: [ConfigError]

    public init(_ errors: [ConfigError]) { self.errors = errors }

    /// One line per error.
    public var description: String { errors.map(\.description).joined(separator: "\n") }
}
