// What coordinator and workers say to each other: one JSON text a line.

import Protocol

/// From the coordinator to a worker.
enum WorkerCommand: Equatable {
    /// Connect all clients. `host`: the server's address in numbers.
    case connect(host: String, run: UInt32)
    /// A part of the run begins; the events before `first` are settled.
    case begin(first: UInt32)
    /// To the first worker, after `begin`.
    case publish(first: UInt32, events: UInt64?, nanoseconds: UInt64?)
    /// No further events.
    case stop
    /// Report once every event before this one is settled; nil: at once.
    case settle(before: UInt32?)
    case finish

    var line: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("do")
        switch self {
        case .connect(let host, let run):
            writer.string("connect")
            writer.key("host")
            writer.string(host)
            writer.key("run")
            writer.int(Int(run))
        case .begin(let first):
            writer.string("begin")
            writer.key("first")
            writer.int(Int(first))
        case .publish(let first, let events, let nanoseconds):
            writer.string("publish")
            writer.key("first")
            writer.int(Int(first))
            if let events {
                writer.key("events")
                writer.int(events)
            }
            if let nanoseconds {
                writer.key("nanoseconds")
                writer.int(nanoseconds)
            }
        case .stop: writer.string("stop")
        case .settle(let sequence):
            writer.string("settle")
            if let sequence {
                writer.key("before")
                writer.int(Int(sequence))
            }
        case .finish: writer.string("finish")
        }
        writer.endObject()
        return writer.bytes + [10]
    }

    init?(_ json: JSON) {
        switch json["do"]?.string {
        case "connect":
            guard let host = json["host"]?.string, let run = json["run"]?.sequence else { return nil }
            self = .connect(host: host, run: run)
        case "begin":
            guard let first = json["first"]?.sequence else { return nil }
            self = .begin(first: first)
        case "publish":
            guard let first = json["first"]?.sequence else { return nil }
            self = .publish(first: first, events: json["events"]?.unsigned, nanoseconds: json["nanoseconds"]?.unsigned)
        case "stop": self = .stop
        case "settle": self = .settle(before: json["before"]?.sequence)
        case "finish": self = .finish
        default: return nil
        }
    }
}

/// From a worker to the coordinator.
enum WorkerReport: Equatable {
    /// What has come since `begin`.
    struct Part: Equatable {
        var counts = DeliveryCheck.Counts()
        var histogram = Histogram()
        var faults: [String] = []
        var lastDelivery: UInt64 = 0
        /// Computing time of the worker since `begin`.
        var cpuNanoseconds: UInt64 = 0
        /// Slow clients that the server has disconnected.
        var slowEnded = 0
    }

    case connected(nanoseconds: UInt64)
    case progress(connected: Int, delivered: UInt64, published: UInt64)
    case published(Publisher.Result)
    case settled(Part)
    /// The run is over.
    case failed(String)

    var line: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("is")
        switch self {
        case .connected(let nanoseconds):
            writer.string("connected")
            writer.key("nanoseconds")
            writer.int(nanoseconds)
        case .progress(let connected, let delivered, let published):
            writer.string("progress")
            writer.key("connected")
            writer.int(connected)
            writer.key("delivered")
            writer.int(delivered)
            writer.key("published")
            writer.int(published)
        case .published(let result):
            writer.string("published")
            for (key, value) in [
                ("first", UInt64(result.first)), ("next", UInt64(result.next)), ("start", result.start), ("end", result.end),
            ] {
                writer.key(key)
                writer.int(value)
            }
            WorkerReport.write(result.answers, to: &writer)
        case .settled(let part):
            writer.string("settled")
            for (name, field) in WorkerReport.counts {
                writer.key(name)
                writer.int(part.counts[keyPath: field])
            }
            writer.key("last")
            writer.int(part.lastDelivery)
            writer.key("cpu")
            writer.int(part.cpuNanoseconds)
            writer.key("slow_ended")
            writer.int(part.slowEnded)
            writer.key("faults")
            writer.beginArray()
            for fault in part.faults { writer.string(fault) }
            writer.endArray()
            WorkerReport.write(part.histogram, to: &writer)
        case .failed(let why):
            writer.string("failed")
            writer.key("why")
            writer.string(why)
        }
        writer.endObject()
        return writer.bytes + [10]
    }

    init?(_ json: JSON) {
        switch json["is"]?.string {
        case "connected":
            guard let nanoseconds = json["nanoseconds"]?.unsigned else { return nil }
            self = .connected(nanoseconds: nanoseconds)
        case "progress":
            guard let connected = json["connected"]?.int, let delivered = json["delivered"]?.unsigned, let published = json["published"]?.unsigned
            else { return nil }
            self = .progress(connected: connected, delivered: delivered, published: published)
        case "published":
            guard let first = json["first"]?.sequence, let next = json["next"]?.sequence, let start = json["start"]?.unsigned,
                let end = json["end"]?.unsigned, let answers = WorkerReport.histogram(json)
            else { return nil }
            self = .published(Publisher.Result(first: first, next: next, start: start, end: end, answers: answers))
        case "settled":
            var part = Part()
            for (name, field) in WorkerReport.counts {
                guard let value = json[name]?.unsigned else { return nil }
                part.counts[keyPath: field] = value
            }
            guard let last = json["last"]?.unsigned, let cpu = json["cpu"]?.unsigned, let ended = json["slow_ended"]?.int,
                let faults = json["faults"]?.array, let histogram = WorkerReport.histogram(json)
            else { return nil }
            part.lastDelivery = last
            part.cpuNanoseconds = cpu
            part.slowEnded = ended
            part.faults = faults.compactMap(\.string)
            part.histogram = histogram
            self = .settled(part)
        case "failed": self = .failed(json["why"]?.string ?? "")
        default: return nil
        }
    }

    private static var counts: [(String, WritableKeyPath<DeliveryCheck.Counts, UInt64>)] {
        [
            ("delivered", \.delivered), ("payload_bytes", \.payloadBytes), ("wire_bytes", \.wireBytes), ("foreign", \.foreign), ("gaps", \.gaps), ("told_lost", \.toldLost),
            ("lost", \.lost), ("repeated", \.repeated), ("wrong", \.wrong),
        ]
    }

    /// As `"largest":…,"bins":[bin,count,…]`, empty ones left out.
    private static func write(_ histogram: Histogram, to writer: inout JSONWriter) {
        writer.key("largest")
        writer.int(histogram.largest)
        writer.key("bins")
        writer.beginArray()
        for (bin, count) in histogram.counts.enumerated() where count > 0 {
            writer.int(bin)
            writer.int(count)
        }
        writer.endArray()
    }

    private static func histogram(_ json: JSON) -> Histogram? {
        guard let largest = json["largest"]?.unsigned, let numbers = json["bins"]?.array, numbers.count % 2 == 0 else { return nil }
        var bins: [(bin: Int, count: UInt64)] = []
        for pair in stride(from: 0, to: numbers.count, by: 2) {
            guard let bin = numbers[pair].int, let count = numbers[pair + 1].unsigned else { return nil }
            bins.append((bin, count))
        }
        return Histogram(bins: bins, largest: largest)
    }
}

extension JSON {
    fileprivate var unsigned: UInt64? { if case .number(let text) = self { UInt64(text) } else { nil } }
    fileprivate var sequence: UInt32? { int.flatMap { UInt32(exactly: $0) } }
}

/// Bytes that come in parts, as lines.
struct LineBuffer {
    private var bytes: [UInt8] = []

    /// - Returns: the lines that are whole now, read as JSON; nil for one that is none.
    mutating func feed(_ part: some Sequence<UInt8>) -> [JSON?] {
        bytes.append(contentsOf: part)
        var lines: [JSON?] = []
        while let end = bytes.firstIndex(of: 10) {
            lines.append(try? JSON(parsing: Array(bytes[..<end])))  // A line that is no JSON is the other side's fault, and told by nil.
            bytes.removeFirst(end + 1)
        }
        return lines
    }
}
