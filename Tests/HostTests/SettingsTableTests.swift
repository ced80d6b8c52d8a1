import Testing

@testable import Host

struct SettingsTableTests {
    @Test func keysAndNamesAreUnique() {
        #expect(Set(Setting.all.map(\.key)).count == Setting.all.count)
        #expect(Set(Setting.all.map(\.environmentName)).count == Setting.all.count)
        for setting in Setting.all {
            let section = setting.key.split(separator: ".").dropLast().joined(separator: ".")
            #expect(Setting.sections.contains { $0.key == section }, "\(setting.key)")
            #expect(setting.sentence.last == "." || setting.key == "database.connection", "\(setting.key)")
        }
        #expect(Setting.named("server.tls.client_ca")?.environmentName == "GOLEAPAI_WS_SERVER_TLS_CLIENT_CA")
    }

    /// A row whose key path is a copy of its neighbour's would pass every other test.
    @Test func eachKeyWritesAPlaceOfItsOwn() {
        for setting in Setting.all {
            var changed = Settings()
            let value: SettingValue =
                switch setting.read(changed) {
                case .boolean(let value): .boolean(!value)
                case .integer(let value): .integer(value + 1)
                case .duration(let value): .duration(value + .seconds(1))
                case .list: .list(["x"])
                case .text(let value):
                    if case .choice(let words) = setting.kind, words.count > 1 { .text(words.first { $0 != value } ?? "") } else { .text("x") }
                }
            setting.write(&changed, value)
            for other in Setting.all {
                #expect((other.read(changed) != other.read(Settings())) == (other.key == setting.key), "\(setting.key), \(other.key)")
            }
        }
    }

    @Test func defaultsAreAllowed() throws {
        for setting in Setting.all {
            guard case .integer(let range, _) = setting.kind, case .integer(let value) = setting.read(Settings()) else { continue }
            #expect(range.contains(value), "\(setting.key)")
        }
    }

    @Test func sampleLoadsAsItIsAndUncommented() throws {
        let text = SampleConfig.text
        #expect(try Settings.load(text: Array(text.utf8), named: "sample").settings == Settings())
        // Keys have `#` and no blank behind it, comments have one.
        let uncommented = text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
            let rest = line.drop { $0 == " " }
            guard rest.hasPrefix("#"), rest.dropFirst().first?.isLetter == true else { return String(line) }
            return String(repeating: " ", count: line.count - rest.count) + rest.dropFirst()
        }
        let loaded = try Settings.load(text: Array(uncommented.joined(separator: "\n").utf8), named: "sample")
        #expect(loaded.settings == Settings())
        #expect(loaded.warnings.isEmpty)
        let keys = uncommented.filter { $0.contains(":") && !$0.drop { $0 == " " }.hasPrefix("#") }.count
        #expect(keys == Setting.all.count + Setting.sections.count)
    }
}
