"""Every credential of the samples, presented in every way, to every address: our verdict beside the gateway's own."""

import contextlib
import json
import shutil
import socket
from dataclasses import dataclass, field

import pytest
from support.daemon import PATIENCE, QUIET, Daemon, merge
from support.gateway import FIXTURES
from support.http import Connection, read_response, request, request_bytes
from support.tokens import KEYS, SECRET, bearer, token
from support.ws import Refused, WebSocket
from test_reload import reload

UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "test"))
PROXIED = (("X-Forwarded-For", "192.0.2.7"),)
EVENT = json.dumps({"channel": "providers", "type": "note", "data": {"n": 1}}).encode()

# What is compared


@dataclass(frozen=True)
class Sample:
    """A credential of the samples, and what the gateway answered to it."""
    name: str
    scheme: str
    word: str
    user: str
    answers: dict = field(compare=False, hash=False)

    def gateway(self, right):
        """The gateway's status for an address of this kind: that of the one it was asked for."""
        return {"open": 200, "user": self.answers["GET /v1/models"][0], "logs": self.answers["GET /v1/models"][0],
                "admin": self.answers["GET /admin/stats"][0]}[right]


SAMPLES = [Sample(entry["label"], "ApiKey", entry["key"], entry["user_id"], entry["gateway"]) for entry in KEYS["api_keys"]] + [
    Sample(f"token_{entry['label']}", "Bearer", entry["token"], (entry["claims"] or {}).get("user_id"), entry["gateway"]) for entry in KEYS["jwts"]]
GOOD = {sample.name: sample for sample in SAMPLES}


@dataclass(frozen=True)
class Address:
    method: str
    path: str
    right: str
    """`open` to all, any `user`, `logs`: whoever may see logs, `admin`."""
    accepted: int = 200
    """What an accepted credential is answered."""
    headers: tuple = ()
    body: bytes | None = None

    @property
    def is_websocket(self):
        return self.accepted == 101


CLIENT = "/admin/ws/clients/"
ADDRESSES = [
    Address("GET", "/ws", "user", 101),
    Address("GET", "/ws?channels=stats,requests", "user", 101),
    Address("GET", "/ws?channels=stats,logs", "logs", 101),
    Address("GET", "/ws/logs", "logs", 101),
    Address("GET", "/ws/stats", "user", 101),
    Address("GET", "/ws/providers", "user", 101),
    Address("GET", "/ws/requests", "user", 101),
    Address("GET", "/ws/all", "user", 101),
    Address("POST", "/ws/ticket", "user"),
    Address("POST", "/admin/ws/broadcast", "admin", body=EVENT),
    Address("GET", "/admin/ws/stats", "admin"),
    Address("HEAD", "/admin/ws/stats", "admin"),
    Address("GET", "/admin/ws/clients", "admin"),
    # Refused: that of somebody who is connected, and stays so. Accepted: one that there is not.
    Address("DELETE", CLIENT, "admin", 404),
    # Through a proxy; by itself this machine reads it without a credential.
    Address("GET", "/metrics", "admin", headers=PROXIED),
    Address("GET", "/health", "open"),
    Address("GET", "/ready", "open", 503),
    Address("GET", "/version", "open"),
    Address("GET", "/asyncapi.yaml", "open"),
]
"""Every address that looks at credentials, and those that must not. One more is one line."""

WAYS = ("header", "subprotocol", "query", "ticket", "message")


@dataclass(frozen=True)
class Reason:
    """Why we refuse what the gateway lets in. Each must be the reason for something, and nothing else may differ."""
    why: str
    applies: object
    status: int = 401


def credential(name, why):
    return Reason(f"{name}: {why}", lambda sample, way, address: sample.name == name and address.right != "open")


# The first that applies decides.
REASONS = [
    credential("of_disabled_user", "its owner is disabled"),
    credential("token_valid_disabled_user", "the user is disabled"),
    credential("token_no_exp", "it has no end"),
    credential("token_wrong_issuer", "another issuer"),
    credential("token_no_issuer", "no issuer"),
    credential("token_hs384", "HS256 only"),
    credential("token_hs512", "HS256 only"),
    credential("token_refresh_token", "no access token"),
    credential("token_exp_as_string", "its end is no number"),
    credential("token_exp_as_float", "its end is no whole number of seconds"),
    Reason("what pages need for WebSockets counts for nothing else",
           lambda sample, way, address: way != "header" and not address.is_websocket and address.right != "open"),
    Reason("logs are for admins", lambda sample, way, address: address.right == "logs" and sample.gateway("admin") != 200, 403),
]

# The daemon and how it is asked


@pytest.fixture(scope="module")
def gateway(binary, tmp_path_factory):
    """A daemon beside the sample database; its settings take whatever number of connections."""
    directory = tmp_path_factory.mktemp("keys")
    path = directory / "gateway.db"
    shutil.copy(FIXTURES / "gateway-small.db", path)
    path.chmod(0o644)
    settings = {"database": {"connection": str(path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET},
                "limits": {"connections_per_user": 100000}, "broadcast": {"socket": str(directory / "publish.sock")}}
    with Daemon(binary, directory / "daemon", merge(QUIET, settings)) as daemon:
        daemon.database, daemon.publishers = path, str(directory / "publish.sock")
        yield daemon


@pytest.fixture
def bystander(gateway):
    """Somebody who is connected all the while, and must not notice anything: (WebSocket, id)."""
    admin = GOOD["token_valid_admin"].word
    with WebSocket(gateway.port, "/ws/all?welcome=true", headers=bearer(admin)) as client:
        assert client.receive()["type"] == "welcome"
        client.sock.settimeout(PATIENCE)
        clients = request(gateway.port, "GET", "/admin/ws/clients", bearer(admin)).json["clients"]
        yield client, max(int(one["id"]) for one in clients)
        client.send({"type": "ping", "id": "still here"})
        assert client.receive_until("pong")[-1]["id"] == "still here"


class Line:
    """Requests one behind the other on one connection, as long as that lives."""

    def __init__(self, port):
        self.port = port
        self.connection = None

    def ask(self, method, path, headers=(), body=None):
        """(answer, connection): the connection where it has become a WebSocket, which is the caller's then."""
        return self.send(request_bytes(self.port, method, path, headers, body), method)

    def send(self, data, method="GET"):
        if not self.connection:
            self.connection = Connection(self.port)
        self.connection.send(data)
        answer = self.connection.receive(method)
        assert answer.status < 500 or answer.status == 503 and b"ready" in answer.body, answer
        connection = self.connection
        if answer.status == 101:
            self.connection = None
            return answer, connection
        if (answer.header("Connection") or "").lower() == "close":
            self.close()
        return answer, None

    def close(self):
        if self.connection:
            self.connection.sock.close()
        self.connection = None


def presented(way, sample, path, ticket):
    """Address and header fields with the credential in them."""
    def also(parameter):
        return path + ("&" if "?" in path else "?") + parameter

    match way:
        case "header": return path, (("Authorization", f"{sample.scheme} {sample.word}"),)
        case "subprotocol": return path, (("Sec-WebSocket-Protocol", f"goleapai.v1.json, bearer.{sample.word}"),)
        case "query": return also(f"token={sample.word}"), ()
        case "ticket": return also(f"ticket={ticket()}"), ()
        case "message": return also("auth=message"), ()


def said_by_message(connection, sample):
    """Says who it is by the first message: the status that stands for the verdict."""
    client = WebSocket.adopt(connection)
    client.send({"type": "auth", "id": 1, "data": {"token": sample.word}})
    opcode, payload = client.receive_frame()
    if opcode == 8:
        assert payload[:2] == (4503).to_bytes(2, "big"), payload
        return 403
    answer = json.loads(payload)
    if answer["type"] == "ack":
        return 101
    assert answer["type"] == "error" and answer["data"]["code"] == "unauthorized", answer
    return 401


def verdict(line, sample, way, address, ticket, victim):
    """The status that a credential gets; for a WebSocket 101 where it may go on."""
    # What would disconnect somebody asks for nobody where it is to be let in.
    path = address.path + (str(victim) if sample.gateway("admin") != 200 or way != "header" else "999999999") if address.path == CLIENT else address.path
    takes_parameters = address.is_websocket or address.right in ("user", "admin")
    path, headers = presented(way, sample, path, ticket) if takes_parameters or way in ("header", "subprotocol") else (path, ())
    answer, connection = line.ask(address.method, path, (UPGRADE if address.is_websocket else ()) + address.headers + headers, address.body)
    if answer.status == 401:
        assert answer.header("WWW-Authenticate"), answer
    if not connection:
        return answer.status
    with contextlib.closing(connection.sock):
        return said_by_message(connection, sample) if way == "message" else 101


def expected(sample, way, address):
    """(status, reason or None)"""
    theirs = sample.gateway(address.right)
    if theirs == 401:
        return 401, None
    for reason in REASONS:
        if reason.applies(sample, way, address):
            return reason.status, reason
    return address.accepted if theirs == 200 else theirs, None


def test_every_credential_in_every_way_at_every_address(gateway, bystander):
    """What the gateway refuses we refuse. Where we differ we are stricter, and each difference has its name above."""
    line, wrong, used, unused, accepted = Line(gateway.port), [], set(), {}, 0

    def ticket(sample, address):
        if sample not in unused:
            answer, _ = line.ask("POST", "/ws/ticket", presented("header", sample, "", None)[1])
            unused[sample] = answer.json["ticket"] if answer.status == 200 else "no-ticket-is-given"
        # Where tickets do not count one is as good as new afterwards, which the next WebSocket shows.
        return unused.pop(sample) if address.is_websocket else unused[sample]

    for sample in SAMPLES:
        for way in WAYS:
            for address in ADDRESSES:
                status, reason = expected(sample, way, address)
                got = verdict(line, sample, way, address, lambda: ticket(sample, address), bystander[1])  # noqa: B023
                used.add(reason)
                accepted += got == 200 and address.body is not None
                if got != status:
                    wrong.append(f"{sample.name} by {way} at {address.method} {address.path}: {got} instead of {status}"
                                 f" ({reason.why if reason else 'the gateway says so'})")
    line.close()
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])
    assert not set(REASONS) - used, "reasons for nothing: " + ", ".join(reason.why for reason in set(REASONS) - used)
    # What was published is what was let in, and nobody was disconnected.
    client, _ = bystander
    client.send({"type": "ping", "id": "end"})
    assert len([message for message in client.receive_until("pong") if message["type"] == "note"]) == accepted == 1


def test_a_token_in_the_address(gateway, bystander):
    """From this machine only, unless the configuration lets others; a proxy on this machine is no one from this machine."""
    line = Line(gateway.port)
    for allowed in (False, True):
        reload(gateway, {"auth": {"query_token": allowed}})
        for sample in SAMPLES:
            answer, connection = line.ask("GET", f"/ws/stats?token={sample.word}", UPGRADE + PROXIED)
            if connection:
                connection.sock.close()
            want = expected(sample, "query", Address("GET", "/ws/stats", "user", 101))[0] if allowed else 400
            assert answer.status == want, (sample.name, answer)
            assert not sample.word or sample.word.encode() not in answer.body
    line.close()
    reload(gateway, {"auth": {"query_token": False}})


def test_a_ticket_counts_once_and_for_websockets_only(gateway):
    line = Line(gateway.port)
    for name in ("token_valid_user", "active_user"):
        answer, _ = line.ask("POST", "/ws/ticket", presented("header", GOOD[name], "", None)[1])
        path = f"?ticket={answer.json['ticket']}"
        for method, wrong in (("POST", "/ws/ticket"), ("GET", "/admin/ws/stats"), ("POST", "/admin/ws/broadcast")):
            assert line.ask(method, wrong + path)[0].status == 401
        with WebSocket(gateway.port, "/ws/stats" + path):
            pass
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                WebSocket(gateway.port, "/ws/stats" + path)
            assert refused.value.response.status == 401
    line.close()


def test_every_credential_in_place_of_another(gateway, bystander):
    """`auth` on a connection that runs: it goes on as the same user, or as it was."""
    for user in (user for user in KEYS["users"] if user["active"]):
        with WebSocket(gateway.port, "/ws/stats", headers=bearer(token(user["id"], user["role"]))) as client:
            def ask(message, kinds=("ack", "error")):
                client.send({"id": 1, **message})  # noqa: B023
                while (answer := client.receive())["type"] not in kinds:  # noqa: B023
                    pass
                return answer

            is_admin = user["role"] == "admin"
            for sample in SAMPLES:
                status, _ = expected(sample, "message", Address("GET", "/ws/stats", "user", 101))
                answer = ask({"type": "auth", "data": {"token": sample.word}})
                counts = status == 101 and sample.user == user["id"]
                assert (answer["type"] == "ack") == counts, (user["email"], sample.name, answer)
                if counts:
                    is_admin = sample.gateway("admin") == 200
                else:
                    assert answer["data"]["code"] == "unauthorized"
                # What it may see is what counted last allows, never more.
                answer = ask({"type": "subscribe", "data": {"channels": ["logs"]}})
                assert (answer["type"] == "ack") == is_admin, (user["email"], sample.name, answer)
                if is_admin:
                    ask({"type": "unsubscribe", "data": {"channels": ["logs"]}})


def test_the_socket_of_publishers_asks_for_none(gateway, bystander):
    """The kernel says who the peer is: no credential opens more there, and none closes anything."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(gateway.publishers)
        buffer = bytearray()
        for sample in SAMPLES:
            for address in ADDRESSES:
                path = address.path + str(bystander[1]) if address.path == CLIENT else address.path
                headers = (UPGRADE if address.is_websocket else ()) + presented("header", sample, "", None)[1]
                sock.sendall(request_bytes(0, address.method, path, headers, address.body))
                answer = read_response(sock, buffer, address.method)
                served = address.path == "/admin/ws/broadcast" or address.right == "open" and address.path != "/asyncapi.yaml"
                assert answer.status == (address.accepted if served else 403), (sample.name, address, answer)
    client, _ = bystander
    client.send({"type": "ping", "id": "end"})
    assert len([message for message in client.receive_until("pong") if message["type"] == "note"]) == len(SAMPLES)
