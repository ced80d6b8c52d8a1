// Errors of the kernel as sentences, and descriptors that close once.

import Glibc
import Testing

@testable import Base

@Suite struct SystemErrorTests {
    @Test func words() {
        #expect("\(SystemError("bind", EADDRINUSE, on: "127.0.0.1:80"))" == "bind 127.0.0.1:80: Address already in use")
        #expect("\(SystemError("epoll_wait", EINTR))" == "epoll_wait: Interrupted system call")
        #expect(SystemError.text(of: 123_456).contains("123456"))
    }

    @Test func descriptorsAreClosedOnce() {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let writing = ends[1]
        do {
            let reading = FileDescriptor(owning: ends[0])
            #expect(fcntl(reading.number, F_GETFD) >= 0)
        }
        // Its reader is gone: the pipe is at its end for the writer.
        var entry = pollfd(fd: writing, events: Int16(POLLOUT), revents: 0)
        #expect(poll(&entry, 1, 0) == 1)
        #expect(entry.revents & Int16(POLLERR) != 0)
        let released = FileDescriptor(owning: writing).release()
        #expect(fcntl(released, F_GETFD) >= 0)
        close(released)
    }

    @Test(arguments: [
        ("debug", LogLevel.debug), ("info", .info), ("warn", .warn), ("error", .error), ("Error", nil), ("", nil), ("fatal", nil),
    ])
    func logLevels(name: String, level: LogLevel?) {
        #expect(LogLevel(name: name) == level)
        if let level { #expect(level.name == name) }
    }
}
