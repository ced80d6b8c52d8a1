// YAML by libyaml, the part of it that a configuration needs: one document of mappings, sequences and scalars.
// Anchors, aliases, tags and further documents are refused: they make a file mean something else than it shows.

import CYAML

/// A value of a YAML document and the line (from 1) on which it begins.
struct YAMLNode {
    enum Content {
        /// `isPlain`: written without quotes, so that `12`, `true` and nothing at all have their own meaning.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        case mapping([Entry])
    }
    struct Entry {
        let key: String
        let keyLine: Int
        let value: YAMLNode
    }

    let content: Content
    let line: Int

    /// Nothing after the colon, or one of YAML's words for it.
    var isNull: Bool {
        if case .scalar(let text, isPlain: true) = content { return ["", "~", "null", "Null", "NULL"].contains(text) }
        return false
    }
}

/// Why a text is not a configuration; `line` counts from 1.
struct YAMLError: Error, Equatable {
    let line: Int
    let message: String
}

/// Reads one document. Owner: the caller's stack; the C parser and its event live inside `parse` only.
struct YAMLReader: ~Copyable {
    /// Deepest nesting: settings need three levels, and recursion below must end.
    static let depthMax = 16
    static let nodesMax = 20_000

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    /// The present event; freed by the next `advance`.
    private let event: UnsafeMutablePointer<yaml_event_t>
    private var nodes = 0

    /// - Returns: nil for an empty document.
    static func parse(_ bytes: UnsafeBufferPointer<UInt8>) throws(YAMLError) -> YAMLNode? {
        // libyaml stops at a NUL with a misleading message.
        if bytes.contains(0) { throw YAMLError(line: 1, message: "is not text: it contains NUL bytes") }
        // No bytes may come with no address, which libyaml does not allow.
        guard let start = bytes.baseAddress else { return nil }
        var reader = YAMLReader()
        yaml_parser_set_encoding(reader.parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(reader.parser, start, bytes.count)
        return try reader.document()
    }

    private init() {
        parser = .allocate(capacity: 1)
        event = .allocate(capacity: 1)
        event.initialize(to: yaml_event_t())
        // It fails only for want of memory, where Swift traps as well.
        precondition(yaml_parser_initialize(parser) == 1, "out of memory")
    }

    deinit {
        yaml_event_delete(event)
        yaml_parser_delete(parser)
        event.deallocate()
        parser.deallocate()
    }

    private mutating func document() throws(YAMLError) -> YAMLNode? {
        try advance()  // stream start
        try advance()
        if event.pointee.type == YAML_STREAM_END_EVENT { return nil }
        try advance()
        let root = try node(depth: 1)
        try advance()  // document end
        try advance()
        guard event.pointee.type == YAML_STREAM_END_EVENT else {
            throw YAMLError(line: line, message: "a second document begins here; a configuration is one document")
        }
        return root
    }

    /// Line of the present event.
    private var line: Int { Int(event.pointee.start_mark.line) + 1 }

    private func advance() throws(YAMLError) {
        yaml_event_delete(event)
        if yaml_parser_parse(parser, event) == 1 { return }
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "out of memory"
        if parser.pointee.error == YAML_READER_ERROR {
            // The reader knows an offset, but not the line.
            throw YAMLError(line: Int(parser.pointee.mark.line) + 1, message: "is not UTF-8 text: \(problem)")
        }
        var text = "cannot be read as YAML: \(problem)"
        if problem.contains("cannot start any token") {
            text += "; indent with blanks (no tabs), and quote values that begin with @, ` or %"
        } else if problem.contains("mapping values are not allowed") {
            text += "; check the indentation, and quote values that contain a colon and a blank"
        }
        throw YAMLError(line: Int(parser.pointee.problem_mark.line) + 1, message: text)
    }

    /// The node that begins with the present event; the last event of it is the present one afterwards.
    private mutating func node(depth: Int) throws(YAMLError) -> YAMLNode {
        nodes += 1
        let line = self.line
        guard depth <= YAMLReader.depthMax else {
            throw YAMLError(line: line, message: "is nested deeper than \(YAMLReader.depthMax) levels")
        }
        guard nodes <= YAMLReader.nodesMax else {
            throw YAMLError(line: line, message: "has more than \(YAMLReader.nodesMax) values")
        }
        switch event.pointee.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.pointee.data.scalar
            try refuse(anchor: scalar.anchor, tag: scalar.tag)
            let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            return YAMLNode(content: .scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), line: line)
        case YAML_SEQUENCE_START_EVENT:
            try refuse(anchor: event.pointee.data.sequence_start.anchor, tag: event.pointee.data.sequence_start.tag)
            var elements: [YAMLNode] = []
            try advance()
            while event.pointee.type != YAML_SEQUENCE_END_EVENT {
                elements.append(try node(depth: depth + 1))
                try advance()
            }
            return YAMLNode(content: .sequence(elements), line: line)
        case YAML_MAPPING_START_EVENT:
            try refuse(anchor: event.pointee.data.mapping_start.anchor, tag: event.pointee.data.mapping_start.tag)
            var entries: [YAMLNode.Entry] = []
            try advance()
            while event.pointee.type != YAML_MAPPING_END_EVENT {
                let key = try node(depth: depth + 1)
                guard case .scalar(let name, _) = key.content else {
                    throw YAMLError(line: key.line, message: "a key must be a word, not a list or a section")
                }
                try advance()
                entries.append(.init(key: name, keyLine: key.line, value: try node(depth: depth + 1)))
                try advance()
            }
            return YAMLNode(content: .mapping(entries), line: line)
        default:
            // Only an alias can stand here; the grammar allows nothing else.
            throw YAMLError(line: line, message: "aliases (*name) are not supported; write the value itself")
        }
    }

    private func refuse(anchor: UnsafeMutablePointer<UInt8>?, tag: UnsafeMutablePointer<UInt8>?) throws(YAMLError) {
        if anchor != nil { throw YAMLError(line: line, message: "anchors (&name) are not supported; write the value itself") }
        if tag != nil { throw YAMLError(line: line, message: "tags (!name) are not supported") }
    }
}
