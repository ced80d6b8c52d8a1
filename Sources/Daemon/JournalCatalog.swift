// The journal's catalog of our messages, from the table of log events.

import Base

/// Text of `goleapai-ws.catalog` (https://systemd.io/CATALOG): what `journalctl -x` shows behind an entry.
enum JournalCatalog {
    static var text: String {
        "# Made from the table of log events: goleapai-ws help --generate catalog\n"
            + LogEvent.all.map { event in
                """

                -- \(event.id)
                Subject: \(event.subject)
                Defined-By: \(Version.name)
                Documentation: man:goleapai-ws(8)

                \(event.text)

                """
            }.joined()
    }
}
