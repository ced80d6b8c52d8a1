// SIGHUP: reads the configuration again, and puts in force what can change while clients are connected.

import Base
import Dispatch
import Fanout
import Host
import Server

extension Service {
    /// Reads the configuration again. A broken one changes nothing.
    func reload() {
        dispatchPrecondition(condition: .onQueue(control))
        guard !Service.draining.load(ordering: .relaxed) else { return Log.warn("the daemon is stopping: the configuration is not read again") }
        let manager = ServiceManager()
        manager.reloading(status: "reading the configuration")
        // Readiness is what ends a reload for systemd, also one that has changed nothing.
        defer { manager.ready(status: statusLine.present) }
        do {
            let loaded = try load()
            for warning in loaded.warnings { Log.warn("\(warning)", .configurationWarning, [.setting(warning.key)]) }
            take(loaded.settings)
        } catch {
            let count = error.errors.count
            for fault in error.errors { Log.error("\(fault)", .reloadFailed, [.setting(fault.key)]) }
            Log.error("the configuration is not reloaded: \(count == 1 ? "an error" : "\(count) errors"); nothing was changed", .reloadFailed)
        }
    }

    private func take(_ wanted: Settings) {
        let changes = settings.changes(to: wanted).filter { !$0.needsRestart }
        let waiting = running.changes(to: wanted).filter(\.needsRestart)
        let live = Service.fitting(wanted.keepingWhatNeedsRestart(of: running))
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

    private func apply(_ live: Settings) {
        let before = running
        running = live
        Log.configure(live.log)
        hub.apply(Limits(live))
        router.apply(RouterRules(live))
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
    init(_ settings: Settings) {
        self.init(
            broadcast: BroadcastLimits(
                eventsPerSecond: settings.broadcast.eventsPerSecond, burst: settings.broadcast.burst,
                eventBytesMax: settings.broadcast.maxEventBytes, batchBytesMax: settings.broadcast.maxBatchBytes))
        publicURL = settings.server.publicURL
        allowedOrigins = settings.server.allowedOrigins
        servesWebSockets = settings.websocket.enabled
    }
}
