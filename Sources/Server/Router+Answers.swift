// Answers about the daemon itself.

import Base
import Fanout
import Protocol

extension Router {
    func version() -> Response {
        var writer = JSONWriter()
        writer.beginObject()
        for (key, value) in [
            ("name", options.build.name), ("version", options.build.version), ("commit", options.build.commit),
            ("swift", options.build.swift),
        ] {
            writer.key(key)
            writer.string(value)
        }
        writer.endObject()
        return Response(status: 200, json: writer.bytes)
    }

    /// 200 while at least one enabled source works and the daemon is not draining.
    func ready(_ head: RequestHead) -> Response {
        let all = options.sources()
        var asked = all
        for (name, value) in head.query {
            guard name == "source" else { return .error(400, "unknown parameter '\(ForeignText.shown(name, to: 80))'; known is source") }
            // The three that read the database can be asked about together.
            asked = value == "database" ? all.filter { $0.name != "journal" } : all.filter { $0.name == value }
            if asked.isEmpty {
                return .error(400, "no source '\(ForeignText.shown(value, to: 80))' is enabled; there are \((all.map(\.name) + ["database"]).joined(separator: ", "))")
            }
        }
        let isDraining = options.isDraining()
        let isReady = !isDraining && asked.contains { $0.isWorking }
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("ready")
        writer.bool(isReady)
        writer.key("draining")
        writer.bool(isDraining)
        writer.key("sources")
        writer.beginArray()
        for source in asked {
            writer.beginObject()
            writer.key("name")
            writer.string(source.name)
            writer.key("state")
            writer.string(source.state)
            writer.key("lag_ms")
            writer.int(source.lagMilliseconds)
            writer.key("why")
            writer.string(source.why)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return Response(status: isReady ? 200 : 503, json: writer.bytes, fields: isReady ? [] : [("Retry-After", "5")])
    }

    // MARK: clients

    func listClients(_ later: @escaping @Sendable (Response) -> Void) {
        hub.ask({ $0.describeClients() }) { later(Router.list($0.flatMap { $0 }.sorted { $0.id < $1.id })) }
    }

    func disconnect(_ id: UInt64, _ later: @escaping @Sendable (Response) -> Void) {
        hub.ask({ $0.disconnect(id) }) { answers in
            later(
                answers.contains(true)
                    ? Response(status: 200, json: #"{"success":true,"message":"Client disconnected"}"#) : .error(404, "no client \(id)"))
        }
    }

    private static func list(_ clients: [ClientDescription]) -> Response {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("clients")
        writer.beginArray()
        for client in clients {
            writer.beginObject()
            writer.key("id")
            writer.string(String(client.id))
            writer.key("address")
            writer.string(client.address.description)
            writer.key("user")
            writer.string(client.principal.user)
            writer.key("role")
            writer.string(client.principal.role)
            writer.key("user_agent")
            writer.string(client.userAgent)
            writer.key("transport")
            writer.string(client.encoding.spoken.rawValue)
            writer.key("encoding")
            writer.string(client.encoding.form.language)
            writer.key("compression")
            writer.string(client.compression)
            writer.key("channels")
            writer.beginArray()
            for channel in client.subscription.channels.channels { writer.string(channel.name) }
            writer.endArray()
            writer.key("filters")
            client.subscription.filters.write(for: client.subscription.channels, to: &writer)
            for (key, value) in [
                ("waiting", Int64(client.waiting)), ("behind", Int64(clamping: client.behind)), ("dropped", Int64(clamping: client.dropped)),
                ("bytes", Int64(clamping: client.bytesSent)),
            ] {
                writer.key(key)
                writer.int(value)
            }
            writer.key("since")
            writer.string(client.since.rfc3339)
            writer.endObject()
        }
        writer.endArray()
        writer.endObject()
        return Response(status: 200, json: writer.bytes)
    }
}
