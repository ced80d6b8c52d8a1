// A row of request_logs as a `request` event.

import Base
import Protocol
import Storage

/// Makes events of rows. Owner: one thread.
struct RequestEncoder {
    /// Longer texts are cut, so that one odd row cannot make an event too large to send.
    private static let errorBytesMax = 16_384
    private static let textBytesMax = 1024

    private var json = JSONWriter(reserving: 1024)

    /// - Parameters:
    ///   - row: stands on a row with the columns of `RequestQueries.eventRows`.
    ///   - now: stands in for a timestamp that makes no sense.
    mutating func event(_ row: Statement, timestamp: Instant?, now: Instant) -> SourceEvent {
        typealias Column = RequestQueries.Column
        let instant = timestamp ?? now
        json.removeAll()
        json.beginObject()
        text("request_id", row, Column.id)
        text("provider_id", row, Column.providerID)
        text("provider_name", row, Column.providerName)
        text("model_name", row, Column.modelName)
        text("method", row, Column.method)
        text("endpoint", row, Column.endpoint)
        json.key("status_code")
        json.int(row.int64(Column.statusCode))
        json.key("latency_ms")
        json.int(row.int64(Column.latency))
        json.key("input_tokens")
        json.int(row.int64(Column.input))
        json.key("output_tokens")
        json.int(row.int64(Column.output))
        json.key("success")
        json.bool(row.int64(Column.success) != 0)
        text("model_id", row, Column.modelID)
        if row.withText(Column.errorMessage, { !$0.isEmpty }) {
            text("error_message", row, Column.errorMessage, bytesMax: RequestEncoder.errorBytesMax)
        }
        text("user_id", row, Column.userID)
        json.key("estimated_cost")
        json.double(row.double(Column.estimatedCost))
        json.key("timestamp")
        json.string(instant.rfc3339)
        json.endObject()
        return SourceEvent(kind: .request, timestamp: instant, data: json.bytes)
    }

    private mutating func text(
        _ key: StaticString, _ row: Statement, _ column: Int32, bytesMax: Int = RequestEncoder.textBytesMax
    ) {
        json.key(key)
        row.withText(column) { bytes in
            if bytes.count <= bytesMax {
                json.string(utf8: bytes)
            } else {
                json.string(String(decoding: RequestEncoder.cut(bytes, to: bytesMax), as: UTF8.self) + "…")
            }
        }
    }

    /// The longest beginning of at most so many bytes that does not end inside a character.
    private static func cut(_ bytes: UnsafeRawBufferPointer, to bytesMax: Int) -> Slice<UnsafeRawBufferPointer> {
        var end = bytesMax
        // Bytes 10xxxxxx go on with a character; there are three of them at most.
        while end > bytesMax - 4, bytes[end] & 0xC0 == 0x80 { end -= 1 }
        return bytes[..<end]
    }
}
