// A worker as the coordinator sees it: a child process with a pipe each way.

import Base
import CLinux
// `environ` is handed on to the child as it stands; nothing here changes it.
@preconcurrency import Glibc
import Protocol

/// A child process that runs `Worker`. Owner: the coordinator's thread.
final class WorkerProcess {
    let index: Int
    private let process: pid_t
    private var input: FileDescriptor?
    private let output: FileDescriptor
    private var lines = LineBuffer()
    /// The latest word of it.
    private(set) var connected = 0
    private(set) var delivered: UInt64 = 0
    private(set) var published: UInt64 = 0
    private(set) var connectNanoseconds: UInt64?
    private(set) var result: Publisher.Result?
    private(set) var part: WorkerReport.Part?
    /// Set when it can do no more.
    private(set) var failure: String?

    /// What poll(2) is to wait for.
    var descriptor: Int32 { output.number }

    /// Starts this very program again.
    /// - Parameter arguments: all words, the program's name first.
    init(index: Int, arguments: [String]) throws(BenchError) {
        self.index = index
        var toChild: [Int32] = [-1, -1]
        var fromChild: [Int32] = [-1, -1]
        guard clinux_pipe(&toChild) == 0 else { throw BenchError("\(SystemError("pipe2"))") }
        let childInput = FileDescriptor(owning: toChild[0])
        input = FileDescriptor(owning: toChild[1])
        guard clinux_pipe(&fromChild) == 0 else { throw BenchError("\(SystemError("pipe2"))") }
        output = FileDescriptor(owning: fromChild[0])
        let childOutput = FileDescriptor(owning: fromChild[1])
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, childInput.number, 0)
        posix_spawn_file_actions_adddup2(&actions, childOutput.number, 1)
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child = pid_t()
        let code = posix_spawn(&child, "/proc/self/exe", &actions, nil, &words, environ)
        guard code == 0 else { throw BenchError("\(SystemError("posix_spawn", code, on: "/proc/self/exe"))") }
        process = child
    }

    deinit {
        // Without its input it ends.
        input = nil
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
    }

    func send(_ command: WorkerCommand) {
        switch command {
        case .begin: (part, result) = (nil, nil)
        default: break
        }
        let bytes = command.line
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { bytes in
                switch input {
                case .some(let descriptor): write(descriptor.number, bytes.baseAddress, bytes.count)
                case .none: -1
                }
            }
            if count < 0, errno == EINTR { continue }
            // Why it has gone is told by its output, or by the end of that.
            guard count > 0 else { return }
            sent += count
        }
    }

    /// Takes what it has said; blocks until it says something.
    func receive() {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = read(output.number, &bytes, bytes.count)
        if count < 0, errno == EINTR { return }
        guard count > 0 else {
            if failure == nil { failure = "worker \(index) has ended by itself" }
            return
        }
        for line in lines.feed(bytes[..<count]) {
            switch line.flatMap({ WorkerReport($0) }) {
            case .connected(let nanoseconds)?: connectNanoseconds = nanoseconds
            case .progress(let connected, let delivered, let published)?:
                (self.connected, self.delivered, self.published) = (connected, delivered, published)
            case .published(let result)?: self.result = result
            case .settled(let part)?: self.part = part
            case .failed(let why)?: if failure == nil { failure = why }
            case nil: if failure == nil { failure = "worker \(index) says what is no report" }
            }
        }
    }
}
