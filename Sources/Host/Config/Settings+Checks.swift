// What one value alone cannot show: combinations that cannot work.

import Base

extension SettingsLoader {
    mutating func check() {
        checkServer()
        checkTLS()
        checkAccess()
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

    /// Reads certificate and key, so that what is wrong with them shows before anything is started or changed.
    private mutating func checkTLS() {
        let tls = settings.server.tls
        guard tls.enabled else { return }
        require(
            tls.port == 0 || tls.port != settings.server.port, "server.tls.port", or: "server.port",
            "\(tls.port) is server.port as well; write 0 to speak TLS on that one, or another port to have both")
        guard readsCertificates else { return }
        do throws(TLSFileError) {
            let certificate = try TLSContext(tls, tickets: TLSTickets()).certificate
            guard let fault = certificate.fault(at: SystemClock().now()) else { return }
            warnings.append(.init(origin(of: "server.tls.cert"), "server.tls.cert", "\(quoted(tls.certificate)) \(fault)"))
        } catch {
            errors.append(.init(origin(of: error.key, "server.tls.enabled"), error.key, error.message))
        }
    }

    /// Who may connect, and whether that is meant.
    private mutating func checkAccess() {
        let auth = settings.auth
        warnOfReadableSecret()
        if auth.mode == .gateway {
            require(
                !auth.jwtSecret.isEmpty, "auth.jwt_secret", or: "auth.mode",
                "is empty, so no token could be checked; set auth.jwt_secret_file to a file with the gateway's secret, or pass it as a systemd credential")
            require(!auth.jwtIssuer.isEmpty, "auth.jwt_issuer", or: "auth.mode", "is empty; tokens of the gateway name goleapai-gateway")
            if auth.allowAnonymous {
                warnings.append(.init(origin(of: "auth.allow_anonymous"), "auth.allow_anonymous", "has no effect with auth.mode gateway"))
            }
            return
        }
        for host in settings.server.host where !IPLiteral.isLoopback(host) {
            if auth.allowAnonymous {
                warnings.append(
                    .init(
                        origin(of: "server.host", "auth.allow_anonymous"), "server.host",
                        "\(host) is not a loopback address: everybody who reaches it sees everything (auth.mode none, auth.allow_anonymous)"))
            } else {
                require(
                    false, "server.host", or: "server.host",
                    "\(host) is not a loopback address, and auth.mode none would serve everybody who reaches it; set auth.mode: gateway, "
                        + "use 127.0.0.1 or ::1, or say auth.allow_anonymous: true")
            }
        }
    }

    /// Whoever has the gateway's secret makes tokens of admins.
    private mutating func warnOfReadableSecret() {
        let (key, path) = settings.auth.jwtSecretFile.isEmpty ? ("auth.jwt_secret", file) : ("auth.jwt_secret_file", settings.auth.jwtSecretFile)
        // Where the secret has come from the environment or a credential, no file of ours holds it.
        guard case .file? = origins[key], key == "auth.jwt_secret_file" || !settings.auth.jwtSecret.isEmpty, ConfigFile.isReadableByAll(path) else { return }
        warnings.append(
            .init(origin(of: key), key, "everybody on this machine can read the secret in \(quoted(path)); chmod o-r, so that only its owner and group do"))
    }

    private mutating func require(_ condition: Bool, _ key: String, or other: String, _ message: String) {
        if !condition { errors.append(.init(origin(of: key, other), key, message)) }
    }
}
