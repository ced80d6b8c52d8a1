// Where settings come from: the file, over it the environment, over that the command line. All errors are
// collected, so that one run shows them all.

extension Settings {
    /// Settings that are fit to be served, and what the operator should know about them.
    public struct Loaded: Sendable {
        public let settings: Settings
        /// Not wrong, but not what it seems: keys without effect, origins of everybody.
        public let warnings: [ConfigError]
        let origins: [String: ConfigError.Origin]

        /// Who set a key: for errors that only show later, such as a port that is taken.
        public func origin(of key: String) -> ConfigError.Origin { origins[key] ?? .builtIn }
    }

    /// A value for a key from outside the file.
    public struct Override: Sendable {
        /// How the operator knows it: `--port`.
        public let name: String
        public let key: String
        public let text: String

        public init(name: String, key: String, text: String) {
            self.name = name
            self.key = key
            self.text = text
        }
    }

    /// Reads and checks the whole configuration. Blocks on the file; call it before serving.
    ///
    /// - Parameters:
    ///   - path: the file; nil for none, which leaves the defaults.
    ///   - environment: all variables of the process; those that begin with `GOLEAPAI_WS_` are looked at.
    ///   - overrides: from the command line; they win over the environment, as that does over the file.
    ///   - readsCertificates: false for who only wants to know where the daemon is, and may not read its key.
    /// - Throws: everything that is wrong, each with its file and line or variable, key, and what would be right.
    public static func load(
        path: String?, environment: [String: String] = [:], overrides: [Override] = [], readsCertificates: Bool = true
    ) throws(ConfigErrors) -> Loaded {
        var text: [UInt8] = []
        if let path {
            do {
                text = try ConfigFile.read(path)
            } catch {
                throw ConfigErrors([error])
            }
        }
        return try load(text: text, named: path ?? "", environment: environment, overrides: overrides, readsCertificates: readsCertificates)
    }

    /// The same for the bytes of a file, which is called `name` in messages.
    static func load(
        text: [UInt8], named name: String, environment: [String: String] = [:], overrides: [Override] = [], readsCertificates: Bool = true
    ) throws(ConfigErrors) -> Loaded {
        var loader = SettingsLoader(file: name)
        loader.readsCertificates = readsCertificates
        loader.take(text: text)
        loader.take(environment: environment)
        for override in overrides { loader.take(override) }
        loader.readSecrets(environment: environment)
        loader.check()
        guard loader.errors.isEmpty else { throw ConfigErrors(loader.errors) }
        return Loaded(settings: loader.settings, warnings: loader.warnings, origins: loader.origins)
    }
}

/// The state of one `load`. Lives on the caller's stack.
struct SettingsLoader {
    let file: String
    var settings = Settings()
    var errors: [ConfigError] = []
    var warnings: [ConfigError] = []
    var readsCertificates = true
    /// Where each key that was set came from.
    private(set) var origins: [String: ConfigError.Origin] = [:]

    /// Variables of that prefix which are no settings.
    private static let foreignNames: Set<String> = ["URL", "TOKEN_FILE", "COMMIT"]

    init(file: String) { self.file = file }

    /// Where the first of these keys that somebody set came from.
    func origin(of keys: String...) -> ConfigError.Origin {
        keys.lazy.compactMap { origins[$0] }.first ?? .builtIn
    }

    // MARK: File

    mutating func take(text: [UInt8]) {
        do throws(YAMLError) {
            let root = try text.withUnsafeBufferPointer { (bytes) throws(YAMLError) in try YAMLReader.parse(bytes) }
            guard let root, !root.isNull else { return }
            guard case .mapping(let entries) = root.content else {
                return errors.append(.init(.file(file, line: root.line), "", "holds no keys; it should begin like server:"))
            }
            take(entries, section: "")
        } catch {
            errors.append(.init(.file(file, line: error.line), "", error.message))
        }
    }

    private mutating func take(_ entries: [YAMLNode.Entry], section: String) {
        var lines: [String: Int] = [:]
        // A dot inside one key is not the dot between section and key: only the table's keys join them.
        for entry in entries {
            let key = section.isEmpty ? entry.key : "\(section).\(entry.key)"
            let origin = ConfigError.Origin.file(file, line: entry.keyLine)
            if let line = lines.updateValue(entry.keyLine, forKey: entry.key) {
                errors.append(.init(origin, SettingsLoader.shown(key), "is given twice, first on line \(line)"))
            } else if !entry.key.contains("."), let setting = Setting.named(key) {
                do throws(ValueError) {
                    set(setting, try setting.kind.value(of: entry.value), from: origin)
                } catch {
                    errors.append(.init(origin, key, error.message))
                }
            } else if !entry.key.contains("."), Setting.sections.contains(where: { $0.key == key }) {
                // A heading whose keys are all commented out has no value: that is no error.
                if entry.value.isNull { continue }
                guard case .mapping(let inner) = entry.value.content else {
                    errors.append(.init(origin, key, "is a section; write its keys below it, indented"))
                    continue
                }
                take(inner, section: key)
            } else {
                errors.append(.init(origin, SettingsLoader.shown(key), SettingsLoader.hint(unknown: entry.key, in: section)))
            }
        }
    }

    /// A key from the file, safe to print.
    private static func shown(_ key: String) -> String {
        let text = quoted(key)
        return String(text.dropFirst().dropLast())
    }

    /// What to say about a key that does not exist.
    private static func hint(unknown name: String, in section: String) -> String {
        let prefix = section.isEmpty ? "" : section + "."
        let known = Setting.all.map(\.key) + Setting.sections.map(\.key)
        let siblings = known.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }.filter { !$0.contains(".") }
        if let near = Suggestion.nearest(to: name, among: siblings) { return "unknown key; did you mean \(near)?" }
        if Setting.named(name) != nil, let dot = name.lastIndex(of: ".") {
            return "unknown key; write \(name[name.index(after: dot)...]) below \(name[..<dot]), indented"
        }
        let elsewhere = Setting.all.filter { $0.key.hasSuffix("." + name) }.map(\.key)
        if let key = elsewhere.first { return "unknown key; did you mean \(key)?" }
        return "unknown key; \(section.isEmpty ? "sections" : "keys of \(section)") are \(siblings.joined(separator: ", "))"
    }

    // MARK: Environment, command line

    mutating func take(environment: [String: String]) {
        let byName = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.environmentName, $0) })
        // In the order of names, so that messages come in the same order each time.
        for (name, text) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix(Setting.environmentPrefix) {
            if let setting = byName[name] {
                take(Settings.Override(name: name, key: setting.key, text: text))
            } else if !SettingsLoader.foreignNames.contains(String(name.dropFirst(Setting.environmentPrefix.count))) {
                // No error: orchestrators set such names by themselves (GOLEAPAI_WS_PORT_8080_TCP in Kubernetes).
                let near = Suggestion.nearest(to: name, among: byName.keys.sorted())
                let hint = near.map { "; did you mean \($0)?" } ?? ""
                warnings.append(.init(.named(name), "", "is no setting and has no effect\(hint)"))
            }
        }
    }

    mutating func take(_ override: Settings.Override) {
        let origin = ConfigError.Origin.named(override.name)
        guard let setting = Setting.named(override.key) else {
            return errors.append(.init(origin, override.key, "unknown key"))
        }
        do throws(ValueError) {
            set(setting, try setting.kind.value(of: override.text), from: origin)
        } catch {
            errors.append(.init(origin, setting.key, error.message))
        }
    }

    private mutating func set(_ setting: Setting, _ value: SettingValue, from origin: ConfigError.Origin) {
        setting.write(&settings, value)
        origins[setting.key] = origin
    }

    // MARK: Secrets

    /// Fetches secrets that stand in files of their own: the file that is named, else the systemd credential.
    mutating func readSecrets(environment: [String: String]) {
        let key = "auth.jwt_secret_file"
        if !settings.auth.jwtSecretFile.isEmpty {
            if !settings.auth.jwtSecret.isEmpty {
                errors.append(.init(origin(of: key), key, "and auth.jwt_secret are both set; remove one"))
                return
            }
            do throws(ConfigError) {
                let secret = try ConfigFile.readSecret(settings.auth.jwtSecretFile)
                if secret.isEmpty { throw ConfigError(.builtIn, "", "is empty; it should hold the secret") }
                settings.auth.jwtSecret = secret
            } catch {
                // What looks like no path may be the secret itself, put into the wrong key.
                let path = settings.auth.jwtSecretFile
                let shown = path.contains { "/.".contains($0) } ? quoted(path) : "the path, which has neither a slash nor a point in it,"
                errors.append(.init(origin(of: key), key, "\(shown) \(error.message)"))
            }
        } else if settings.auth.jwtSecret.isEmpty, let directory = environment["CREDENTIALS_DIRECTORY"], !directory.isEmpty,
            // systemd.exec(5), LoadCredential=. Not there: no such credential was passed, which is no error.
            let secret = try? ConfigFile.readSecret("\(directory)/auth.jwt_secret")
        {
            settings.auth.jwtSecret = secret
        }
    }
}
