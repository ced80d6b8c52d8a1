// A gateway to look at when there is none: its database in a private directory, and a thread that keeps writing.

import Base
import Glibc

/// A gateway database that lives as long as this object. Any thread may call its methods.
public final class DemoGateway: Sendable {
    /// For `database.connection`. The file is gone after `stop`.
    public let databasePath: String

    private let directory: String
    private let clock: any Clock
    /// Guards the database connection; nil once stopped.
    private let writer: Locked<GatewayWriter?>
    /// A byte in it wakes the thread for good. Both ends live as long as this object.
    private let wakeUp: (read: FileDescriptorBox, write: FileDescriptorBox)

    /// Descriptors cannot stand in a tuple of a class as they are: they are not copyable.
    private final class FileDescriptorBox: Sendable {
        let descriptor: FileDescriptor
        init(_ number: Int32) { descriptor = FileDescriptor(owning: number) }
    }

    /// Makes the directory (below `$TMPDIR`, else /tmp; nobody else may enter), the database and a day of history.
    /// Blocks for a fraction of a second.
    public init(_ options: DemoOptions, clock: any Clock = SystemClock()) throws(DemoError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent.isEmpty ? "/tmp" : parent)/goleapai-ws-demo-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw DemoError("cannot make a directory for the demo in \(parent): \(SystemError.text(of: errno)); set TMPDIR")
        }
        let directory = String(decoding: template.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        self.directory = directory
        self.clock = clock
        databasePath = "\(directory)/goleapai.db"
        var pipe: [Int32] = [-1, -1]
        guard Glibc.pipe(&pipe) == 0 else {
            let code = errno
            DemoGateway.remove(directory)
            throw DemoError("cannot start the demo: \(SystemError("pipe", code))")
        }
        for number in pipe { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
        wakeUp = (FileDescriptorBox(pipe[0]), FileDescriptorBox(pipe[1]))
        do throws(SQLError) {
            writer = Locked(try GatewayWriter(path: databasePath, options: options, start: clock.now()))
        } catch {
            DemoGateway.remove(directory)
            throw DemoError("cannot make the demo's database: \(error)")
        }
    }

    /// Begins to write. Call once.
    ///
    /// - Parameters:
    ///   - onLog: takes each log line, in order, on the demo's thread.
    ///   - onFailure: takes a sentence when the database could not be written for a while; the demo tries again.
    public func start(
        onLog: @escaping @Sendable (DemoLogLine) -> Void, onFailure: @escaping @Sendable (String) -> Void
    ) throws(DemoError) {
        if let error = Thread.start(named: "demo", { [self] in write(onLog, onFailure) }) {
            throw DemoError("cannot start the demo: \(error)")
        }
    }

    /// Ends the writing and removes all files. Returns when both is done; may be called again.
    public func stop() {
        var byte: UInt8 = 0
        _ = Glibc.write(wakeUp.write.descriptor.number, &byte, 1)
        writer.withLock { $0 = nil }
        DemoGateway.remove(directory)
    }

    deinit { stop() }

    /// The thread.
    private func write(_ onLog: (DemoLogLine) -> Void, _ onFailure: (String) -> Void) {
        /// At high rates several rows go in one transaction.
        let pauseMin: Int64 = 5
        let pauseMax: Int64 = 1000
        var isFailing = false
        while true {
            var lines: [DemoLogLine] = []
            var failure: SQLError?
            let due = writer.withLock { writer -> Instant? in
                guard let writer else { return nil }
                do throws(SQLError) {
                    lines = try writer.advance(to: clock.now())
                } catch {
                    failure = error
                }
                return writer.nextDue
            }
            guard let due else { return }
            for line in lines { onLog(line) }
            if let failure, !isFailing { onFailure("the demo's database cannot be written: \(failure)") }
            isFailing = failure != nil
            let pause = isFailing ? pauseMax : min(max(due.milliseconds - clock.now().milliseconds, pauseMin), pauseMax)
            var entry = pollfd(fd: wakeUp.read.descriptor.number, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, Int32(pause)) > 0 { return }
        }
    }

    private static func remove(_ directory: String) {
        for suffix in ["", "-journal", "-wal", "-shm"] { unlink("\(directory)/goleapai.db\(suffix)") }
        rmdir(directory)
    }
}
