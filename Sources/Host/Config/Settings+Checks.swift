// What one value alone cannot show: combinations that cannot work, and what this version does not serve.

extension SettingsLoader {
    mutating func check() {
        checkServer()
        checkVersion()
        let websocket = settings.websocket
        require(
            websocket.clientTimeout > websocket.heartbeatInterval, "websocket.client_timeout", or: "websocket.heartbeat_interval",
            "\(DurationText.format(websocket.clientTimeout)) is not longer than websocket.heartbeat_interval "
                + "(\(DurationText.format(websocket.heartbeatInterval))): every quiet client would be disconnected")
        let broadcast = settings.broadcast
        require(
            broadcast.maxBatchBytes >= broadcast.maxEventBytes, "broadcast.max_batch_bytes", or: "broadcast.max_event_bytes",
            "\(broadcast.maxBatchBytes) is less than broadcast.max_event_bytes (\(broadcast.maxEventBytes))")
        require(
            settings.history.maxBytes >= broadcast.maxEventBytes, "history.max_bytes", or: "broadcast.max_event_bytes",
            "\(settings.history.maxBytes) is less than broadcast.max_event_bytes (\(broadcast.maxEventBytes)): "
                + "history could not hold such an event")
        for setting in Setting.all where !setting.hasEffect && setting.read(settings) != setting.read(Settings()) {
            // Where it was refused above, a warning would only repeat that.
            if errors.contains(where: { $0.key == setting.key }) { continue }
            warnings.append(.init(origin(of: setting.key), setting.key, "has no effect in this version"))
        }
    }

    private mutating func checkServer() {
        var addresses: [String] = []
        for host in settings.server.host.flatMap({ $0 == "localhost" ? ["127.0.0.1", "::1"] : [$0] }) where !addresses.contains(host) {
            addresses.append(host)
        }
        settings.server.host = addresses
        require(!addresses.isEmpty, "server.host", or: "server.host", "is an empty list; name an address to listen on, such as 127.0.0.1")
        if settings.server.allowedOrigins.contains("*") {
            warnings.append(
                .init(origin(of: "server.allowed_origins"), "server.allowed_origins", "* lets the pages of every site connect"))
        }
    }

    /// Refuses what would be served otherwise than it says: a key that promises protection must not be ignored.
    private mutating func checkVersion() {
        let promise = "this version serves auth.mode none on loopback addresses only, without TLS"
        require(settings.auth.mode == .none, "auth.mode", or: "auth.mode", "gateway is not possible yet: \(promise)")
        require(!settings.server.tls.enabled, "server.tls.enabled", or: "server.tls.enabled", "true is not possible yet: \(promise)")
        require(
            !settings.auth.allowAnonymous, "auth.allow_anonymous", or: "auth.allow_anonymous", "true is not possible yet: \(promise)")
        for host in settings.server.host where settings.auth.mode == .none && !IPLiteral.isLoopback(host) {
            require(
                false, "server.host", or: "server.host",
                "\(host) is not a loopback address, and auth.mode none would serve everybody who reaches it; use 127.0.0.1 or ::1 "
                    + "(auth.allow_anonymous: true will allow it, but \(promise))")
        }
    }

    private mutating func require(_ condition: Bool, _ key: String, or other: String, _ message: String) {
        if !condition { errors.append(.init(origin(of: key, other), key, message)) }
    }
}
