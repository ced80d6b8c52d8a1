// The one table of notable events of the daemon's life: each has a MESSAGE_ID, by which the journal is searched, and a text that
// says what it means and what to do (`journalctl -x`). The catalog file and the manual are made from it.

/// A kind of log entry that operators may look for.
public struct LogEvent: Sendable, Hashable {
    /// MESSAGE_ID: 32 hexadecimal digits, never reused (sd-id128(3)).
    public let id: String
    /// For JSON lines and the manual: `client-connected`.
    public let name: String
    /// The catalog's Subject:. `@FIELD@` stands for a field of the entry.
    public let subject: String
    /// The catalog's text.
    public let text: String
    /// Entries of this kind that are written within `LogLimiter.window`; more are counted.
    public let burst: Int

    private init(_ id: String, _ name: String, burst: Int = LogLimiter.burst, _ subject: String, _ text: String) {
        self.id = id
        self.name = name
        self.subject = subject
        self.text = text
        self.burst = burst
    }

    public static let ready = LogEvent(
        "b94720716c4d439db3365456dcdb378e", "ready", "goleapai-ws is ready",
        """
        The daemon listens and serves clients. What it reads from (the gateway's database, its journal) may
        still be starting or failing: `curl localhost:8080/ready` and the entries "a source fails" tell.
        """)
    public static let stopping = LogEvent(
        "dcc144f483244617b0f20f83756af417", "stopping", "goleapai-ws stops",
        """
        No connection is accepted any more. Every client is told when to come back (`drain`), gets what
        waits for it, and is closed with 1001.
        """)
    public static let stopped = LogEvent(
        "43f33f4c8184441f9eb70aebd913053e", "stopped", "goleapai-ws has stopped",
        """
        All clients are gone. Where the message says that some did not take everything in time: they took no bytes for 3
        seconds, or 15 seconds were over in all.
        """)
    public static let cannotStart = LogEvent(
        "2d5dfff7a7c64732a490c11bc9d77de8", "cannot-start", "goleapai-ws cannot start",
        """
        The message says why, and what would help. systemd tries again every few seconds.

        Where the port is taken: the gateway's own default port is 8080 too. Set server.port in
        /etc/goleapai-ws/config.yaml, or stop the other program.
        """)
    public static let configurationInvalid = LogEvent(
        "517704df576a4285bc460c7cee2662b8", "configuration-invalid", burst: 1000, "The configuration is wrong",
        """
        The message names the file, the line, the key, and what would be right. The daemon does not start with a
        wrong configuration (exit code 78), and systemd does not try again until something is changed.

        Mend it, see what `goleapai-ws check-config` says, then `systemctl restart goleapai-ws`.
        """)
    public static let configurationWarning = LogEvent(
        "f8deaccd3f224efd9529af1643a394d8", "configuration-warning", burst: 1000, "Something in the configuration is not what it seems",
        "The daemon goes on. `goleapai-ws check-config` shows all such warnings.")
    public static let reloaded = LogEvent(
        "ea250c17f3b54977b46503596b6333d5", "reloaded", "The configuration was read again",
        "What could change while clients are connected has changed; nobody was disconnected. The message names the keys.")
    public static let needsRestart = LogEvent(
        "65bf1d2039254a999e3a676845fe1ce3", "needs-restart", burst: 1000, "A changed setting waits for a restart",
        """
        @SETTING@ was changed in the configuration, but takes effect only when the daemon starts. Clients that keep
        to the protocol come back by themselves: `systemctl restart goleapai-ws`.
        """)
    public static let reloadFailed = LogEvent(
        "902fcc48f08c4dfc939a101c5d38e3bd", "reload-failed", burst: 1000, "The configuration was not reloaded",
        """
        It is wrong: the message names the file, the line, the key, and what would be right. Nothing was changed,
        the daemon goes on with the settings it had. A restart would fail, though.
        """)
    public static let sourceFailing = LogEvent(
        "73fe99dd550748e6b8be19565750250a", "source-failing", "A source fails: @SOURCE@",
        """
        Its events do not come while this lasts. The daemon tries again by itself, serves everything else, and tells
        subscribers by a gap when more than 5 seconds went by unread. `curl localhost:8080/ready` shows
        the state of all sources.

        Usual causes: the gateway has not made its database yet; database.connection names another file; the
        daemon's user may not read it (the group of the gateway: goleapai-ws(8)); the journal may not be read
        (group systemd-journal).
        """)
    public static let sourceWorking = LogEvent(
        "72933400cd304faf9688c30f890b6f4c", "source-working", "A source works again: @SOURCE@", "What was written meanwhile has been read.")
    public static let clientConnected = LogEvent(
        "1070536b7c0c40a2af7e935e467169ee", "client-connected", burst: 3000, "A client has connected: @CLIENT_ID@",
        "All that concerns it: `journalctl CLIENT_ID=@CLIENT_ID@`. The id is that of /admin/ws/clients.")
    public static let clientSubscribed = LogEvent(
        "0c69e21f11704014907ea265270817bd", "client-subscribed", burst: 1000, "A client has changed its subscription: @CLIENT_ID@",
        "Written at log.level debug only. CHANNEL has what it is subscribed to from now on.")
    public static let clientDisconnected = LogEvent(
        "e79cc351f8bd493cbcd47fc7e1bd21b6", "client-disconnected", burst: 3000, "A client is gone: @CLIENT_ID@",
        "The message says who ended the connection, and how: the close code, where there was one.")
    public static let clientLost = LogEvent(
        "176cc7d166b84a67be10415b873bd02f", "client-lost-events", burst: 200, "A client has lost events: @CLIENT_ID@",
        """
        It read more slowly than events came, for longer than history reaches back, and was told so by a gap.
        Where this happens often: a slow network or program at the other end, too wide a subscription (filters!),
        or too short a history (history.max_events, history.max_bytes).
        """)
    public static let clientRefused = LogEvent(
        "7944b52ee96a4832b4d710a892d1322b", "client-refused", "Clients are refused",
        """
        A limit is reached; the message names it. Raise it in the configuration and reload, or find who holds the
        connections: /admin/ws/clients.
        """)
    public static let credentialRefused = LogEvent(
        "4a1fa2778702488d99f3c362fbf65637", "credential-refused", "A credential was refused",
        """
        Somebody came with a token or a key that does not count; the message says why, without the credential. Many of these from one
        address are somebody who tries.
        """)
    public static let originRefused = LogEvent(
        "ee057d83914d44dfada6e6c50f201904", "origin-refused", "A page of another site was refused",
        """
        A browser asked for a page of another site (ORIGIN), or by a name that is not known to be this server's (HOST).
        ACCEPTED has what is accepted. REMEDY, where there is one, is the line of the configuration that would let it in; `systemctl
        reload goleapai-ws` puts it in force.

        Where you do not know the site, leave it as it is: some page that somebody has opened tries what it can reach.
        """)
    public static let limitLowered = LogEvent(
        "1afa868172364105be12fad763e29b34", "limit-lowered", "A limit does not fit this machine",
        """
        Each client takes a file descriptor. Raise LimitNOFILE= of the unit (systemctl edit goleapai-ws), or lower
        websocket.max_clients.
        """)
    public static let descriptorsExhausted = LogEvent(
        "7c13699ff628413f9efd44415f2c4ab1", "descriptors-exhausted", "Connections cannot be accepted",
        """
        Most often the limit of open files is reached. Those who are connected are served, new connections are answered
        503 and closed.
        Raise LimitNOFILE= of the unit (systemctl edit goleapai-ws) or lower websocket.max_clients.
        """)
    public static let acceptingAgain = LogEvent(
        "f09db4a517dd4a12b2ab60a8aadc864e", "accepting-again", "Connections are accepted again", "What was in the way is over.")
    public static let addressDiffers = LogEvent(
        "ee8cecc2dcfc4891a2350e77883a8db7", "address-differs", "The configuration and the socket unit name different addresses",
        """
        systemd opens the port (goleapai-ws.socket), so what stands there counts, and server.host and server.port
        do not. Make them the same (systemctl edit goleapai-ws.socket), or disable the socket unit.
        """)
    public static let addressUnavailable = LogEvent(
        "f3dff73879504d57adfa182be4c55c22", "address-unavailable", "An address cannot be listened on",
        """
        This machine does not have it, or not its family (IPv6). The daemon goes on with the others; take it out of
        server.host to be rid of the message.
        """)
    public static let publishingUnavailable = LogEvent(
        "ef16f9839951431e93ae297fec434aac", "publishing-unavailable", "There is no socket for publishers",
        """
        publish.sock could not be made in the runtime directory; the message says why. Publishers on this machine are
        refused until the daemon is restarted; everything else is served.
        """)
    public static let certificateExpires = LogEvent(
        "7ea126089ad347e7b517975ce1be20b8", "certificate-expires", "The certificate expires",
        """
        The message says when. Once it has expired, clients refuse to connect. Renew the files that server.tls.cert and
        server.tls.key name: the daemon notices within ten seconds, and nobody is disconnected.
        """)
    public static let certificateRenewed = LogEvent(
        "825da555cc1a470db5927277507c5f8c", "certificate-renewed", "Certificate and key were read again",
        "They hold for connections that come from now on. Who is connected stays connected, under the certificate of before.")
    public static let certificateUnusable = LogEvent(
        "d1114510dee94ac6b6c68e6cb7a03f73", "certificate-unusable", "Certificate and key on the disk cannot be used",
        """
        The message names the file, and what would be right. The daemon goes on with those that it has, and tries again
        every ten seconds. A restart would fail, though: `goleapai-ws check-config` says when all is well.
        """)
    public static let partHangs = LogEvent(
        "f575b377498542f3a8591a854adc8a23", "part-hangs", "A part of the daemon does not answer",
        """
        The message names it. While it lasts, the watchdog is not fed: systemd restarts the daemon after WatchdogSec=.
        A busy machine may cause this for moments; else it is a fault of the daemon, to be reported with the
        core dump or the journal of these seconds.
        """)
    public static let partsAnswer = LogEvent(
        "3301ced971d9448aadb31a64dc8bd80b", "parts-answer", "All parts of the daemon answer again", "The machine was busy, or stood still.")
    public static let suppressed = LogEvent(
        "155f013206e844f1992796359a8307d1", "suppressed", "Entries were left out",
        "@N_SUPPRESSED@ entries like the one in the message came within half a minute and were not written.")
    public static let replayIncomplete = LogEvent(
        "2c30a5cf11224efeb30a29648f035a7b", "replay-incomplete", "A client could not be given all of what it asked for",
        "A source could not be read, or not in time. The client was told by a gap.")

    /// All of them, in the order of the manual.
    public static let all = [
        ready, stopping, stopped, cannotStart, configurationInvalid, configurationWarning, reloaded, needsRestart, reloadFailed, sourceFailing,
        sourceWorking, clientConnected, clientSubscribed, clientDisconnected, clientLost, clientRefused, credentialRefused, originRefused, replayIncomplete, limitLowered, descriptorsExhausted,
        acceptingAgain, addressDiffers, addressUnavailable, publishingUnavailable, certificateExpires, certificateRenewed,
        certificateUnusable, partHangs, partsAnswer, suppressed,
    ]
}
