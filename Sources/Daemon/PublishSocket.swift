// The Unix socket for publishers on this machine.

import Base
import Glibc
import Host

/// `broadcast.socket`, open. Made on the main thread at the start; `end` is for the end. The socket itself is the acceptors'.
struct PublishSocket {
    let path: String
    /// The file, where it is for us to remove it: else systemd does so with the directory, or the next process inherits it.
    private let file: FileIdentity?

    /// Takes over the inherited socket if it still stands at the right path, else binds.
    /// - Parameters:
    ///   - setting: `auto`, `off` or a path.
    ///   - inherited: positions of what former processes have stored.
    /// - Returns: nil where there is to be none.
    static func open(
        _ setting: String, inherited: [Int], _ store: inout SocketStore
    ) throws -> (publishing: PublishSocket, socket: ListeningSocket)? {
        let wanted = path(setting)
        var kept: ListeningSocket?
        for position in inherited {
            guard let socket = store.socket(position), let path = store.path(position) else { continue }
            let leads = LocalSocket.leads(path, to: socket)
            if kept == nil, leads, path == wanted, LocalSocket.admitGroup(path) == nil {
                kept = socket
                continue
            }
            if leads { unlink(path) }
            if path != wanted { Log.info("no longer listening on \(path), which broadcast.socket does not name any more") }
            store.drop(position)
        }
        guard let path = wanted else { return nil }
        if let kept { return (PublishSocket(path: path, isOursToRemove: false), kept) }
        do throws(SystemError) {
            let socket = try LocalSocket.bind(path)
            store.keep(socket, as: ListenPlan.publishName)
            return (PublishSocket(path: path, isOursToRemove: !store.manager.isPresent), socket)
        } catch {
            // A directory of ours without room, or that has gone, is no reason to serve nobody.
            if setting == "auto", error.code != EADDRINUSE, error.code != ENOTSOCK {
                Log.error("\(sentence(error, path).description); going on without a socket for publishers", .publishingUnavailable)
                return nil
            }
            throw sentence(error, path)
        }
    }

    private init(path: String, isOursToRemove: Bool) {
        self.path = path
        file = isOursToRemove ? FileIdentity(path) : nil
    }

    /// Removes the file, if that is for us to do and it is still ours.
    func end() {
        if let file, FileIdentity(path) == file { unlink(path) }
    }

    private static func path(_ setting: String) -> String? {
        switch setting {
        case "off": return nil
        case "auto":
            // Several, separated by colons, where the unit names several (systemd.exec(5)).
            let directory = getenv("RUNTIME_DIRECTORY").flatMap { String(cString: $0).split(separator: ":").first }
            guard let directory else {
                Log.info("no socket for publishers: there is no RuntimeDirectory; broadcast.socket can name a path")
                return nil
            }
            return "\(directory)/publish.sock"
        default: return setting
        }
    }

    private static func sentence(_ error: SystemError, _ path: String) -> StartError {
        let why =
            switch error.code {
            case EADDRINUSE: "another process listens there; stop it or set broadcast.socket"
            case ENOTSOCK: "something else than a socket stands there; remove it or set broadcast.socket"
            default: "\(SystemError.text(of: error.code)) (\(error.call)); set broadcast.socket"
            }
        return StartError(description: "cannot listen on \(path): \(why)")
    }
}
