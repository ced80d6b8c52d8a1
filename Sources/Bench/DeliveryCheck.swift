// What each client receives, checked: frames, order, completeness, latency. Every delivery passes through here, so that nothing in it may
// allocate, call a closure, or count references per frame.

import CLinux
import Glibc
import Protocol

/// The receiving side of the clients of one worker, without their sockets. Owner: the worker's thread.
///
/// Bytes are read into one large buffer, behind what a client has of an unfinished frame; of whole frames nothing is kept.
final class DeliveryCheck {
    /// One client. Flat, in one array.
    struct Client {
        /// What it must get: the residues of its class.
        var residues = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
        /// The sequence that comes next; meaningless while `residues` is empty.
        var expected: UInt32 = 0
        /// The place of `expected` in `residues`.
        var place: Int32 = 0
        /// Events that a `gap` has said to be lost, and whose hole has not come yet.
        var told: UInt64 = 0
        /// A `gap` did not say how many are lost: the next hole may be of any size.
        var isToldWithoutNumber = false
        /// Events of others came in between, so that a `gap` may be about them.
        var hasForeign = false
        /// The largest number of an event id, while somebody else publishes.
        var foreignID: UInt64 = 0
        /// The beginning of a frame, allocated when first needed.
        var unfinished: UnsafeMutableRawPointer?
        var unfinishedRoom = 0
        var unfinishedCount = 0
    }

    /// What happened since the last `reset`.
    struct Counts: Equatable {
        var delivered: UInt64 = 0
        /// Bytes of the payloads of these.
        var payloadBytes: UInt64 = 0
        /// The same as they came: compressed, with the headers of their frames.
        var wireBytes: UInt64 = 0
        /// Text messages that are no events of this run.
        var foreign: UInt64 = 0
        var gaps: UInt64 = 0
        /// Lost, and told by a `gap`.
        var toldLost: UInt64 = 0
        /// Lost in silence.
        var lost: UInt64 = 0
        /// Came twice, or too late to be in order.
        var repeated: UInt64 = 0
        /// Everything else that must not happen: events not meant for the client, changed ones, frames against RFC 6455.
        var wrong: UInt64 = 0

        static func += (a: inout Counts, b: Counts) {
            a.delivered += b.delivered
            a.payloadBytes += b.payloadBytes
            a.wireBytes += b.wireBytes
            a.foreign += b.foreign
            a.gaps += b.gaps
            a.toldLost += b.toldLost
            a.lost += b.lost
            a.repeated += b.repeated
            a.wrong += b.wrong
        }
    }

    /// The largest frame that can be taken.
    static let bufferBytes = 1_048_576
    private static let faultsMax = 10

    let count: Int
    private(set) var counts = Counts()
    /// Latencies, counted in `bins`: of a `Histogram`, but where nothing checks who has access.
    var histogram: Histogram { Histogram(counts: Array(UnsafeBufferPointer(start: bins, count: Histogram.bins)), largest: largest) }
    private let bins = UnsafeMutablePointer<UInt64>.allocate(capacity: Histogram.bins)
    private var largest: UInt64 = 0
    /// The first faults, as sentences; all of them are in `counts`.
    private(set) var faults: [String] = []
    /// When the last event came.
    private(set) var lastDelivery: UInt64 = 0
    /// Control frames, and frames that end the connection: rare.
    var onControl: (_ client: Int, _ opcode: Opcode, _ payload: [UInt8]) -> Void = { _, _, _ in }

    /// What the run's first client is called in `faults`.
    private let firstNumber: Int
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: bufferBytes, alignment: 64)
    private let clients: UnsafeMutablePointer<Client>
    private let classes: [UnsafeMutableBufferPointer<UInt32>]
    private let period: Int
    /// False: somebody else publishes; the ids of events must grow, and no more is known.
    private let isOwnRun: Bool
    private let encoding: BenchPlan.Encoding
    private let layout: EventTrailer
    private let keyWord: UInt64
    private let runWord: UInt64
    private let pad: UnsafeMutablePointer<UInt8>
    private let padCount: Int
    private let inflatedFrames = InflatedFrames()
    /// The key and the run, as text: to find a trailer that does not stand at the end.
    private let mark: [UInt8]

    /// - Parameters:
    ///   - shape: of the events; nil where somebody else publishes.
    ///   - clients: numbers of the clients in `expectation`, which get the numbers from 0 here.
    init(shape: EventShape?, encoding: BenchPlan.Encoding = .json, run: UInt32, expectation: Expectation, clients range: Range<Int>) {
        count = range.count
        firstNumber = range.lowerBound
        isOwnRun = shape != nil
        self.encoding = encoding
        layout = EventTrailer(encoding)
        period = expectation.period
        clients = .allocate(capacity: max(1, range.count))
        clients.initialize(repeating: Client(), count: max(1, range.count))
        classes = expectation.classes.map { residues in
            let copy = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: residues.count)
            _ = copy.initialize(from: residues)
            return copy
        }
        for (index, number) in range.enumerated() {
            clients[index].residues = UnsafeBufferPointer(classes[expectation.classOfClient[number]])
            clients[index].expected = clients[index].residues.first ?? 0
        }
        let padding = shape?.pad.dropLast(layout.padBytesLeftOut) ?? []
        padCount = padding.count
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, padding.count))
        copy.initialize(from: padding, count: padding.count)
        pad = copy
        let digits = String(run, radix: 16)
        mark = layout.key + Array((String(repeating: "0", count: 8 - digits.count) + digits).utf8)
        keyWord = mark.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        runWord = mark.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: EventTrailer(encoding).runAt, as: UInt64.self) }
        bins.initialize(repeating: 0, count: Histogram.bins)
    }

    deinit {
        buffer.deallocate()
        pad.deallocate()
        for index in 0..<count { clients[index].unfinished?.deallocate() }
        clients.deallocate()
        for residues in classes { residues.deallocate() }
        bins.deallocate()
    }

    /// Forgets what was counted; what each client is to get next stays.
    func reset() {
        counts = Counts()
        bins.update(repeating: 0, count: Histogram.bins)
        largest = 0
        faults = []
        lastDelivery = 0
    }

    /// Events whose fate is known: they came, or are missing.
    var settled: UInt64 { counts.delivered + counts.toldLost + counts.lost }
    /// Told to be lost, and not yet seen as a hole; if others publish as well, these may be theirs.
    private(set) var toldPending: UInt64 = 0

    // MARK: bytes

    /// Where the next bytes of a client are to be read to.
    func room(for client: Int) -> UnsafeMutableRawBufferPointer {
        let held = clients[client].unfinishedCount
        if held > 0, let unfinished = clients[client].unfinished { buffer.copyMemory(from: unfinished, byteCount: held) }
        return UnsafeMutableRawBufferPointer(start: buffer + held, count: DeliveryCheck.bufferBytes - held)
    }

    /// Takes bytes that were read to `room(for:)`.
    /// - Returns: false where the connection can be of no use any more.
    func received(_ added: Int, by client: Int, at now: UInt64) -> Bool {
        let total = clients[client].unfinishedCount + added
        guard let used = walk(clients + client, client, total, now) else { return false }
        let rest = total - used
        clients[client].unfinishedCount = rest
        guard rest > 0 else { return true }
        if rest == DeliveryCheck.bufferBytes {
            fault(client, "a frame of more than \(DeliveryCheck.bufferBytes) bytes")
            return false
        }
        if clients[client].unfinishedRoom < rest {
            clients[client].unfinished?.deallocate()
            clients[client].unfinished = .allocate(byteCount: rest * 2, alignment: 8)
            clients[client].unfinishedRoom = rest * 2
        }
        clients[client].unfinished?.copyMemory(from: buffer + used, byteCount: rest)
        return true
    }

    /// Takes bytes from anywhere: those that came with the answer to the handshake, and of tests.
    func receive(_ bytes: UnsafeRawBufferPointer, by client: Int, at now: UInt64) -> Bool {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let room = room(for: client)
            let part = min(room.count, rest.count)
            room.baseAddress?.copyMemory(from: base, byteCount: part)
            guard received(part, by: client, at: now) else { return false }
            rest = UnsafeRawBufferPointer(rebasing: rest[part...])
        }
        return true
    }

    // MARK: frames

    /// Looks at the whole frames in the first `total` bytes of the buffer.
    /// - Returns: the bytes of these; nil where the server breaks the protocol or has closed.
    private func walk(_ state: UnsafeMutablePointer<Client>, _ client: Int, _ total: Int, _ now: UInt64) -> Int? {
        var at = 0
        var delivered: UInt64 = 0
        var payloadBytes: UInt64 = 0
        var wireBytes: UInt64 = 0
        var latest: UInt64 = 0
        let (frameByte, trailerBytes, runAt, sequenceAt, instantAt) = (layout.frameByte, layout.bytes, layout.runAt, layout.sequenceAt, layout.instantAt)
        defer {
            if delivered > 0 {
                counts.delivered += delivered
                counts.payloadBytes += payloadBytes
                counts.wireBytes += wireBytes
                largest = max(largest, latest)
                lastDelivery = now
            }
        }
        while total - at >= 2 {
            let frame = UnsafeRawPointer(buffer + at)
            var first = frame.load(as: UInt8.self)
            var length = Int(frame.load(fromByteOffset: 1, as: UInt8.self))
            var header = 2
            if length >= 126 {
                if length == 126 {
                    guard total - at >= 4 else { break }
                    length = Int(UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
                    header = 4
                } else if length == 127 {
                    guard total - at >= 10 else { break }
                    length = Int(clamping: UInt64(bigEndian: frame.loadUnaligned(fromByteOffset: 2, as: UInt64.self)))
                    header = 10
                } else {
                    fault(client, "a masked frame (RFC 6455 §5.1)")
                    return nil
                }
            }
            guard length <= total - at - header else { break }
            var payload = frame + header
            let frameBytes = header + length
            at += frameBytes
            // RFC 7692 §6: a compressed message.
            if first == frameByte | 0x40 {
                guard let message = inflatedFrames.message(of: UnsafeRawBufferPointer(start: payload, count: length)), let start = message.baseAddress else {
                    fault(client, "a frame that does not decompress")
                    return nil
                }
                (first, payload, length) = (frameByte, start, message.count)
            }
            let trailer = payload + (length - trailerBytes)
            guard first == frameByte, isOwnRun, length >= trailerBytes, trailer.loadUnaligned(as: UInt64.self) == keyWord,
                trailer.loadUnaligned(fromByteOffset: runAt, as: UInt64.self) == runWord
            else {
                guard other(state, client, first, UnsafeRawBufferPointer(start: payload, count: length), now) else { return nil }
                continue
            }
            guard isNext(state, client, Hexadecimal.read(trailer + sequenceAt)) else { continue }
            if length < trailerBytes + padCount || memcmp(trailer - padCount, pad, padCount) != 0 {
                fault(client, "an event has been changed on its way: \(String(decoding: UnsafeRawBufferPointer(start: payload, count: length), as: UTF8.self))")
            }
            let latency = DeliveryCheck.latency(trailer + instantAt, now)
            bins[Histogram.bin(of: latency)] &+= 1
            latest = max(latest, latency)
            delivered += 1
            payloadBytes += UInt64(length)
            wireBytes += UInt64(frameBytes)
        }
        return at
    }

    /// Goes on to the event behind `sequence`.
    /// - Returns: whether it counts as delivered.
    @inline(__always)
    private func isNext(_ state: UnsafeMutablePointer<Client>, _ client: Int, _ sequence: UInt32) -> Bool {
        if sequence == state.pointee.expected, !state.pointee.residues.isEmpty {
            advance(state)
            return true
        }
        return unexpected(state, client, sequence)
    }

    @inline(__always)
    private static func latency(_ instant: UnsafeRawPointer, _ now: UInt64) -> UInt64 {
        let due = UInt64(Hexadecimal.read(instant)) << 32 | UInt64(Hexadecimal.read(instant + 8))
        return now > due ? now - due : 0
    }

    /// The next one of the class.
    @inline(__always)
    private func advance(_ state: UnsafeMutablePointer<Client>) {
        let residues = state.pointee.residues
        let place = Int(state.pointee.place)
        if place + 1 < residues.count {
            state.pointee.expected += residues[place + 1] - residues[place]
            state.pointee.place += 1
        } else {
            // To the first residue of the next period.
            state.pointee.expected = state.pointee.expected &+ UInt32(period) - residues[place] + residues[0]
            state.pointee.place = 0
        }
    }

    /// An event that is not the next one.
    /// - Returns: whether it counts as delivered.
    private func unexpected(_ state: UnsafeMutablePointer<Client>, _ client: Int, _ sequence: UInt32) -> Bool {
        let residues = state.pointee.residues
        let residue = UInt32(Int(sequence) % period)
        let place = Expectation.place(of: residue, in: residues)
        guard place < residues.count, residues[place] == residue else {
            fault(client, "event \(sequence) does not pass its filters")
            return false
        }
        let expected = state.pointee.expected
        guard sequence > expected else {
            counts.repeated += 1
            note(client, "event \(sequence) came twice or out of order: \(expected) was next")
            return false
        }
        hole(state, client, until: sequence) { "event \(sequence) came where \(expected) was next: \($0) lost in silence" }
        advance(state)
        return true
    }

    /// Everything that is expected before `sequence` will not come.
    private func hole(_ state: UnsafeMutablePointer<Client>, _ client: Int, until sequence: UInt32, _ sentence: (UInt64) -> String) {
        let residues = state.pointee.residues
        guard !residues.isEmpty else { return }
        let next = Expectation.count(of: residues, period: period, before: sequence)
        let had = Expectation.count(of: residues, period: period, before: state.pointee.expected)
        let (rounds, place) = Int(next).quotientAndRemainder(dividingBy: residues.count)
        if next > had {
            let missing = next - had
            let told = state.pointee.isToldWithoutNumber ? missing : min(missing, state.pointee.told)
            toldPending -= min(told, state.pointee.told)
            state.pointee.told -= min(told, state.pointee.told)
            state.pointee.isToldWithoutNumber = false
            counts.toldLost += told
            if missing > told {
                counts.lost += missing - told
                note(client, sentence(missing - told))
            }
        }
        state.pointee.expected = UInt32(truncatingIfNeeded: rounds * period) &+ residues[place]
        state.pointee.place = Int32(place)
    }

    /// The end of a part of the run: what has not come of the events before `sequence` is lost.
    func finish(before sequence: UInt32) {
        for client in 0..<count {
            let expected = clients[client].expected
            if sequence > expected {
                hole(clients + client, client, until: sequence) { "\($0) events from \(expected) on did not come" }
            }
            let told = clients[client].told
            if told > 0, isOwnRun, !clients[client].hasForeign {
                counts.wrong += 1
                note(client, "a gap told of \(told) lost events more than are missing")
            }
            toldPending -= told
            clients[client].told = 0
        }
    }

    /// How many events before `sequence`, and not before `first`, the clients are to get.
    func expected(from first: UInt32, before sequence: UInt32) -> UInt64 {
        guard isOwnRun else { return 0 }
        var total: UInt64 = 0
        for client in 0..<count {
            let residues = clients[client].residues
            total +=
                Expectation.count(of: residues, period: period, before: sequence) - Expectation.count(of: residues, period: period, before: first)
        }
        return total
    }

    // MARK: the rare

    /// Anything but an event in its usual form.
    /// - Returns: false where the connection is of no more use.
    private func other(
        _ state: UnsafeMutablePointer<Client>, _ client: Int, _ first: UInt8, _ payload: UnsafeRawBufferPointer, _ now: UInt64
    ) -> Bool {
        let opcode = Opcode(rawValue: first & 0x0F)
        guard first == layout.frameByte || first & 0xF0 == 0x80 && opcode.isControl else {
            fault(client, "a frame that nothing was agreed about: \(opcode), first byte 0x\(String(first, radix: 16))")
            return false
        }
        if opcode.isControl {
            onControl(client, opcode, Array(payload))
            return opcode != .close
        }
        if isOwnRun, let base = payload.baseAddress, let at = EventShape.find(mark, in: payload), payload.count - at >= layout.bytes - layout.closingBytes {
            let digits = UnsafeRawBufferPointer(rebasing: payload[(at + layout.sequenceAt)...])
            if Hexadecimal.readChecked(UnsafeRawBufferPointer(rebasing: digits[..<8])) != nil,
                Hexadecimal.readChecked(UnsafeRawBufferPointer(rebasing: digits[9..<25])) != nil
            {
                movedEvent(state, client, base + at, payload.count, now)
                return true
            }
        }
        message(state, client, payload, now)
        return true
    }

    /// An event whose server has put something behind its last field. What stands before it is not compared.
    private func movedEvent(_ state: UnsafeMutablePointer<Client>, _ client: Int, _ trailer: UnsafeRawPointer, _ length: Int, _ now: UInt64) {
        guard isNext(state, client, Hexadecimal.read(trailer + layout.sequenceAt)) else { return }
        let latency = DeliveryCheck.latency(trailer + layout.instantAt, now)
        bins[Histogram.bin(of: latency)] &+= 1
        largest = max(largest, latency)
        counts.delivered += 1
        counts.payloadBytes += UInt64(length)
        lastDelivery = now
    }

    /// A message that is no event of this run.
    private func message(_ state: UnsafeMutablePointer<Client>, _ client: Int, _ payload: UnsafeRawBufferPointer, _ now: UInt64) {
        // What is wrong with it is said by its beginning well enough.
        let text = encoding == .json ? Array(payload) : try? MessagePack.json(of: payload, from: .daemon)
        guard let text, let json = try? JSON(parsing: text) else {
            return fault(client, "a message that is no \(encoding == .json ? "JSON" : "MessagePack"): \(String(decoding: payload.prefix(80), as: UTF8.self))")
        }
        switch json["type"]?.string {
        case "gap":
            counts.gaps += 1
            if let dropped = json["data"]?["dropped"]?.int, dropped >= 0 {
                if isOwnRun {
                    state.pointee.told += UInt64(dropped)
                    toldPending += UInt64(dropped)
                } else {
                    counts.toldLost += UInt64(dropped)
                }
            } else {
                state.pointee.isToldWithoutNumber = true
            }
        case "error":
            fault(client, "the server says \(String(decoding: text.prefix(200), as: UTF8.self))")
        case "ping", "pong", "welcome", "caught_up", "ack": break
        default:
            guard !isOwnRun else {
                state.pointee.hasForeign = true
                counts.foreign += 1
                return
            }
            counts.delivered += 1
            counts.payloadBytes += UInt64(payload.count)
            lastDelivery = now
            // `<epoch>-<number>`; state has none.
            guard let id = json["id"]?.string, let dash = id.firstIndex(of: "-"), let number = UInt64(id[id.index(after: dash)...]) else { return }
            if number <= state.pointee.foreignID {
                counts.repeated += 1
                note(client, "event \(id) came behind \(state.pointee.foreignID)")
            }
            state.pointee.foreignID = max(number, state.pointee.foreignID)
        }
    }

    /// The connection of a client is gone.
    func ended(_ client: Int, _ why: String) { fault(client, why) }

    private func fault(_ client: Int, _ sentence: String) {
        counts.wrong += 1
        note(client, sentence)
    }

    /// A fault that the caller counts.
    private func note(_ client: Int, _ sentence: String) {
        if faults.count < DeliveryCheck.faultsMax { faults.append("client \(firstNumber + client): \(sentence)") }
    }
}

extension EventShape {
    /// Where `mark` begins in `bytes`.
    static func find(_ mark: [UInt8], in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let base = bytes.baseAddress, let found = clinux_find(base, bytes.count, mark, mark.count) else { return nil }
        return found - base
    }
}
