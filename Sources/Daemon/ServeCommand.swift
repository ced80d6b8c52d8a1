// `goleapai-ws serve` and `check-config`: which configuration counts, and what is wrong with it.

import Base
import Demo
import Glibc
import Host
import Storage

/// Where the package puts the configuration. Not there: the defaults.
let defaultConfigPath = "/etc/goleapai-ws/config.yaml"

/// What `runServe` is told.
struct ServeOptions: Sendable {
    /// Loaded and checked.
    var settings: Settings
    /// Reads and checks them again: for a reload.
    var load: @Sendable () throws(ConfigErrors) -> Settings.Loaded
    /// Not nil: with a gateway of its own.
    var demo: DemoOptions?
}

/// The file that counts: the one named, else the default one if it is there.
///
/// A default file that exists but cannot be read counts as well, so that it is an error and not silently passed over.
func configPath(_ arguments: Arguments) -> String? {
    arguments["--config"] ?? (access(defaultConfigPath, F_OK) == 0 ? defaultConfigPath : nil)
}

/// The configuration that the arguments name, with what only the whole program can check.
func loadSettings(
    _ arguments: Arguments, overrides: [Settings.Override] = [], readsCertificates: Bool = true
) throws(ConfigErrors) -> Settings.Loaded {
    let loaded = try Settings.load(
        path: configPath(arguments), environment: environment(), overrides: overrides, readsCertificates: readsCertificates)
    let (key, connection) = ("database.connection", loaded.settings.database.connection)
    if DatabasePath.path(of: connection) == nil {
        let message = "\"\(withoutPasswords(connection))\" names no file on this machine; write a path, or file:path?_journal_mode=WAL"
        throw ConfigErrors([ConfigError(loaded.origin(of: key), key, message)])
    }
    return loaded
}

func serveCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    let port = try arguments.integer("--port", in: 0...65_535)
    let rate = try arguments.integer("--demo-rate", in: 0...DemoOptions.rateMax)
    let seed = try arguments.integer("--demo-seed", in: 0...Int.max)
    if !arguments.has("--demo"), let option = ["--demo-rate", "--demo-seed"].first(where: arguments.has) {
        throw UsageError(message: "\(option) is for --demo")
    }
    var overrides: [Settings.Override] = []
    if let port { overrides.append(.init(name: "--port", key: "server.port", text: "\(port)")) }
    do throws(ConfigErrors) {
        let load = { @Sendable [overrides] () throws(ConfigErrors) in try loadSettings(arguments, overrides: overrides) }
        let loaded = try load()
        Log.configure(loaded.settings.log)
        for warning in loaded.warnings { Log.warn("\(warning)", .configurationWarning, [.setting(warning.key)]) }
        var options = ServeOptions(settings: loaded.settings, load: load)
        if arguments.has("--demo") {
            options.demo = DemoOptions()
            if let rate { options.demo?.rate = rate }
            if let seed { options.demo?.seed = UInt64(seed) }
        }
        runServe(options)
    } catch {
        report(error)
        return ExitCode.configuration
    }
}

func checkConfigCommand(_ arguments: Arguments) -> Int32 {
    if arguments.has("--print-default") {
        Output.write(SampleConfig.text)
        return ExitCode.fine
    }
    do throws(ConfigErrors) {
        let loaded = try loadSettings(arguments)
        for warning in loaded.warnings { Output.error("\(warning)\n") }
        Output.write("\(configPath(arguments) ?? "no configuration file, the defaults"): fine\n")
        return ExitCode.fine
    } catch {
        Output.error("\(error)\n")
        return ExitCode.configuration
    }
}
