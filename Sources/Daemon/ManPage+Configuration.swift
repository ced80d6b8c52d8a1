// goleapai-ws.yaml(5), from the table of settings.

import Base
import Host

extension ManPage {
    static func configuration() -> String {
        var page = Roff(configPageName, section: 5, summary: "configuration of \(Version.name)")
        page.heading("SYNOPSIS")
        page.line("`\(defaultConfigPath)`")
        page.heading("DESCRIPTION")
        page.paragraphs(
            """
            Three places, the later ones winning: this file in YAML, the environment, the command line. Without any of them the defaults
            hold. Keys stand below their section, indented. An unknown key is an error. Changes take effect by
            `systemctl reload \(Version.name)`, but for those where a restart is needed.

            \(SampleConfig.rules.joined(separator: "\n\n"))
            """, afterHeading: true)
        var section = ""
        for setting in Setting.all {
            let own = setting.key.split(separator: ".").dropLast().joined(separator: ".")
            if own != section {
                section = own
                heading(of: own, &page)
            }
            page.item(
                "`\(setting.key)`",
                """
                \(setting.explanation)\(setting.needsRestart ? " A change takes effect at the next start." : "")

                Default: `\(setting.defaultText)`. In the environment: `\(setting.environmentName)`.
                """)
        }
        page.heading("EXAMPLE")
        page.example(
            [
                "server:", "  port: 8090", "database:", "  connection: /srv/goleapai/data/goleapai.db", "websocket:",
                "  max_clients: 5000",
            ],
            afterHeading: true)
        page.heading("FILES")
        page.item(
            "`\(defaultConfigPath)`",
            "What `\(Version.name)` reads where no other file is named. The package keeps what was changed in it.")
        page.seeAlso(["\(Version.name)(1)", "\(Version.name)-check-config(1)", "\(Version.name)(8)"])
        return page.text
    }

    /// Headings for the sections of the first level, subheadings below them.
    private static func heading(of section: String, _ page: inout Roff) {
        let sentence = Setting.sections.first { $0.key == section }?.sentence ?? ""
        if section.contains(".") {
            page.subheading(section)
        } else {
            page.heading(section.uppercased())
        }
        if !sentence.isEmpty { page.paragraphs(sentence, afterHeading: true) }
    }
}
