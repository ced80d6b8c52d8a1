"""With a real systemd: the secret as a credential, the gateway's log full of secrets, and none of them in events or in our own journal."""

import json

import pytest
from bench.machine import BENCH, DAEMON, token
from support.canary import Canaries
from support.daemon import wait_until
from support.http import get, publish, request
from support.tokens import Accounts, bearer
from support.tokens import token as signed
from support.ws import Refused, WebSocket

SECRET_PATH = "/run/secret-of-tokens"


@pytest.fixture
def guarded(machine, rng):
    """(machine, canaries, accounts, secret): a daemon in mode gateway, its secret in a credential."""
    canaries = Canaries(rng)
    secret = canaries.word("auth.jwt_secret")
    accounts = Accounts(machine.bench / f"{token()}.db")
    accounts.path.chmod(0o644)
    machine.run("install", "-m", "600", "/dev/stdin", SECRET_PATH, text=secret + "\n")
    machine.write(f"/run/systemd/system/{DAEMON}.d/test.conf", f"[Service]\nLoadCredential=auth.jwt_secret:{SECRET_PATH}\n")
    machine.systemctl("daemon-reload")
    try:
        machine.start_daemon({
            "database": {"connection": f"{BENCH}/{accounts.path.name}"}, "auth": {"mode": "gateway"}, "log": {"level": "debug"},
            "redact": {"fields": ["password"]}})
        yield machine, canaries, accounts, secret
    finally:
        machine.run("rm", "-rf", f"/run/systemd/system/{DAEMON}.d", SECRET_PATH)
        machine.systemctl("daemon-reload")


def lines_of_the_gateway(canaries, mark):
    """As zerolog writes them, and as nobody does; each has the mark."""
    def line(**members):
        return json.dumps({"level": "error", **members, "message": members.get("message", mark)})

    for shape, secret in canaries.each("a line of the gateway"):
        yield line(message=f"{mark} Authorization: Bearer {secret}", authorization=f"Bearer {secret}")
        yield f"{mark} plain text with Bearer {secret} in it"
        yield line(password=secret, fields={"password": [secret]}, upstream=f"https://user:{secret}@host.example/v1")
        yield line(message=f"{mark} https://user:{secret}@host.example", error=f'"Bearer {secret}"')
        if shape != "word":
            yield line(message=f"{mark} {secret}", component=secret, provider=secret, request_id=secret, headers={"x": [secret, f"a={secret}; b"]})
            yield f"{mark} \x1b[31m{secret}\x1b[0m"


def test_secrets_in_the_gateways_log_and_in_ours(guarded):
    machine, canaries, accounts, secret = guarded
    boss, ann = accounts.user("admin"), accounts.user()
    admin, user = (canaries.add(signed(*who, secret=secret), "a good token") for who in ((boss, "admin"), (ann, "user")))
    key = canaries.add(accounts.key(ann)[0], "a good key")
    wait_until(lambda: get(machine.port, "/ready").json["sources"][0]["state"] == "working", "the journal is read")
    mark, end, came = token(), token(), []
    lines = list(lines_of_the_gateway(canaries, mark))
    with WebSocket(machine.port, "/ws/logs", headers=bearer(admin)) as live:
        machine.print("".join(line + "\n" for line in [*lines, end]).encode(), "stderr")
        while end not in (text := live.receive_text().decode()):
            came.append(text)
    with WebSocket(machine.port, "/ws/logs?since=5m", headers=bearer(admin)) as client:
        again = [json.dumps(message, ensure_ascii=False) for message in client.receive_until("caught_up", patience=60)]
    with WebSocket(machine.port, "/ws/logs?history=1000", headers=bearer(admin)) as client:
        kept = [json.dumps(message, ensure_ascii=False) for message in client.receive_until("caught_up")]
    for texts in (came, again, kept):
        assert sum(mark in text for text in texts) == len(lines), texts
    # Ours: everything that it says anything about.
    for shape, bad in canaries.each("a request"):
        for headers in ([("Authorization", f"Bearer {bad}")], [("Authorization", f"ApiKey {bad}")], [("Authorization", bad)], [("Cookie", bad)]):
            assert request(machine.port, "POST", "/ws/ticket", [*headers, ("User-Agent", bad)]).status == 401
        for path in (f"/ws/logs?token={bad}", f"/ws/{bad}", f"/ws/logs?ticket={bad}", f"/ws/logs?{bad}"):
            with pytest.raises(Refused):
                WebSocket(machine.port, path)
        with WebSocket(machine.port, f"/ws/logs?q={bad}", headers=[*bearer(admin), ("User-Agent", bad)]) as client:
            client.send({"type": "auth", "id": 1, "data": {"token": bad}})
            client.send({"type": "subscribe", "id": 2, "data": {"channels": ["stats"], "filters": {"stats": {"window": bad}}}})
            client.receive_until("error")
            client.send_close(1000, bad[:100])
            client.receive_close()
    with WebSocket(machine.port, "/ws/stats", headers=[("Authorization", f"ApiKey {key}")]), WebSocket(machine.port, f"/ws/stats?token={user}"):
        publish(machine.port, "logs", "log", {"message": canaries.key("published")}, headers=bearer(admin))
    ticket = canaries.add(request(machine.port, "POST", "/ws/ticket", bearer(user)).json["ticket"], "a ticket")
    with WebSocket(machine.port, f"/ws/stats?ticket={ticket}"):
        status = machine.systemctl("show", DAEMON, "--property=StatusText")
    machine.systemctl("kill", "--signal=HUP", "--kill-whom=main", DAEMON)
    machine.wait_for_daemon_log("the configuration was read again")
    invocation = machine.daemon_state()["InvocationID"]
    machine.stop_daemon()
    machine.journalctl("--sync")
    # Entries with all their fields, those of the manager about the unit included.
    own = machine.journalctl("--all", "--output=json", f"_SYSTEMD_INVOCATION_ID={invocation}", "+", f"UNIT={DAEMON}")
    entries = [json.loads(line) for line in own.splitlines()]
    names = {name for entry in entries for name in entry}
    assert names >= {"CLIENT_ID", "REMOTE_ADDR", "USER_ID", "REASON", "MESSAGE_ID", "CODE_FILE"}, names
    for what, texts in (("live", came), ("the journal read again", again), ("history", kept), ("our journal", [own]), ("the status line", [status])):
        assert not canaries.found("\n".join(texts)), what
