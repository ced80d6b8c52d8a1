import Base
import GoLeapAIWSClient
import TestSupport
import Testing

@testable import Terminal

struct TopViewTests {
    private func text(_ model: TopModel) -> String { TopView.draw(model).lines.joined(separator: "\n") }

    @Test func overview80x24() {
        #expect(
            text(Sample.model(80, 24)) == """
                 goleapai-ws http://127.0.0.1:8080  v0.1.0     ● connected  5m window  10:30:00
                 1 Overview  2 Providers  3 Requests  4 Logs
                 REQ/MIN SUCCESS ERRORS P50     P95     P99     REQUESTS TOKENS  COST
                 212     95.7%   42     180ms   1240ms  10.9s   1060     1.23M   $12.35
                 requests/min, 3 min     now 12  max 24 mean latency    now 2460ms  max 5887ms
                   █   █   █   █   █   █   █   █   █    ▆   ▃ ▃█      ▂▅▂█▂ ▂   ▃ ▅  ▂▅▅    ▃
                 ██████████████████████████████████████ █▇█▃█▅██▆▁▅█▃▅█████▅█▃▆▆█▁██▂███▃█▂▇█▇
                 PROVIDER 5               STATE▼      SINCE  SUCCESS  LATENCY  REQUESTS  ERRORS
                 Groq                     ✖ unhealthy   20m    88.0%    810ms       130      21
                 Mistral                  ▲ degraded    13m    92.0%    600ms       220      14
                 OpenAI                   ● healthy      0s     100%    180ms       400       0
                 Anthropic                ● healthy      6m    96.0%    390ms       310       7
                 日本語モデル             ● healthy     26m    79.0%    380ms         -       -
                 REQUEST 120▼ PROVIDER      MODEL           CODE  LATENCY  TOKENS ERROR
                 10:29:56     Groq          llama-3.1-70b    200   2460ms     976              ▐
                 10:29:52     Anthropic     claude-sonnet…   200   4033ms    3651
                 10:29:48     OpenAI        gpt-4o           200   2546ms    2786
                 10:29:44     Mistral       mistral-large    200    114ms    4897
                 LOG 60▼   LEVEL  COMPONENT  MESSAGE
                 10:29:59  error  router     line 59 of the log: request completed  attempt=59 ▐
                 10:29:58  warn   router     line 58 of the log: request completed  attempt=58
                 10:29:57  info   router     line 57 of the log: request completed  attempt=57
                 10:29:56  info   router     line 56 of the log: request completed  attempt=56
                 q quit  ? help  1-4 view  Enter details  / filter  s sort  Space pause
                """)
    }

    @Test func overview40x10() {
        #expect(
            text(Sample.model(40, 10)) == """
                 127.0.0.1:8080   ● connected  10:30:00
                 1 Over  2 Prov  3 Requ  4 Logs
                 rpm 212  ok 95.7%  err 42  p50 180ms
                 PROVIDER 5        STATE▼       LATENCY
                 Groq              ✖ unhealthy    810ms▐
                 Mistral           ▲ degraded     600ms
                 REQUEST 120▼  CODE  LATENCY
                 10:29:56       200   2460ms           ▐
                 10:29:52       200   4033ms
                 q quit  ? help  1-4 view  / filter
                """)
    }

    /// Without UTF-8 and without colours: signs, words and widths stay.
    @Test func providersInASCII() {
        var model = Sample.model(80, 18, isUnicode: false, hasColors: false)
        model.tab = .providers
        model.focus = .models
        #expect(
            text(model) == """
                 goleapai-ws http://127.0.0.1:8080  v0.1.0     * connected  5m window  10:30:00
                 1 Overview  2 Providers  3 Requests  4 Logs
                 rpm 212  ok 95.7%  err 42  p50 180ms  p95 1240ms  p99 10.9s  n 1060  tok 1.23M
                 PROVIDER 5               STATEv      SINCE  SUCCESS  LATENCY  REQUESTS  ERRORS
                 Groq                     x unhealthy   20m    88.0%    810ms       130      21
                 Mistral                  ^ degraded    13m    92.0%    600ms       220      14
                 OpenAI                   * healthy      0s     100%    180ms       400       0
                 Anthropic                * healthy      6m    96.0%    390ms       310       7
                 ????????????             * healthy     26m    79.0%    380ms         -       -
                 MODEL 4                           vREQUESTS  SUCCESS  LATENCY   TOKENS  ERRORS
                 gpt-4o                                  400     100%    180ms   120.0k       0
                 claude-sonnet-4                         310    96.0%    390ms    60.0k       7
                 mistral-large                           220    92.0%    600ms    40.0k      14
                 llama-3.1-70b                           130    88.0%    810ms    30.0k      21



                 q quit  ? help  1-4 view  Enter details  / filter  s sort  Space pause
                """)
        let grid = TopView.draw(model)
        // What is selected is told without colours, too.
        #expect(grid[10, 10].style.isReversed && !grid[10, 11].style.isReversed)
        #expect(grid.cells.allSatisfy { $0.style.foreground == nil && $0.style.background == nil })
    }

    @Test func wideScreenHasAllTables() throws {
        let lines = TopView.draw(Sample.model(200, 60)).lines
        let upper = try #require(lines.firstIndex { $0.contains("PROVIDER 5") })
        #expect(lines[upper].contains("MODEL 4") && lines[upper].contains("MESSAGE"))
        let lower = try #require(lines.firstIndex { $0.contains("REQUEST 120") })
        #expect(lines[lower].contains("LOG 60") && lower > upper)
        #expect(lines[upper + 1].contains("health check failed"))
        #expect(lines[2].contains("COST") && lines[3].contains("$12.35"))
    }

    @Test(
        arguments: [
            (ConnectionState.connecting, "◐ connecting"), (.connected(.init()), "● connected"),
            (.waiting(until: Sample.now.advanced(byMilliseconds: 2500), attempt: 2, why: "refused"), "◐ reconnecting in 3 s (attempt 2)"),
            (.waiting(until: Sample.now, attempt: 0, why: "drain"), "◐ reconnecting in 0 s"),
            (.stopped(.init(cause: .closed(code: 4505), why: "by an admin")), "✖ disconnected"),
        ] as [(ConnectionState, String)])
    func connection(state: ConnectionState, words: String) {
        var model = Sample.model(80, 24)
        model.apply(.state(state))
        let lines = TopView.draw(model).lines
        #expect(lines[0].contains(words))
        if case .waiting(_, _, let why) = state { #expect(lines[1].hasSuffix(why)) }
        if case .stopped(let stop) = state { #expect(lines[1].hasSuffix(stop.why)) }
    }

    /// The address stands above: what is wrong is not cut at the edge. Nothing looks as if it were of now.
    @Test func unreachable() {
        var model = Sample.model(80, 24)
        #expect(!TopView.draw(model)[1, 3].style.isFaint)
        let why = "cannot connect to \(model.settings.address): Connection refused"
        model.apply(.state(.waiting(until: Sample.now, attempt: 1, why: why)))
        model.now = Sample.now.advanced(byMilliseconds: 20_000)
        let grid = TopView.draw(model)
        #expect(grid.lines[1].hasSuffix("  Connection refused") && grid.lines[4].contains("now -  max 24"))
        #expect(grid[1, 3].style.isFaint)
    }

    @Test func losses() {
        var model = Sample.model(80, 24)
        model.apply(.gap(Gap(reason: "slow_consumer", dropped: 1234)))
        #expect(TopView.draw(model).lines[1].hasSuffix("1 gap, 1234 missed"))
        model.apply(.stats(StatsUpdate(timestamp: Sample.at(7.5))))
        #expect(TopView.draw(model).lines[1].contains("lag 7.5 s"))
        model = Sample.model(120, 24)
        model.apply(.error(ServerError(code: "forbidden", message: "channel not allowed", details: "logs")))
        #expect(TopView.draw(model).lines[1].hasSuffix("channel not allowed: logs"))
    }

    /// Nothing has come yet: words instead of tables.
    @Test func empty() {
        var model = Sample.model(80, 24, isEmpty: true)
        #expect(text(model).contains("not connected"))
        model.apply(.state(.connected(.init())))
        #expect(text(model).contains("no requests yet") && text(model).contains("no provider is known yet") && text(model).contains("no lines yet"))
        model.filter = "x y"
        #expect(text(model).contains("nothing with \"x y\""))
    }

    @Test func details() {
        var model = Sample.model(80, 24)
        model.focus = .logs
        _ = model.press(.enter)
        let shown = text(model)
        for words in ["Log line", "level       error", "component   router", "request id  req-59", "attempt     59", "Esc closes"] {
            #expect(shown.contains(words), "\(words)")
        }
        _ = model.press(.escape)
        _ = model.press(.character("?"))
        #expect(text(model).contains("╭─ Keys ─") && text(model).contains("any key closes"))
    }

    @Test func filterLine() {
        var model = Sample.model(80, 24)
        for key in "/gpt" { _ = model.press(.character(key)) }
        #expect(TopView.draw(model).lines[23].hasPrefix(" /gpt"))
        _ = model.press(.enter)
        #expect(TopView.draw(model).lines[1].hasSuffix("/gpt"))
        model.filter = String(repeating: "日", count: 60)
        model.isTyping = true
        expectWhole(TopView.draw(model), "a long filter")
    }

    /// A command to the terminal in every text: none of it gets into a cell.
    @Test func foreignText() {
        var model = Sample.model(200, 60)
        let evil = "\u{1B}[2Jred\u{1B}]0;title\u{7}\u{9B}31m\u{202E}\r\n"
        model.apply(.log(LogLine(level: evil, message: evil, component: evil, timestamp: Sample.at(0))))
        model.apply(.request(RequestEvent(providerName: evil, modelName: evil, isSuccess: false, errorMessage: evil, timestamp: Sample.at(0))))
        model.apply(.provider(ProviderStatus(providerID: evil, providerName: evil, status: evil, message: evil, timestamp: evil)))
        model.apply(.error(ServerError(code: evil, message: evil)))
        for tab in TopTab.allCases {
            model.tab = tab
            let grid = TopView.draw(model)
            expectWhole(grid, "\(tab)")
            #expect(grid.lines.contains { $0.contains("·[2Jred·]0;title··31m·") })
        }
    }

    /// Any model at any size: every cell is whole, and drawing by differences is drawing.
    @Test func anyModelAtAnySize() {
        for seed in testSeeds(6) {
            var random = SeededGenerator(seed: seed)
            var model = Sample.model(
                random.int(1...210), random.int(1...65), isUnicode: random.chance(70), hasColors: random.chance(50), isEmpty: random.chance(20))
            var renderer = ScreenRenderer(colors: .none)
            var screen = SimulatedScreen(columns: model.columns, rows: model.rows)
            for _ in 0..<25 {
                randomStep(&model, &random)
                let grid = TopView.draw(model)
                expectWhole(grid, "seed \(seed)")
                #expect(grid.columns == model.columns && grid.rows == model.rows)
                if screen.columns != grid.columns || screen.rows != grid.rows { screen = SimulatedScreen(columns: grid.columns, rows: grid.rows) }
                screen.feed(renderer.draw(grid))
                #expect(screen.faults.isEmpty, "seed \(seed): \(screen.faults)")
                #expect(screen.cells.map(\.scalar) == grid.cells.map(\.scalar), "seed \(seed)")
            }
        }
    }

    /// Tables do not overlap, whatever the size.
    @Test func layouts() {
        for columns in [1, 20, 40, 79, 80, 131, 132, 200] {
            for rows in Array(1...26) + [40, 60] {
                for tab in TopTab.allCases {
                    var model = Sample.model(columns, rows)
                    model.tab = tab
                    let layout = TopLayout(model)
                    var taken: [Rect] = [layout.header, layout.tabs, layout.numbers, layout.sparklines, layout.footer].compactMap { $0 }
                    taken += layout.panes.map(\.rect)
                    var owners = Array(repeating: 0, count: columns * rows)
                    for rect in taken {
                        for row in rect.row..<rect.endRow { for column in rect.column..<rect.endColumn { owners[row * columns + column] += 1 } }
                    }
                    #expect(owners.allSatisfy { $0 <= 1 }, "\(columns)x\(rows) \(tab)")
                }
            }
        }
    }
}

struct TopTextTests {
    @Test(arguments: [
        (0, "0"), (9999, "9999"), (10_000, "10.0k"), (999_949, "999.9k"), (999_950, "1.00M"), (1_234_567, "1.23M"), (99_949_999, "99.95M"),
        (123_456_789, "123.5M"), (2_500_000_000, "2.50G"), (3_000_000_000_000, "3.00T"), (-12_345, "-12.3k"),
    ])
    func counts(value: Int, text: String) { #expect(TopText.count(value) == text) }

    @Test(arguments: [(1.0, "100%"), (0.9999, "99.9%"), (0.985, "98.5%"), (0.0, "0.0%"), (.nan, "-"), (0.0004, "0.0%")])
    func percents(value: Double, text: String) { #expect(TopText.percent(value) == text) }

    @Test(arguments: [(-1, "-"), (0, "0ms"), (9999, "9999ms"), (10_000, "10.0s"), (65_000, "65.0s"), (125_000, "2m05s"), (7_200_000, "2h")])
    func latencies(value: Int, text: String) { #expect(TopText.latency(value) == text) }

    @Test(arguments: [(0.0, "$0.000"), (0.1234, "$0.123"), (12.345, "$12.35"), (25_000, "$25.0k"), (.infinity, "-")])
    func costs(value: Double, text: String) { #expect(TopText.cost(value) == text) }

    @Test func ages() {
        #expect([-5, 59_999, 60_000, 3_600_000, 90_000_000].map { TopText.age(milliseconds: $0) } == ["0s", "59s", "1m", "1h", "1d"])
        #expect(TopText.clock(Sample.now, offset: 3600) == "11:30:00" && TopText.date(Sample.now, offset: 0) == "2026-02-05 10:30:00.000")
    }
}

struct TrafficSeriesTests {
    @Test func countsBySteps() {
        var series = TrafficSeries()
        #expect(series.requestsPerMinute(3, now: Sample.now) == [nil, nil, nil])
        for (seconds, latency) in [(11.0, 100), (6, 200), (6, 400), (1, 50)] {
            series.add(latency: latency, at: Sample.now.advanced(byMilliseconds: Int64(-seconds * 1000)), now: Sample.now)
        }
        #expect(series.requestsPerMinute(4, now: Sample.now) == [nil, 12, 24, 12])
        #expect(series.latencies(4, now: Sample.now) == [nil, 100, 300, 50])
        let later = Sample.now.advanced(byMilliseconds: 10_000)
        #expect(series.requestsPerMinute(3, now: later) == [12, 0, 0])
        #expect(series.latencies(3, now: later) == [50, nil, nil])
    }

    /// Without a connection nothing is known. What comes behind it fills the hole, and a gap keeps it open.
    @Test func holes() {
        func at(_ seconds: Double) -> Instant { Sample.now.advanced(byMilliseconds: Int64(seconds * 1000)) }
        for isTold in [false, true] {
            var series = TrafficSeries()
            series.add(latency: 100, at: at(0), now: at(0))
            series.lose(at: at(6))
            series.lose(at: at(8))
            #expect(series.requestsPerMinute(4, now: at(20)) == [12, nil, nil, nil])
            series.find()
            if isTold { series.miss(until: at(21)) }
            series.add(latency: 300, at: at(12), now: at(21))
            series.add(latency: 300, at: at(26), now: at(31))
            #expect(series.requestsPerMinute(6, now: at(31)) == (isTold ? [12, nil, 12, nil, nil, 12] : [12, 0, 12, 0, 0, 12]))
            // A later gap is not about that loss.
            series.settle()
            series.miss(until: at(31))
            #expect(series.requestsPerMinute(2, now: at(40)) == [0, 0])
        }
    }

    /// From the past, from the future, in any order, with a clock that jumps: bounded, and nothing traps.
    @Test func anyInstants() {
        for seed in testSeeds(10) {
            var random = SeededGenerator(seed: seed)
            var series = TrafficSeries()
            var now = Sample.now
            for _ in 0..<400 {
                now = now.advanced(byMilliseconds: random.pick([0, 1000, 5000, 600_000, -90_000_000, 90_000_000]))
                let at = random.pick([now, now.advanced(byMilliseconds: -1_700_000), Instant(milliseconds: 0), Instant(milliseconds: 1 << 52)])
                series.add(latency: random.pick([0, 9, .max, .min]), at: at, now: now)
                let values = series.requestsPerMinute(random.int(0...500), now: now)
                #expect(values.allSatisfy { $0 ?? 0 >= 0 }, "seed \(seed)")
            }
        }
    }
}
