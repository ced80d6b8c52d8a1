// The certificate in force: read again when its files change, and watched for its end.

import Base
import Dispatch
import Fanout
import Glibc
import Host

/// Keeps certificate and key of `server.tls` current. Any thread; files are read on `queue` only, so that a disk that hangs holds nobody else.
final class CertificateWatch: Sendable {
    private struct State {
        var settings: Settings.TLS
        var context: TLSContext
        /// What the files looked like when they were last read.
        var files: [FileVersion?]
        /// Of the last attempt, if it failed: said once.
        var fault: TLSFileError?
        /// The nearest of `stages` that was told.
        var stage: Int?
    }

    /// Between two looks at the files. A renewal writes its files one after the other; what does not fit is tried again.
    private static let interval = DispatchTimeInterval.seconds(10)
    /// Days left at which operators are told; 0: expired.
    private static let stages = [0, 1, 7, 21]

    private let queue = DispatchQueue(label: "certificates", qos: .utility)
    private let hub: Hub
    private let clock: any Clock
    private let tickets = TLSTickets()
    private let state: Locked<State>
    private let timer: Locked<(any DispatchSourceTimer)?> = Locked(nil)

    /// Reads the files for the first time.
    /// - Returns: nil where TLS is not enabled.
    init?(_ settings: Settings.TLS, hub: Hub) throws(TLSFileError) {
        guard settings.enabled else { return nil }
        self.hub = hub
        clock = hub.clock
        let files = FileVersion.all(of: settings)
        state = Locked(State(settings: settings, context: try TLSContext(settings, tickets: tickets), files: files))
    }

    /// Puts the certificate in force, and begins to look.
    func start() {
        let context = state.withLock { $0.context }
        hub.serve(context)
        Log.info("serving TLS with the certificate \(CertificateWatch.words(context.certificate, clock.now()))")
        warn()
        let timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(deadline: .now() + CertificateWatch.interval, repeating: CertificateWatch.interval, leeway: .seconds(1))
        timer.setEventHandler { [self] in
            look(force: false)
            warn()
        }
        timer.activate()
        self.timer.withLock { $0 = timer }
    }

    /// Reads the files again, perhaps others. Returns at once.
    func reload(_ settings: Settings.TLS) {
        queue.async { [self] in
            state.withLock { $0.settings = settings }
            look(force: true)
            warn()
        }
    }

    var certificate: TLSContext.Certificate { state.withLock { $0.context.certificate } }

    /// Whole days until the certificate expires.
    var daysLeft: Int { certificate.daysLeft(at: clock.now()) }

    private func look(force: Bool) {
        dispatchPrecondition(condition: .onQueue(queue))
        let (settings, known, fault) = state.withLock { ($0.settings, $0.files, $0.fault) }
        let files = FileVersion.all(of: settings)
        // After a failure each look is a new attempt: permissions of a directory, say, show in no file.
        guard force || files != known || fault != nil else { return }
        do throws(TLSFileError) {
            let context = try TLSContext(settings, tickets: tickets)
            // Written while they were read: next time.
            if FileVersion.all(of: settings) != files { return }
            let isOther = state.withLock { state -> Bool in
                defer { (state.context, state.files, state.fault, state.stage) = (context, files, nil, nil) }
                return state.context.certificate != context.certificate
            }
            hub.serve(context)
            let words = CertificateWatch.words(context.certificate, clock.now())
            Log.info("\(isOther ? "new connections get another certificate: " : "certificate and key were read again: ")\(words)", .certificateRenewed)
        } catch {
            let isNews = state.withLock { state -> Bool in
                defer { (state.files, state.fault) = (files, error) }
                return state.fault != error || force
            }
            if isNews { Log.error("\(error); going on with the certificate that is in force, and trying again", .certificateUnusable, [.setting(error.key)]) }
        }
    }

    /// Tells that the end is near, once per stage.
    private func warn() {
        let now = clock.now()
        let certificate = certificate
        let days = certificate.daysLeft(at: now)
        guard let stage = CertificateWatch.stages.first(where: { now >= certificate.notAfter || days < $0 }) else { return }
        let isNews = state.withLock { state -> Bool in
            defer { state.stage = stage }
            return state.stage != stage
        }
        guard isNews else { return }
        if now >= certificate.notAfter {
            Log.error("the certificate \(CertificateWatch.words(certificate, now)): clients refuse to connect; renew it", .certificateExpires)
        } else {
            Log.warn("the certificate \(CertificateWatch.words(certificate, now)): renew it", .certificateExpires)
        }
    }

    private static func words(_ certificate: TLSContext.Certificate, _ now: Instant) -> String {
        let days = certificate.daysLeft(at: now)
        let left = now >= certificate.notAfter ? "expired" : days == 0 ? "less than a day left" : days == 1 ? "1 day left" : "\(days) days left"
        return "\(certificate.name.isEmpty ? "without a name" : "of '\(certificate.name)'"), valid until \(certificate.notAfter.rfc3339) (\(left))"
    }
}

/// Enough of a file's inode to see that it was written or replaced.
private struct FileVersion: Equatable {
    let device: dev_t
    let inode: ino_t
    let size: off_t
    let modified: [Int]

    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        (device, inode, size) = (status.st_dev, status.st_ino, status.st_size)
        modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
    }

    static func all(of settings: Settings.TLS) -> [FileVersion?] {
        [settings.certificate, settings.key, settings.clientCA].map { $0.isEmpty ? nil : FileVersion($0) }
    }
}
