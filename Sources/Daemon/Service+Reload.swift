// SIGHUP: reads the configuration again, and puts in force what can change while clients are connected.

import Base
import Dispatch
import Fanout
import Host
import Server

/// Where a reload is. Confined to the service's queue `control`.
struct Reloading {
    var isReading = false
    /// Another signal came meanwhile.
    var again = false
    /// Of the readings so far.
    var count = 0
}

extension Service {
    /// A reading that takes longer is named in the log.
    private static let readingTime = DispatchTimeInterval.seconds(5)

    /// Reads the configuration again, on a thread of its own: a disk that hangs, or a pipe that nobody writes to, holds up nothing but the
    /// reload. A broken one changes nothing.
    func reload() {
        dispatchPrecondition(condition: .onQueue(control))
        guard !Service.draining.load(ordering: .relaxed) else { return Log.warn("the daemon is stopping: the configuration is not read again") }
        if reloading.isReading {
            reloading.again = true
            return
        }
        reloading.isReading = true
        reloading.count += 1
        ServiceManager().reloading(status: "reading the configuration")
        let failure = Thread.start(named: "reload") { [self] in
            let loaded: Result<Settings.Loaded, ConfigErrors>
            do throws(ConfigErrors) { loaded = .success(try load()) } catch { loaded = .failure(error) }
            control.async { [self] in finishReload(loaded) }
        }
        if let failure {
            Log.error("the configuration is not reloaded: \(failure); nothing was changed", .reloadFailed)
            return endReload()
        }
        control.asyncAfter(deadline: .now() + Service.readingTime) { [self, count = reloading.count] in
            guard reloading.isReading, reloading.count == count, !Service.draining.load(ordering: .relaxed) else { return }
            Log.warn("the configuration could not be read for 5 s: the file or its disk does not answer; going on with the settings as they are")
            // `systemctl reload` waits for that, for ever.
            ServiceManager().ready(status: statusLine.present)
        }
    }

    private func finishReload(_ loaded: Result<Settings.Loaded, ConfigErrors>) {
        dispatchPrecondition(condition: .onQueue(control))
        // systemd has heard that the service stops.
        if Service.draining.load(ordering: .relaxed) { return }
        switch loaded {
        case .success(let loaded):
            for warning in loaded.warnings { Log.warn("\(warning)", .configurationWarning, [.setting(warning.key)]) }
            take(loaded.settings)
            // Also where only the files have changed that it names.
            if loaded.settings.server.tls.enabled { certificates?.reload(running.server.tls) }
        case .failure(let error):
            let count = error.errors.count
            for fault in error.errors { Log.error("\(fault)", .reloadFailed, [.setting(fault.key)]) }
            Log.error("the configuration is not reloaded: \(count == 1 ? "an error" : "\(count) errors"); nothing was changed", .reloadFailed)
        }
        endReload()
    }

    private func endReload() {
        reloading.isReading = false
        // Readiness is what ends a reload for systemd, also one that has changed nothing.
        ServiceManager().ready(status: statusLine.present)
        guard reloading.again else { return }
        reloading.again = false
        reload()
    }

    private func take(_ wanted: Settings) {
        var changes = settings.changes(to: wanted).filter { !$0.needsRestart }
        var waiting = running.changes(to: wanted).filter(\.needsRestart)
        var live = Service.fitting(wanted.keepingWhatNeedsRestart(of: running))
        if let address = unprotected(by: live.auth) {
            // Checked was the server.host of the file, which is not where we listen yet.
            Log.warn("auth stays as it is until the daemon is restarted: it still listens on \(address), where auth.mode none would serve everybody", .needsRestart)
            live.auth = running.auth
            changes.removeAll { $0.key.hasPrefix("auth.") }
            waiting += running.changes(to: wanted).filter { $0.key.hasPrefix("auth.") }
        }
        settings = wanted
        if changes.isEmpty {
            Log.info("the configuration was read again; nothing has changed", .reloaded)
        } else {
            apply(live)
            Log.info("the configuration was read again: \(changes.map(\.text).joined(separator: ", "))", .reloaded)
        }
        for change in waiting {
            Log.warn("\(change.text): takes effect when the daemon is restarted", .needsRestart, [.setting(change.key)])
        }
    }

    /// An address that we listen on and that strangers reach, where they would be served without anybody having said so.
    private func unprotected(by auth: Settings.Auth) -> ListenAddress? {
        if auth.mode != .none || auth.allowAnonymous { return nil }
        return addresses.first { !IPLiteral.isLoopback($0.host) }
    }

    private func apply(_ live: Settings) {
        let before = running
        running = live
        Log.configure(live.log)
        hub.apply(Limits(live))
        if before.redact != live.redact { hub.redaction.apply(isEnabled: live.redact.enabled, fields: live.redact.fields) }
        do {
            router.apply(RouterRules(live, try access.apply(live, databasePath: sources.databasePath(live))))
            // Who was let in by other rules is looked at by these.
            router.recheck()
        } catch {
            Log.error("credentials cannot be checked: \(error); nothing was changed about who may connect", .reloadFailed)
        }
        // Untouched sources are not disturbed.
        if before.sources != live.sources || before.database != live.database || before.broadcast.maxEventBytes != live.broadcast.maxEventBytes {
            sources.apply(live)
        }
    }

    /// The settings with what this machine allows.
    static func fitting(_ settings: Settings) -> Settings {
        var settings = settings
        let descriptors = Socket.raiseDescriptorLimit()
        if settings.websocket.maxClients + 64 > descriptors {
            let possible = max(1, descriptors - 64)
            Log.warn(
                "websocket.max_clients \(settings.websocket.maxClients) does not fit the limit of \(descriptors) open files; going on with \(possible)",
                .limitLowered)
            settings.websocket.maxClients = possible
        }
        return settings
    }
}

extension RouterRules {
    init(_ settings: Settings, _ authentication: AuthenticationRules) {
        self.init(
            broadcast: BroadcastLimits(
                eventsPerSecond: settings.broadcast.eventsPerSecond, burst: settings.broadcast.burst,
                eventBytesMax: settings.broadcast.maxEventBytes, batchBytesMax: settings.broadcast.maxBatchBytes))
        publicURL = settings.server.publicURL
        allowedOrigins = settings.server.allowedOrigins
        servesWebSockets = settings.websocket.enabled
        servesMetrics = settings.metrics.enabled
        self.authentication = authentication
    }
}
