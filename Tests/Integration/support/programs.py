"""Programs that use the client library: compiled against the modules that the program under test was built with."""

import os
import re
import shutil
import subprocess
import threading

from .daemon import PATIENCE, die_with_parent, wait_until

MODULES = ["Base", "CLinux", "CVersion", "Protocol", "Host", "GoLeapAIWSClient"]


class Compiler:
    def __init__(self, root, build, directory):
        self.directory, self.build = directory, build
        self.maps = [build / f"{name}.build/module.modulemap" for name in ("CLinux", "CVersion")]
        self.maps += [root / f"Sources/{name}/module.modulemap" for name in ("COpenSSL", "CSystemd", "CYAML", "CZlib")]
        # By the sources: a build directory keeps objects of those that are gone.
        self.objects = [build / f"{name}.build" / f"{path.name}.o" for name in MODULES
                        for path in sorted((root / "Sources" / name).rglob("*.[cs]*")) if path.suffix in (".c", ".swift")]

    def __call__(self, name, text):
        source, program = self.directory / f"{name}.swift", self.directory / name
        source.write_text(text)
        done = subprocess.run(
            [shutil.which("swiftc"), "-parse-as-library", "-swift-version", "6", "-warnings-as-errors", "-I", self.build / "Modules",
             *(word for path in self.maps for word in ("-Xcc", f"-fmodule-map-file={path}")), source, *self.objects, "-o", program],
            capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return program


PROBE = r"""
import Base
import Glibc
import GoLeapAIWSClient

func say(_ name: String, _ text: String) {
    let bytes = Array("\(name)\t\(text)\n".utf8)
    bytes.withUnsafeBytes { _ = write(1, $0.baseAddress, $0.count) }
}

func tell(_ name: String, _ event: ClientEvent) {
    switch event {
    case .state(.connecting): say(name, "connecting")
    case .state(.connected): say(name, "connected")
    case .state(.waiting(_, let attempt, let why)): say(name, "waiting \(attempt): \(why)")
    case .state(.stopped(let stop)): say(name, "stopped: \(stop.why)")
    default: say(name, event.event?.rawJSON ?? "")
    }
}

/// Many clients of which only the number counts that are connected.
final class Crowd: Sendable {
    private let clients = Locked<[LiveClient]>([])
    private let connected = Locked(0)

    func grow(_ count: Int, _ url: String) throws {
        for _ in 0..<count {
            let client = try LiveClient(url, Callbacks(onStateChange: { [connected] state in
                if case .connected = state { connected.withLock { $0 += 1 } }
                if case .stopped = state { say("crowd", "stopped") }
            }))
            client.start(.providers)
            clients.withLock { $0.append(client) }
        }
    }

    var connections: Int { connected.withLock { $0 } }
}

@main
struct Probe {
    static func main() async throws {
        var clients: [String: LiveClient] = [:], pools: [String: ClientPool] = [:], subscriptions: [String: LiveSubscription] = [:]
        let crowd = Crowd()
        while let line = readLine() {
            let words = line.split(separator: " ").map(String.init)
            let name = words[1]
            func channels(_ text: String) -> Set<Channel> { Set(text.split(separator: ",").compactMap { Channel(rawValue: String($0)) }) }
            func word(_ key: String) -> String? { words.first { $0.hasPrefix(key + "=") }.map { String($0.dropFirst(key.count + 1)) } }
            var filters = Filters()
            filters.logs.level = word("level")
            if let component = word("component") { filters.logs.components = [component] }
            filters.stats.window = word("window")
            switch words[0] {
            case "open":
                var options = Options(url: words[2], channels: channels(words[3]))
                options.filters = filters
                if let token = word("token") { options.credential = .token(token) }
                let client = try LiveClient(options, Callbacks(onEvent: { tell(name, $0) }))
                client.start()
                clients[name] = client
            case "pool":
                var options = Options(url: words[2])
                if let token = word("token") { options.credential = .token(token) }
                pools[name] = try ClientPool(options, connectionsMax: Int(words[3]) ?? 1)
            case "share":
                do {
                    let subscription = if let pool = pools[words[2]] {
                        try pool.subscription(channels(words[3]), filters: filters, since: word("since"))
                    } else {
                        try clients[words[2]]!.subscription(channels(words[3]), filters: filters, since: word("since"))
                    }
                    subscriptions[name] = subscription
                    // Whatever `main` says, its own tasks share its thread, which waits for commands.
                    Task.detached {
                        for await event in subscription { tell(name, event) }
                        say(name, "end")
                    }
                } catch { say(name, "\(error)") }
            case "leave": subscriptions.removeValue(forKey: name)?.cancel()
            case "stop": clients.removeValue(forKey: name)?.stop()
            case "pooled": say(name, "pooled \(pools[name]!.connections) \(pools[name]!.connectionsAllowed)")
            case "crowd": try crowd.grow(Int(words[3]) ?? 0, words[2])
            case "connected": say(name, "connected \(crowd.connections)")
            default: say(name, "unknown")
            }
        }
    }
}
"""


class Probe:
    """A running program of the library that does what it is told, and writes down what each subscriber gets. Use as a context manager."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        self.said = {}
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self):
        for line in self.process.stdout:
            name, _, text = line.rstrip("\n").partition("\t")
            self.said.setdefault(name, []).append(text)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if kind is not None:
            for name, lines in self.said.items():
                print(f"--- {name} ---", *lines[-20:], sep="\n")
        else:
            assert code == 0

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def lines(self, name):
        return list(self.said.get(name, []))

    def wait_for(self, name, text, patience=None):
        return wait_until(lambda: next((line for line in self.lines(name) if text in line), None), lambda: f"{text} for {name}: {self.lines(name)[-5:]}", patience)

    def ask(self, verb, name):
        """A question and its answer, which is the next line of that name that begins with the verb."""
        before = sum(line.startswith(verb) for line in self.lines(name))
        self.tell(verb, name)
        wait_until(lambda: sum(line.startswith(verb) for line in self.lines(name)) > before, verb)
        return [int(word) for word in [line for line in self.lines(name) if line.startswith(verb)][-1].split()[1:]]

    @property
    def threads(self):
        return int(re.search(r"^Threads:\s+(\d+)", self._status(), re.M)[1])

    @property
    def memory(self):
        """Anonymous, in bytes."""
        return int(re.search(r"^RssAnon:\s+(\d+)", self._status(), re.M)[1]) * 1024

    @property
    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def _status(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return status.read()
