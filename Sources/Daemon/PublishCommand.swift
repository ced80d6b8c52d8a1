// `goleapai-ws publish`: events from the command line or standard input to a running daemon.

import Base
import Glibc
import Host
import Protocol

/// What went wrong, as a sentence; exit code 1.
private struct PublishError: Error {
    let message: String
}

func publishCommand(_ arguments: Arguments) throws(UsageError) -> Int32 {
    let (channel, type, data) = (arguments.operands.first, arguments["--type"], arguments["--data"])
    if channel == nil, type != nil || data != nil { throw UsageError(message: "the channel is missing: publish CHANNEL --type T …") }
    if channel != nil, type == nil { throw UsageError(message: "--type is missing: publish CHANNEL --type T …") }
    var lines = EventLines(channel: channel, type: type)
    var event: [UInt8]?
    if let data {
        do throws(JSONError) {
            event = try lines.event(Array(data.utf8))
        } catch {
            throw UsageError(message: "--data is not JSON: \(error)")
        }
    }
    return try DaemonAccess.use(arguments, for: "publish") { (access) throws(UsageError) -> Int32 in
        do throws(PublishError) {
            let publisher = Publisher(HTTPClient(access))
            if let event {
                try publisher.publish([EventLine(number: 0, json: event)])
            } else {
                try publish(standardInput: &lines, to: publisher)
            }
            return ExitCode.fine
        } catch {
            Output.error("\(Version.name) publish: \(error.message)\n")
            return ExitCode.failed
        }
    }
}

/// Sends lines as they come: all that are there go together, and none waits for more.
private func publish(standardInput lines: inout EventLines, to publisher: Publisher) throws(PublishError) {
    if isatty(0) == 1 { Output.error("reading events from the terminal, one JSON text a line; Ctrl-D ends\n") }
    var part = [UInt8](repeating: 0, count: 262_144)
    while true {
        let count = read(0, &part, part.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw PublishError(message: "standard input: \(SystemError.text(of: errno))") }
        var events: [EventLine] = []
        var failure: LineError?
        do throws(LineError) {
            if count > 0 {
                try lines.feed(part[..<count], into: &events)
            } else if let event = try lines.finish() {
                events.append(event)
            }
        } catch {
            failure = error
        }
        try publisher.publish(events)
        if let failure { throw PublishError(message: "line \(failure.number) \(failure.message); those before it were published") }
        if count == 0 { return }
    }
}

/// Owner: one thread; every call blocks.
private final class Publisher {
    /// Far below the limits that a daemon has by default.
    static let batchEventsMax = 1000
    static let batchBytesMax = 1_048_576
    /// Longest wait for a daemon that says we are too quick.
    static let waitSecondsMax = 60

    private let client: HTTPClient

    init(_ client: HTTPClient) { self.client = client }

    /// Publishes in order, in batches; prints each answer.
    func publish(_ events: [EventLine]) throws(PublishError) {
        var rest = events[...]
        while !rest.isEmpty {
            var bytes = 0
            let batch = rest.prefix(Publisher.batchEventsMax).prefix { event in
                bytes += event.json.count + 1
                // One event that is longer than a batch goes alone, and the daemon decides.
                return bytes <= Publisher.batchBytesMax || bytes == event.json.count + 1
            }
            try send(batch)
            rest = rest.dropFirst(batch.count)
        }
    }

    private func send(_ batch: ArraySlice<EventLine>) throws(PublishError) {
        let isSingle = batch.count == 1
        let body = Array(batch.map(\.json).joined(separator: [UInt8(ascii: "\n")]))
        // The same key each time, so that what arrived twice is published once.
        let key = String(UInt64.random(in: .min ... .max), radix: 16) + String(UInt64.random(in: .min ... .max), radix: 16)
        let fields = [("Content-Type", isSingle ? "application/json" : "application/x-ndjson"), ("Idempotency-Key", key)]
        var waited = 0
        while true {
            let answer: HTTPAnswer
            do throws(HTTPClientError) {
                answer = try client.request("POST", "/admin/ws/broadcast", fields: fields, body: body)
            } catch {
                throw PublishError(message: error.description)
            }
            switch answer.status {
            case 200: return Output.write(String(decoding: answer.body, as: UTF8.self) + "\n")
            case 413 where !isSingle:
                // A batch beyond the daemon's limits: its halves may fit.
                let half = batch.index(batch.startIndex, offsetBy: batch.count / 2)
                try send(batch[..<half])
                return try send(batch[half...])
            case 429 where waited < Publisher.waitSecondsMax:
                let seconds = min(max(answer.head.first("retry-after").flatMap { Int($0) } ?? 1, 1), Publisher.waitSecondsMax)
                sleep(UInt32(seconds))
                waited += seconds
            default: throw PublishError(message: Publisher.explanation(answer, batch))
            }
        }
    }

    private static func explanation(_ answer: HTTPAnswer, _ batch: ArraySlice<EventLine>) -> String {
        // Not JSON: something else than the daemon answered; the status must do.
        let json = try? JSON(parsing: answer.body)
        let what = json?["error"]?.string ?? "status \(answer.status)"
        var text = "the daemon refused: \(what) (\(answer.status))"
        guard let first = batch.first, let last = batch.last, first.number > 0 else { return text }
        if let index = json?["index"]?.int, batch.indices.contains(batch.startIndex + index) {
            text += ", line \(batch[batch.startIndex + index].number)"
        }
        return text + (first == last ? "; line \(first.number) was not published" : "; none of lines \(first.number) to \(last.number) was published")
    }
}
