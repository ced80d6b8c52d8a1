// goleapai-ws(8): the program as a service, for those who operate it.

import Base
import Host

extension ManPage {
    static func daemon() -> String {
        var page = Roff(Version.name, section: 8, summary: "the service: files, signals, systemd, log")
        page.heading("SYNOPSIS")
        page.line("`systemctl` start|stop|restart|reload|status `\(Version.name)`")
        page.lineBreak()
        page.line("`journalctl -u \(Version.name)` [-f] [-x]")
        for chapter in chapters {
            page.heading(chapter.heading)
            page.paragraphs(chapter.text, afterHeading: true)
            for item in chapter.items { page.item(item.term, item.text) }
        }
        for event in LogEvent.all {
            page.item("`\(event.id)` (\(event.name))", "\(event.subject). \(event.text)".replacing("@", with: ""))
        }
        exitStatus(&page)
        page.paragraphs(
            """
            systemd starts the service again 5 s after any failure, but for \(ExitCode.configuration): a configuration that is wrong is not made right by trying
            again.
            """)
        page.seeAlso([
            "\(Version.name)(1)", "\(configPageName)(5)", "journalctl(1)", "systemd.service(5)", "systemd.socket(5)",
            "systemd.exec(5)", "systemd-creds(1)",
        ])
        return page.text
    }

    private struct Chapter {
        let heading: String
        var text = ""
        var items: [(term: String, text: String)] = []
    }

    private static let chapters: [Chapter] = [
        Chapter(
            heading: "DESCRIPTION",
            text: """
                `\(Version.name) serve` reads the database and the log of a GoLeapAI gateway on the same machine and streams what happens there to
                WebSocket clients. It writes to neither. As a service it runs as the user `\(Version.name)`, without any privilege.

                Where the gateway's own port is 8080 as well, set `server.port` in `\(defaultConfigPath)` and restart the service.
                """),
        Chapter(
            heading: "FILES",
            items: [
                (
                    defaultConfigPath,
                    "The configuration, see \(configPageName)(5). `\(Version.name) check-config` says what is wrong with it."
                ),
                ("/opt/goleapai/data/goleapai.db", "The gateway's database, unless `database.connection` names another one."),
                (
                    "/run/\(Version.name)",
                    "The runtime directory. It is kept while the service is restarted. The Unix socket for publishers, `publish.sock`, is here; see `broadcast.socket` in \(configPageName)(5)."
                ),
                (
                    "/etc/systemd/system/\(Version.name).service.d/gateway-group.conf",
                    """
                    Gives the service the group that the gateway's unit runs as, so that it may read the database. Written by the package, where that group
                    exists, at every upgrade and by `dpkg-reconfigure \(Version.name)`. Other files in this directory are left alone.
                    """
                ),
                ("/etc/credstore/\(Version.name).auth.jwt_secret", "The gateway's secret for tokens, see CREDENTIALS."),
            ]),
        Chapter(
            heading: "SIGNALS",
            items: [
                (
                    "SIGTERM, SIGINT",
                    "Stops: no connection is taken any more, clients get what waits for them and are closed with 1001. A second one ends at once."
                ),
                (
                    "SIGHUP",
                    """
                    Reads the configuration again (`systemctl reload`). What can change in the running service is changed, what cannot is said in the
                    log. A file with errors changes nothing.
                    """
                ),
            ]),
        Chapter(
            heading: "ENVIRONMENT",
            items: [
                (
                    "\(Setting.environmentPrefix)*",
                    "Keys of the configuration, see \(configPageName)(5). In a drop-in of the unit: Environment=."
                ),
                (
                    "CREDENTIALS_DIRECTORY, RUNTIME_DIRECTORY",
                    "Set by systemd: where `auth.jwt_secret` is looked for, and where `publish.sock` is made."
                ),
                (
                    "NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS, JOURNAL_STREAM",
                    "Set by systemd: readiness and state, watchdog, listening sockets, the log's format."
                ),
            ]),
        Chapter(
            heading: "UNDER SYSTEMD",
            text: """
                The service is ready when it serves. `systemctl status \(Version.name)` shows one sentence on what it does. It answers systemd's watchdog
                as long as all its parts answer; a database that hangs is no reason to be restarted.

                The limit of open files is LimitNOFILE= of the unit, 65536; each client takes one.

                The unit is restricted as far as possible (`systemd-analyze security \(Version.name)`): for a database below /home, add a drop-in with
                ProtectHome=read-only (`systemctl edit \(Version.name)`).
                """),
        Chapter(
            heading: "RESTART WITHOUT REFUSALS",
            text: """
                The listening sockets stay open in systemd's file descriptor store while the service is restarted, by hand or by an upgrade:
                connections that come meanwhile wait. After `systemctl stop` they are closed.
                """),
        Chapter(
            heading: "SOCKET ACTIVATION",
            text: """
                With `\(Version.name).socket`, which is shipped disabled, systemd opens the addresses at boot and starts the service with the first
                connection:

                  systemctl stop \(Version.name).service
                  systemctl enable --now \(Version.name).socket

                It has addresses of its own, 127.0.0.1:8080 and [::1]:8080. Where `server.host` or `server.port` differ, change them with
                `systemctl edit \(Version.name).socket`; the log warns while they do not agree. `systemctl restart \(Version.name).socket` closes
                the addresses, `systemctl restart \(Version.name).service` does not.
                """),
        Chapter(
            heading: "CREDENTIALS",
            text: """
                The gateway's secret for tokens, `auth.jwt_secret`, need not be in the configuration. The unit loads it, where it is there, from
                `/etc/credstore/\(Version.name).auth.jwt_secret` or the same name in `/run/credstore`; root alone has to be able to read that file.

                For an encrypted one, add a drop-in with LoadCredentialEncrypted=auth.jwt_secret:PATH, see systemd-creds(1).
                """),
        Chapter(
            heading: "LOG",
            text: """
                Entries in the journal have their level as priority, and fields by which they are found: `journalctl -u \(Version.name) CLIENT_ID=17`
                """,
            items: [
                ("CLIENT_ID", "The client's number, as in /admin/ws/clients."),
                ("REMOTE_ADDR", "The client's address."),
                ("CHANNEL", "The channel it is about."),
                ("SOURCE", "The source it is about."),
                ("SETTING", "The key of the configuration it is about."),
                ("ORIGIN, HOST, ACCEPTED, REMEDY", "Of a refused page: where it is from, what it asked, what is accepted, and the line that would let it in."),
                ("MESSAGE_ID", "The kind of entry. `journalctl -x` shows what it means and what to do, as here:"),
            ]),
    ]
}
