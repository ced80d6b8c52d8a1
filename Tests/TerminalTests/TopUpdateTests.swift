import Base
import GoLeapAIWSClient
import TestSupport
import Testing

@testable import Terminal

private func press(_ model: inout TopModel, _ text: String) -> [TopEffect] { text.flatMap { model.press(.character($0)) } }

struct TopUpdateTests {
    @Test func quits() {
        var model = Sample.model(80, 24)
        #expect(model.press(.character("q")) == [.quit])
        #expect(model.press(.control("c")) == [.quit])
        model.isHelpOpen = true
        #expect(model.press(.character("q")) == [.quit])
        model.isTyping = true
        #expect(model.press(.character("q")).isEmpty)
        #expect(model.filter == "q")
        #expect(model.press(.control("c")) == [.quit])
        #expect(model.press(.control("l")) == [.redraw])
    }

    @Test func views() {
        var model = Sample.model(80, 24)
        for (key, tab, focus) in [
            ("2", TopTab.providers, TopPane.providers), ("3", .requests, .requests), ("4", .logs, .logs), ("1", .overview, .requests),
        ] {
            #expect(press(&model, key).isEmpty)
            #expect(model.tab == tab && (model.focus == focus || tab == .overview), "\(key)")
        }
        for tab in [TopTab.providers, .requests, .logs, .overview] {
            _ = model.press(.tab)
            #expect(model.tab == tab)
        }
        _ = model.press(.backTab)
        #expect(model.tab == .logs)
        #expect(press(&model, "5").isEmpty && model.tab == .logs)
    }

    @Test func arrowsAtTheEdges() {
        var model = Sample.model(80, 24)
        model.tab = .requests
        func at() -> Int? { model.selection(in: .requests, model.keys(of: .requests)) }
        #expect(at() == 0)
        _ = model.press(.up)
        #expect(at() == 0)
        _ = model.press(.down)
        _ = model.press(.down)
        #expect(at() == 2)
        _ = model.press(.pageDown)
        #expect(at() ?? 0 > 10)
        _ = model.press(.end)
        #expect(at() == 119)
        _ = model.press(.down)
        #expect(at() == 119)
        _ = model.press(.pageUp)
        _ = model.press(.home)
        #expect(at() == 0)
    }

    /// The selected row stays selected while others come, and while the order changes; the first stays the first.
    @Test func selectionFollowsItsRow() throws {
        var model = Sample.model(80, 24)
        model.tab = .requests
        _ = model.press(.down)
        let row = model.requestRows[1]
        for _ in 0..<10 { model.apply(.request(RequestEvent(requestID: "new", latency: 9000, timestamp: Sample.at(0)))) }
        let at = try #require(model.selection(in: .requests, model.keys(of: .requests)))
        #expect(model.requestRows[at] == row && at == 11)
        _ = press(&model, "s")
        let sorted = try #require(model.selection(in: .requests, model.keys(of: .requests)))
        #expect(model.requestRows[sorted] == row && model.requestRows[0].latency == 9000)
        _ = model.press(.home)
        model.apply(.request(RequestEvent(requestID: "slowest", latency: 90_000, timestamp: Sample.at(0))))
        #expect(model.selection(in: .requests, model.keys(of: .requests)) == 0)
        #expect(model.requestRows[0].id == "slowest")
    }

    /// The selected row has been pushed out: another one is selected, never none.
    @Test func selectionOfWhatIsGone() throws {
        var model = Sample.model(80, 24)
        model.tab = .requests
        _ = model.press(.end)
        for number in 0..<600 { model.apply(.request(RequestEvent(requestID: "\(number)", timestamp: Sample.at(0)))) }
        let keys = model.keys(of: .requests)
        #expect(keys.count == TopLimits.requestsMax)
        #expect(model.selection(in: .requests, keys) == 119)
        model.filter = "no such thing"
        #expect(model.selection(in: .requests, model.keys(of: .requests)) == nil)
        _ = model.press(.down)
        _ = model.press(.enter)
        #expect(model.details == nil)
    }

    @Test func filter() {
        var model = Sample.model(80, 24)
        _ = press(&model, "/")
        #expect(model.isTyping)
        _ = press(&model, "Groq z")
        #expect(model.filter == "Groq z" && model.requestRows.isEmpty)
        _ = model.press(.backspace)
        _ = model.press(.backspace)
        #expect(!model.requestRows.isEmpty && model.requestRows.allSatisfy { $0.provider == "Groq" })
        #expect(model.providerRows.map(\.name) == ["Groq"])
        _ = model.press(.enter)
        #expect(!model.isTyping && model.filter == "Groq")
        _ = model.press(.escape)
        #expect(model.filter.isEmpty && model.requestRows.count == 120)
        _ = press(&model, "/timed out")
        #expect(!model.requestRows.isEmpty && model.requestRows.allSatisfy { !$0.isSuccess })
        _ = model.press(.control("w"))
        #expect(model.filter == "timed ")
        _ = model.press(.control("u"))
        #expect(model.filter.isEmpty && model.isTyping)
        _ = model.press(.backspace)
        #expect(!model.isTyping)
        _ = press(&model, "/" + String(repeating: "x", count: 500))
        #expect(model.filter.count == TopModel.filterBytesMax)
        _ = model.press(.escape)
        #expect(model.filter.isEmpty && !model.isTyping)
    }

    @Test func pause() {
        var model = Sample.model(80, 24)
        #expect(press(&model, " ").isEmpty)
        let before = model.requestRows
        for _ in 0..<7 { model.apply(.request(RequestEvent(requestID: "late", timestamp: Sample.at(0)))) }
        model.apply(.log(LogLine(message: "late")))
        #expect(model.isPaused && model.heldBack == 8 && model.requestRows == before)
        #expect(TopView.draw(model).lines[0].contains("paused 8"))
        // The curves, too: what comes during the pause is not missing.
        let curves = TopView.draw(model).lines[4...6]
        model.now = Sample.now.advanced(byMilliseconds: 30_000)
        #expect(TopView.draw(model).lines[4...6] == curves)
        _ = press(&model, " ")
        #expect(!model.isPaused && model.heldBack == 0 && model.requestRows.count == before.count + 7)
    }

    @Test func ordersOfEachPane() {
        for pane in TopPane.allCases {
            var model = Sample.model(200, 60)
            model.focus = pane
            var seen: [[String]] = []
            for _ in TopOrder.all(of: pane) {
                seen.append(model.keys(of: pane))
                _ = press(&model, "s")
            }
            #expect(model.keys(of: pane) == seen.first)
            // The same rows each time, in another order.
            #expect(Set(seen.map { $0.sorted() }).count == 1)
            #expect(Set(seen).count > 1, "\(pane)")
        }
        var model = Sample.model(80, 24)
        model.focus = .providers
        #expect(model.providerRows.first?.state == .unhealthy)
        _ = press(&model, "s")
        #expect(model.providerRows.first?.requests == 400)
        model.focus = .logs
        _ = press(&model, "s")
        #expect(model.logRows.first?.level == .error && model.logRows.last?.level == .debug)
    }

    @Test func windowAndLevel() {
        var model = Sample.model(80, 24)
        var windows: [String] = []
        for _ in 0..<4 {
            #expect(press(&model, "w") == [.chooseWindow])
            windows.append(model.window.rawValue)
        }
        #expect(windows == ["1h", "24h", "1m", "5m"])
        #expect(press(&model, "l") == [.chooseLevel])
        #expect(model.level == .info && !model.logRows.isEmpty && model.logRows.allSatisfy { $0.level >= .info })
        #expect(press(&model, "lll") == [.chooseLevel, .chooseLevel, .chooseLevel])
        #expect(model.level == .debug && model.logRows.count == 60)
    }

    @Test func details() {
        var model = Sample.model(80, 24)
        model.focus = .requests
        _ = model.press(.enter)
        #expect(model.details == .request(model.requestRows[0]))
        _ = model.press(.down)
        #expect(model.details == .request(model.requestRows[1]))
        // What comes meanwhile does not change what is read.
        model.apply(.request(RequestEvent(requestID: "new", timestamp: Sample.at(0))))
        #expect(model.details == .request(model.requestRows[2]))
        _ = model.press(.escape)
        #expect(model.details == nil)
        for pane in [TopPane.providers, .models, .logs] {
            model.focus = pane
            _ = model.press(.enter)
            #expect(model.details != nil, "\(pane)")
            _ = model.press(.enter)
            #expect(model.details == nil, "\(pane)")
        }
    }

    @Test func focusAndHelp() {
        var model = Sample.model(200, 60)
        var panes: [TopPane] = []
        for _ in 0..<4 {
            _ = model.press(.right)
            panes.append(model.focus)
        }
        #expect(Set(panes) == Set(TopPane.allCases))
        _ = model.press(.left)
        #expect(model.focus == panes[2])
        _ = press(&model, "?")
        #expect(model.isHelpOpen)
        _ = model.press(.down)
        #expect(!model.isHelpOpen)
    }

    @Test func connectsAgain() {
        var model = Sample.model(80, 24)
        #expect(press(&model, "r").isEmpty)
        model.apply(.state(.stopped(.init(cause: .closed(code: 4505), why: "disconnected by an admin"))))
        #expect(press(&model, "r") == [.reconnect])
    }

    @Test func losses() {
        var model = Sample.model(80, 24)
        model.apply(.gap(Gap(reason: "slow_consumer", channels: ["logs"], dropped: 123)))
        model.apply(.gap(Gap(reason: "source_lag")))
        #expect(model.gaps == 2 && model.missed == 123)
        model.apply(.gap(Gap(reason: "slow_consumer", dropped: .max)))
        #expect(model.gaps == 3)
        // The first replay reaches as far as the daemon remembers; later the same is a loss.
        model.apply(.gap(Gap(reason: "history_expired")))
        #expect(model.gaps == 3)
        model.apply(.caughtUp(CaughtUp()))
        model.apply(.gap(Gap(reason: "history_expired")))
        #expect(model.gaps == 4)
    }

    /// Any keys and any events: nothing traps, and what is kept has its bounds.
    @Test func anything() {
        for seed in testSeeds(12) {
            var random = SeededGenerator(seed: seed)
            var model = Sample.model(random.int(1...220), random.int(1...70))
            for _ in 0..<150 { randomStep(&model, &random) }
            #expect(model.requestRows.count <= TopLimits.requestsMax && model.logRows.count <= TopLimits.logsMax, "seed \(seed)")
        }
    }
}

/// A key, an event, time or another size.
func randomStep(_ model: inout TopModel, _ random: inout SeededGenerator) {
    func text() -> String { randomText(&random, count: 30) }
    switch random.int(0..<10) {
    case 0:
        model.apply(
            .request(
                RequestEvent(
                    requestID: text(), providerID: text(), providerName: text(), modelName: text(), endpoint: text(),
                    statusCode: random.int(-1...(1 << 40)),
                    latency: random.pick([-1, 0, 5, 70_000, .max, .min]), inputTokens: random.pick([0, 9, .max]),
                    outputTokens: random.pick([0, .max, .min]),
                    isSuccess: random.chance(50), errorMessage: text(), estimatedCost: random.pick([0, 1e300, -.infinity, .nan]),
                    timestamp: random.pick(["", text(), Sample.at(3), "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z"]))))
    case 1:
        model.apply(
            .log(
                LogLine(
                    level: random.pick(["", "info", "fatal", text()]), message: text(), component: text(),
                    fields: (0..<random.int(0...60)).map { _ in .init(name: text(), value: text()) }, timestamp: Sample.at(1))))
    case 2:
        model.apply(
            .provider(
                ProviderStatus(
                    providerID: text(), providerName: text(), status: random.pick(["healthy", "unhealthy", text()]),
                    latency: random.pick([0, .max, .min]),
                    successRate: random.pick([0, 1, .nan, 1e200]), message: text(), timestamp: random.pick(["", Sample.at(1e6)]))))
    case 3:
        model.apply(
            .stats(
                StatsUpdate(
                    totalRequests: random.pick([0, .max, .min]), totalTokens: .max, successRate: random.pick([.nan, 0.5, -1e300]),
                    requestsPerMinute: random.pick([0, .max]), latencyP99: random.pick([0, .max, .min]),
                    estimatedCost: random.pick([.infinity, -1, 1e18]),
                    providers: [ProviderStats(providerID: text(), providerName: text(), requests: 3, tokens: .max)],
                    models: (0..<random.int(0...20)).map { ModelStats(modelID: "\($0)", modelName: text(), requests: .max) }, window: text(),
                    timestamp: random.pick(["", Sample.at(9), "0000-01-01T00:00:00Z"]))))
    case 4:
        model.apply(
            random.pick([
                .gap(Gap(reason: text(), dropped: random.pick([nil, -5, .max]))),
                .error(ServerError(code: "forbidden", message: text(), details: text())),
                .state(.connecting), .state(.connected(.init(role: text()))), .caughtUp(CaughtUp()), .other(OtherEvent(type: text())),
                .state(.waiting(until: Sample.now, attempt: random.pick([0, .max]), why: text())),
                .state(.stopped(.init(cause: .impossible, why: text()))),
            ]))
    case 5: model.now = model.now.advanced(byMilliseconds: random.pick([100, 5000, -60_000, 86_400_000]))
    case 6: (model.columns, model.rows) = (random.int(1...220), random.int(1...70))
    default:
        let keys: [Key] =
            "1234/s ?wlrjkgGhx日q".map { .character($0) } + [
                .enter, .tab, .backTab, .backspace, .delete, .escape, .up, .down, .left, .right, .pageUp, .pageDown, .home, .end, .unknown,
                .control("l"), .control("u"), .control("w"),
            ]
        _ = model.press(random.pick(keys))
    }
}
