"""Credentials spelled oddly, and tokens that are signed well and made badly: refused, each with 401, and nothing else happens."""

import base64
import hashlib
import hmac
import json
import time

import pytest
from support.daemon import QUIET, Daemon, merge
from support.gateway import create
from support.http import NoResponse, request_bytes
from support.tokens import ISSUER, SECRET, Accounts, bearer, part, sign, token
from support.ws import WebSocket
from test_keys import UPGRADE, Line


class Gateway:
    """A daemon, its database, and one user of each kind."""

    def __init__(self, daemon, accounts):
        self.daemon, self.accounts, self.port = daemon, accounts, daemon.port
        self.boss, self.ann = accounts.user("admin"), accounts.user()
        self.key, _ = accounts.key(self.ann)


@pytest.fixture(scope="module")
def gateway(binary, tmp_path_factory):
    directory = tmp_path_factory.mktemp("odd")
    create(directory / "gateway.db")
    accounts = Accounts(directory / "gateway.db")
    settings = {"database": {"connection": str(accounts.path)}, "auth": {"mode": "gateway", "jwt_secret": SECRET},
                "limits": {"connections_per_user": 100000}}
    with Daemon(binary, directory / "daemon", merge(QUIET, settings)) as daemon:
        yield Gateway(daemon, accounts)


@pytest.fixture
def line(gateway):
    line = Line(gateway.port)
    yield line
    line.close()


@pytest.fixture(autouse=True)
def bystander(gateway):
    """Is connected all the while, and notices nothing."""
    with WebSocket(gateway.port, "/ws/stats", headers=bearer(token(gateway.ann))) as client:
        yield
        client.send({"type": "ping", "id": "still here"})
        assert client.receive_until("pong")[-1]["id"] == "still here"


# The header

JWT, KEY = b"%(token)s", b"%(key)s"

# name → header lines, and what is answered. Field values end and begin where their blanks do (RFC 9110 §5.5).
SPELLINGS = {
    "as the gateway has it": ([b"Authorization: Bearer " + JWT], 200),
    "API key": ([b"Authorization: ApiKey " + KEY], 200),
    "name in lower case": ([b"authorization: Bearer " + JWT], 200),
    "no blank behind the colon": ([b"Authorization:Bearer " + JWT], 200),
    "blanks around": ([b"Authorization: \t Bearer " + JWT + b" \t "], 200),
    "lower case": ([b"Authorization: bearer " + JWT], 401),
    "upper case": ([b"Authorization: BEARER " + JWT], 401),
    "API key, lower case": ([b"Authorization: apikey " + KEY], 401),
    "API key, other case": ([b"Authorization: Apikey " + KEY], 401),
    "two blanks": ([b"Authorization: Bearer  " + JWT], 401),
    "API key, two blanks": ([b"Authorization: ApiKey  " + KEY], 401),
    "tab": ([b"Authorization: Bearer\t" + JWT], 401),
    "blank and tab": ([b"Authorization: Bearer \t" + JWT], 401),
    "no blank": ([b"Authorization: Bearer" + JWT], 401),
    "colon": ([b"Authorization: Bearer:" + JWT], 401),
    "equals": ([b"Authorization: Bearer=" + JWT], 401),
    "scheme only": ([b"Authorization: Bearer"], 401),
    "scheme and blank": ([b"Authorization: Bearer "], 401),
    "empty": ([b"Authorization: "], 401),
    "token only": ([b"Authorization: " + JWT], 401),
    "key only": ([b"Authorization: " + KEY], 401),
    "another scheme": ([b"Authorization: Basic " + base64.b64encode(b"user:password")], 401),
    "scheme in quotes": ([b'Authorization: "Bearer" ' + JWT], 401),
    "token in quotes": ([b'Authorization: Bearer "' + JWT + b'"'], 401),
    "list, one twice": ([b"Authorization: Bearer " + JWT + b", Bearer " + JWT], 401),
    "list of both kinds": ([b"Authorization: Bearer " + JWT + b", ApiKey " + KEY], 401),
    "comma behind": ([b"Authorization: Bearer " + JWT + b","], 401),
    "word behind": ([b"Authorization: Bearer " + JWT + b" x"], 401),
    "two, equal": ([b"Authorization: Bearer " + JWT] * 2, 400),
    "two kinds": ([b"Authorization: Bearer " + JWT, b"Authorization: ApiKey " + KEY], 400),
    "two, one empty": ([b"Authorization: Bearer " + JWT, b"Authorization:"], (400, 401)),
    "key as token": ([b"Authorization: Bearer " + KEY], 401),
    "token as key": ([b"Authorization: ApiKey " + JWT], 401),
    "another field": ([b"X-Authorization: Bearer " + JWT], 401),
    "of a proxy": ([b"Proxy-Authorization: Bearer " + JWT], 401),
    "field of keys": ([b"X-API-Key: " + KEY], 401),
    "cookie": ([b"Cookie: token=" + JWT + b"; Authorization=Bearer " + JWT], 401),
    "blank before the colon": ([b"Authorization : Bearer " + JWT], 400),
    "folded": ([b"Authorization: Bearer\r\n " + JWT], 400),
    "NUL at the end": ([b"Authorization: Bearer " + JWT + b"\0"], 400),
    "NUL within": ([b"Authorization: Bearer\0 " + JWT], 400),
    "control character": ([b"Authorization: Bearer " + JWT + b"\x01"], 400),
    "Latin-1 behind": ([b"Authorization: Bearer " + JWT + b"\xe9"], 401),
    "UTF-8 behind": ([b"Authorization: Bearer " + JWT + "é".encode()], 401),
    "no UTF-8": ([b"Authorization: Bearer \xff\xfe" + JWT], 401),
    "blank of another kind": ([b"Authorization: Bearer\xc2\xa0" + JWT], 401),
    "byte order mark": ([b"Authorization: \xef\xbb\xbfBearer " + JWT], 401),
    "combining mark behind the scheme": ([b"Authorization: Bearer \xcc\x81" + JWT], 401),
    "percent-encoded": ([b"Authorization: Bearer%20" + JWT], 401),
    "4 KiB": ([b"Authorization: Bearer " + b"a" * 4096], 401),
    "8 KiB": ([b"Authorization: Bearer " + b"a" * 8192], 401),
    "8 KiB of points": ([b"Authorization: Bearer " + b"." * 8192], 401),
    "8 KiB behind the token": ([b"Authorization: Bearer " + JWT + b"." + b"a" * 8192], 401),
    "API key of 8 KiB": ([b"Authorization: ApiKey gla_" + b"a" * 8192], 401),
    "15 KiB": ([b"Authorization: Bearer " + b"a" * 15360], 401),
    "16 KiB": ([b"Authorization: Bearer " + b"a" * 16384], 431),
    "101 of them": ([b"Authorization: Bearer " + JWT] * 101, 431),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_of_the_header(gateway, line, name):
    lines, wanted = SPELLINGS[name]
    words = {b"token": token(gateway.ann).encode(), b"key": gateway.key.encode()}
    lines = [one.replace(JWT, words[b"token"]).replace(KEY, words[b"key"]) for one in lines]
    head = request_bytes(gateway.port, "POST", "/ws/ticket")
    answer, _ = line.send(head[:-2] + b"".join(one + b"\r\n" for one in lines) + b"\r\n", "POST")
    assert answer.status in (wanted if isinstance(wanted, tuple) else (wanted,)), answer
    assert (answer.status == 401) == bool(answer.header("WWW-Authenticate")), answer
    for word in words.values():
        assert word[:12] not in answer.body and word[-12:] not in answer.body, answer


# The address, the subprotocol, the first message

def percent(word, which=lambda index: True):
    return "".join(f"%{ord(letter):02x}" if which(index) else letter for index, letter in enumerate(word))


# name → (path, header fields) of a WebSocket, and what is answered; `t` is a token, `k` an API key.
OTHER_WAYS = {
    "token": (lambda t, k: (f"/ws?token={t}", ()), 101),
    "key": (lambda t, k: (f"/ws?token={k}", ()), 101),
    "all of it percent-encoded": (lambda t, k: (f"/ws?token={percent(t)}", ()), 101),
    "name percent-encoded": (lambda t, k: (f"/ws?tok%65n={t}", ()), 101),
    "percent-encoded twice": (lambda t, k: (f"/ws?token={percent(percent(t, lambda i: i == 0))}", ()), 401),
    "encoded and cut": (lambda t, k: (f"/ws?token={t}%2", ()), 400),
    "plus before": (lambda t, k: (f"/ws?token=+{t}", ()), 401),
    "plus behind": (lambda t, k: (f"/ws?token={t}+", ()), 401),
    "plus within": (lambda t, k: (f"/ws?token={t[:20]}+{t[20:]}", ()), 401),
    "blank": (lambda t, k: (f"/ws?token=%20{t}", ()), 401),
    "NUL": (lambda t, k: (f"/ws?token={t}%00", ()), (400, 401)),
    "line break": (lambda t, k: (f"/ws?token={t}%0a", ()), (400, 401)),
    "no UTF-8": (lambda t, k: (f"/ws?token={t}%ff", ()), (400, 401)),
    "with its scheme": (lambda t, k: (f"/ws?token=Bearer%20{t}", ()), 401),
    "two": (lambda t, k: (f"/ws?token={t}&token={t}", ()), 400),
    "empty": (lambda t, k: ("/ws?token=", ()), 401),
    "without a value": (lambda t, k: ("/ws?token", ()), 401),
    "name in upper case": (lambda t, k: (f"/ws?TOKEN={t}", ()), 401),
    "as a ticket": (lambda t, k: (f"/ws?ticket={t}", ()), 401),
    "with a ticket": (lambda t, k: (f"/ws?ticket=x&token={t}", ()), 400),
    "with the promise of a message": (lambda t, k: (f"/ws?auth=message&token={t}", ()), 400),
    "as the promise of a message": (lambda t, k: (f"/ws?auth={t}", ()), 400),
    "behind a semicolon": (lambda t, k: (f"/ws?welcome=true;token={t}", ()), 401),
    "in a fragment": (lambda t, k: (f"/ws#token={t}", ()), 400),
    "in the path": (lambda t, k: (f"/ws/{t}", ()), 404),
    "with a header": (lambda t, k: (f"/ws?token={t}", bearer(t)), 400),
    "10 KiB": (lambda t, k: (f"/ws?token={'a' * 10240}", ()), 414),
    "subprotocol": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", f"goleapai.v1.json, bearer.{t}")]), 101),
    "subprotocol with a key": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", f"bearer.{k}, goleapai.v1.json")]), 101),
    "subprotocol in upper case": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", f"goleapai.v1.json, Bearer.{t}")]), 401),
    "subprotocol without ours": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", f"bearer.{t}")]), 400),
    "two in the subprotocol": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", f"bearer.{t}, bearer.{t}")]), 400),
    "two fields of subprotocols": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", f"bearer.{t}")] * 2), 400),
    "subprotocol with a header": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", f"bearer.{t}"), *bearer(t)]), 400),
    "subprotocol without a token": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", "bearer.")]), 401),
    "subprotocol of 12 KiB": (lambda t, k: ("/ws", [("Sec-WebSocket-Protocol", "bearer." + "a" * 12288)]), 401),
}


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_spellings_in_other_ways(gateway, line, name):
    make, wanted = OTHER_WAYS[name]
    words = token(gateway.ann), gateway.key
    path, headers = make(*words)
    answer, connection = line.ask("GET", path, [*UPGRADE, *headers])
    if connection:
        connection.sock.close()
    assert answer.status in (wanted if isinstance(wanted, tuple) else (wanted,)), answer
    shown = answer.body + str(answer.fields).encode()
    for word in words:
        assert word[-12:].encode() not in shown and word[40:52].encode() not in shown, answer


def test_messages_of_all_kinds(gateway):
    """On a connection that runs: what is no text is an error, what is one is looked at, and the connection stays."""
    with WebSocket(gateway.port, "/ws/stats", headers=bearer(token(gateway.ann))) as client:
        for value in (None, 1, 1e400, True, [], {}, [token(gateway.ann)], {"token": token(gateway.ann)}, "", " ", "\0", "\ud800", "é" * 1000,
                      f" {token(gateway.ann)}", f"{token(gateway.ann)}\n", f"Bearer {token(gateway.ann)}", "a" * 60000, "." * 60000):
            text = json.dumps({"type": "auth", "id": 1, "data": {"token": value}}).replace("Infinity", "1e400")
            client.send(text)
            answer = client.receive_until("error")[-1]
            assert answer["data"]["code"] in ("unauthorized", "invalid_message", "invalid_json"), (value, answer)
            assert "…" not in answer["data"]["message"], answer
        for data in ("{}", "null", "[]", '"x"', '{"token":"a","token":"b"}', '{"Token":"x"}'):
            client.send('{"type":"auth","data":%s}' % data)
            assert client.receive_until("error")[-1]["data"]["code"] in ("unauthorized", "invalid_message")
        client.send({"type": "auth", "id": 2, "data": {"token": token(gateway.ann)}})
        assert client.receive_until("ack")[-1]["id"] == 2


# Tokens

HEADER = b'{"alg":"HS256","typ":"JWT"}'


def signed(payload, header=HEADER, secret=SECRET, encode=part):
    """A token of bytes as they are, signed well."""
    head = encode(header) + "." + encode(payload)
    return head + "." + part(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())


def claims(gateway, **changes):
    now = int(time.time())
    values = {"user_id": gateway.boss, "email": "x@example.test", "role": "admin", "iss": ISSUER, "sub": gateway.boss, "iat": now, "nbf": now,
              "exp": now + 3600} | changes
    return {name: value for name, value in values.items() if value is not LEFT_OUT}


LEFT_OUT = object()


def payload(gateway, extra=b"", **changes):
    """The claims as bytes; `extra` is put behind the last one."""
    return json.dumps(claims(gateway, **changes), separators=(",", ":")).encode()[:-1] + extra + b"}"


def raw(gateway, **changes):
    """A token with claims whose values are written as these bytes."""
    text = json.dumps(claims(gateway, **{name: f"@{name}@" for name in changes})).encode()
    for name, value in changes.items():
        text = text.replace(f'"@{name}@"'.encode(), value)
    return signed(text)


def head(**more):
    return json.dumps({"alg": "HS256", "typ": "JWT"} | more).encode()


def standard(value):
    """The other alphabet of base64; every token of ours has at least one letter in which the two differ."""
    return base64.b64encode(value).rstrip(b"=").decode()


def with_signature(gateway, change):
    whole = signed(payload(gateway))
    first, second, third = whole.split(".")
    return f"{first}.{second}.{change(third)}"


def nested(depth):
    return b"[" * depth + b"]" * depth


OWN_SECRET = "a-secret-of-somebody-else-0123456789"
JWK = {"kty": "oct", "k": part(OWN_SECRET.encode())}

# name → the token. All are of an admin, and signed with the secret unless the name says otherwise. Below them, what they are worth.
TOKENS = {
    "as the gateway makes it": lambda g: signed(payload(g)),
    "more claims": lambda g: signed(payload(g, b',"api_key_id":"x","aud":["a"],"jti":"1"')),
    # Header
    "no typ": lambda g: signed(payload(g), b'{"alg":"HS256"}'),
    "a key's name": lambda g: signed(payload(g), head(kid="../../etc/passwd")),
    "embedded key, our signature": lambda g: signed(payload(g), head(jwk=JWK)),
    "embedded key, its signature": lambda g: signed(payload(g), head(jwk=JWK), OWN_SECRET),
    "key's address, another signature": lambda g: signed(payload(g), head(jku="http://127.0.0.1/keys", x5u="http://127.0.0.1/x"), OWN_SECRET),
    "empty secret": lambda g: signed(payload(g), secret=""),
    "alg in lower case": lambda g: signed(payload(g), head(alg="hs256")),
    "alg with a blank": lambda g: signed(payload(g), head(alg="HS256 ")),
    "alg none, our signature": lambda g: signed(payload(g), head(alg="none")),
    "alg none, none": lambda g: part(head(alg="none")) + "." + part(payload(g)) + ".",
    "alg empty": lambda g: signed(payload(g), head(alg="")),
    "alg null": lambda g: signed(payload(g), head(alg=None)),
    "alg list": lambda g: signed(payload(g), head(alg=["HS256"])),
    "alg missing": lambda g: signed(payload(g), b'{"typ":"JWT"}'),
    "alg RS256, our signature": lambda g: signed(payload(g), head(alg="RS256")),
    "alg twice": lambda g: signed(payload(g), b'{"alg":"HS256","alg":"none"}'),
    "alg twice, the other way": lambda g: signed(payload(g), b'{"alg":"none","alg":"HS256"}'),
    "alg twice, once escaped": lambda g: signed(payload(g), b'{"alg":"HS256","\\u0061lg":"none"}'),
    "typ of another kind": lambda g: signed(payload(g), head(typ="at+jwt")),
    "typ in lower case": lambda g: signed(payload(g), head(typ="jwt")),
    "typ a number": lambda g: signed(payload(g), head(typ=1)),
    "crit": lambda g: signed(payload(g), head(crit=["exp"])),
    "crit empty": lambda g: signed(payload(g), head(crit=[])),
    "unencoded payload": lambda g: signed(payload(g), head(b64=False, crit=["b64"])),
    "header a list": lambda g: signed(payload(g), b'["HS256"]'),
    "header a text": lambda g: signed(payload(g), b'"HS256"'),
    "header null": lambda g: signed(payload(g), b"null"),
    "header empty": lambda g: signed(payload(g), b""),
    "header no UTF-8": lambda g: signed(payload(g), b'{"alg":"HS256","x":"\xff"}'),
    "header with a byte order mark": lambda g: signed(payload(g), b"\xef\xbb\xbf" + HEADER),
    "header deep": lambda g: signed(payload(g), b'{"alg":"HS256","x":' + nested(1000) + b"}"),
    "blanks in the header": lambda g: signed(payload(g), b' {\n"alg" : "HS256" }\t'),
    # Form
    "padded": lambda g: signed(payload(g), encode=lambda value: base64.urlsafe_b64encode(value).decode()),
    "padded signature": lambda g: signed(payload(g)) + "=",
    "standard alphabet": lambda g: signed(payload(g, b',"x":"\xc3\xbf\xc3\xbf>>>???~~~"'), encode=standard),
    "standard alphabet in the signature": lambda g: with_signature(g, lambda s: s.replace("-", "+").replace("_", "/") + "+"),
    "line break within": lambda g: signed(payload(g), encode=lambda value: part(value)[:20] + "\n" + part(value)[20:]),
    "blank within": lambda g: signed(payload(g), encode=lambda value: part(value)[:20] + " " + part(value)[20:]),
    "line break in the signature": lambda g: with_signature(g, lambda s: s[:9] + "\r\n" + s[9:]),
    "last bits of the signature": lambda g: with_signature(g, lambda s: s[:-1] + chr(ord(s[-1]) + 1)),
    "four parts": lambda g: signed(payload(g)) + ".x",
    "four parts, the last empty": lambda g: signed(payload(g)) + ".",
    "five parts": lambda g: "x." * 2 + signed(payload(g)),
    "two parts": lambda g: signed(payload(g)).rpartition(".")[0],
    "one part": lambda g: part(payload(g)),
    "point before": lambda g: "." + signed(payload(g)),
    "only points": lambda g: "..",
    "empty signature": lambda g: with_signature(g, lambda s: ""),
    "half a signature": lambda g: with_signature(g, lambda s: s[:22]),
    "signature twice": lambda g: with_signature(g, lambda s: s + s),
    "signature of another token": lambda g: with_signature(g, lambda s: signed(payload(g, jti="x")).rpartition(".")[2]),
    "signature of SHA-512": lambda g: signed(payload(g)).rpartition(".")[0] + "." + part(
        hmac.new(SECRET.encode(), signed(payload(g)).rpartition(".")[0].encode(), hashlib.sha512).digest()),
    "as JSON": lambda g: json.dumps(dict(zip(("protected", "payload", "signature"), signed(payload(g)).split(".")))),
    # Payload
    "payload a list": lambda g: signed(b"[" + payload(g) + b"]"),
    "payload a text": lambda g: signed(json.dumps(payload(g).decode()).encode()),
    "payload a number": lambda g: signed(b"1"),
    "payload null": lambda g: signed(b"null"),
    "payload empty": lambda g: signed(b""),
    "payload empty object": lambda g: signed(b"{}"),
    "payload and more": lambda g: signed(payload(g) + b"{}"),
    "payload cut": lambda g: signed(payload(g)[:-1]),
    "payload with a comma too many": lambda g: signed(payload(g, b",")),
    "payload with a comment": lambda g: signed(payload(g, b"/**/")),
    "payload with NaN": lambda g: signed(payload(g, b',"x":NaN')),
    "payload no UTF-8": lambda g: signed(payload(g, b',"x":"\xff"')),
    "payload no UTF-8 in a name": lambda g: signed(payload(g, b',"\xff":1')),
    "payload with a surrogate alone": lambda g: signed(payload(g, b',"x":"\\ud800"')),
    "payload in UTF-16": lambda g: signed(payload(g).decode().encode("utf-16")),
    "payload with NUL": lambda g: signed(payload(g) + b"\0"),
    "payload deep": lambda g: signed(payload(g, b',"x":' + nested(2000))),
    "payload of 9 KiB": lambda g: signed(payload(g, b',"x":"' + b"a" * 6900 + b'"')),
    "payload of 700 members": lambda g: signed(payload(g, b"".join(b',"%d":1' % number for number in range(700)))),
    "role twice": lambda g: signed(payload(g, b',"role":"user"')),
    "role twice, equal": lambda g: signed(payload(g, b',"role":"admin"')),
    "role twice, once escaped": lambda g: signed(payload(g, b',"r\\u006fle":"user"')),
    "user_id twice": lambda g: signed(payload(g, b',"user_id":"%s"' % g.ann.encode())),
    "exp twice": lambda g: signed(payload(g, b',"exp":1')),
    "unknown claim twice": lambda g: signed(payload(g, b',"x":1,"x":2')),
    "name in another case": lambda g: signed(payload(g, b',"Role":"user"')),
    "name in another case, alone": lambda g: signed(payload(g, nbf=LEFT_OUT, NBF=1)),
    "name with a long s": lambda g: signed(payload(g, b',"i\\u017fs":"x"')),
    "jti a number": lambda g: signed(payload(g, jti=1)),
    "sub a list": lambda g: signed(payload(g, sub=[g.boss])),
    "aud a number": lambda g: signed(payload(g, aud=1)),
    # Times
    "exp in the year 9999": lambda g: raw(g, exp=b"253402300799"),
    "exp in the year 10000": lambda g: raw(g, exp=b"253402300800"),
    "exp of all of Int64": lambda g: raw(g, exp=b"9223372036854775807"),
    "exp beyond Int64": lambda g: raw(g, exp=b"9223372036854775808"),
    "exp of a thousand digits": lambda g: raw(g, exp=b"9" * 1000),
    "exp 1e400": lambda g: raw(g, exp=b"1e400"),
    "exp 4e9": lambda g: raw(g, exp=b"4e9"),
    "exp with a fraction": lambda g: raw(g, exp=b"4102444799.0"),
    "exp negative": lambda g: raw(g, exp=b"-1"),
    "exp minus nought": lambda g: raw(g, exp=b"-0"),
    "exp nought": lambda g: raw(g, exp=b"0"),
    "exp with a nought before": lambda g: raw(g, exp=b"04102444799"),
    "exp with a plus": lambda g: raw(g, exp=b"+4102444799"),
    "exp a text": lambda g: raw(g, exp=b'"4102444799"'),
    "exp null": lambda g: raw(g, exp=b"null"),
    "exp true": lambda g: raw(g, exp=b"true"),
    "exp a list": lambda g: raw(g, exp=b"[4102444799]"),
    "exp an object": lambda g: raw(g, exp=b'{"x":4102444799}'),
    "exp missing": lambda g: signed(payload(g, exp=LEFT_OUT)),
    "exp now": lambda g: signed(payload(g, exp=int(time.time()))),
    "exp a second ago": lambda g: signed(payload(g, exp=int(time.time()) - 1)),
    "exp in another case": lambda g: signed(payload(g, exp=LEFT_OUT, Exp=4102444799)),
    "nbf in the future": lambda g: signed(payload(g, nbf=int(time.time()) + 60)),
    "nbf a text": lambda g: raw(g, nbf=b'"1"'),
    "nbf null": lambda g: raw(g, nbf=b"null"),
    "nbf negative": lambda g: raw(g, nbf=b"-1"),
    "nbf missing": lambda g: signed(payload(g, nbf=LEFT_OUT)),
    "iat in the future": lambda g: signed(payload(g, iat=int(time.time()) + 60)),
    "iat a list": lambda g: raw(g, iat=b"[]"),
    "iat missing": lambda g: signed(payload(g, iat=LEFT_OUT)),
    # Who
    "issuer a list": lambda g: signed(payload(g, iss=[ISSUER])),
    "issuer in another case": lambda g: signed(payload(g, iss=ISSUER.upper())),
    "issuer with a blank": lambda g: signed(payload(g, iss=ISSUER + " ")),
    "issuer empty": lambda g: signed(payload(g, iss="")),
    "issuer null": lambda g: signed(payload(g, iss=None)),
    "user_id empty": lambda g: signed(payload(g, user_id="")),
    "user_id a number": lambda g: signed(payload(g, user_id=1)),
    "user_id a list": lambda g: signed(payload(g, user_id=[g.boss])),
    "user_id null": lambda g: signed(payload(g, user_id=None)),
    "user_id missing": lambda g: signed(payload(g, user_id=LEFT_OUT)),
    "user_id unknown": lambda g: signed(payload(g, user_id="12345678-1234-1234-1234-123456789abc")),
    "user_id of nobody": lambda g: signed(payload(g, user_id="00000000-0000-0000-0000-000000000000")),
    "user_id with NUL": lambda g: signed(payload(g, user_id=g.boss + "\0")),
    "user_id with NUL within": lambda g: signed(payload(g, user_id=g.boss[:10] + "\0" + g.boss[11:])),
    "user_id with a blank": lambda g: signed(payload(g, user_id=g.boss + " ")),
    "user_id for SQL": lambda g: signed(payload(g, user_id="' OR '1'='1' --                     ")),
    "user_id with a wildcard": lambda g: signed(payload(g, user_id=g.boss[:-1] + "%")),
    "user_id with full-width digits": lambda g: signed(payload(g, user_id="１" + g.boss[1:])),
    "user_id in upper case": lambda g: signed(payload(g, user_id=g.boss.upper())),
    "sub of somebody else": lambda g: signed(payload(g, sub=g.ann)),
    "email missing": lambda g: signed(payload(g, email=LEFT_OUT)),
    "email empty": lambda g: signed(payload(g, email="")),
    "email a number": lambda g: signed(payload(g, email=1)),
    "role missing": lambda g: signed(payload(g, role=LEFT_OUT)),
    "role null": lambda g: signed(payload(g, role=None)),
    "role a list": lambda g: signed(payload(g, role=["admin"])),
    "role a number": lambda g: signed(payload(g, role=1)),
    "role true": lambda g: signed(payload(g, role=True)),
    "role unknown": lambda g: signed(payload(g, role="root")),
    "role empty": lambda g: signed(payload(g, role="")),
    "role in another case": lambda g: signed(payload(g, role="Admin")),
    "role with a blank": lambda g: signed(payload(g, role="admin ")),
    "role with NUL": lambda g: signed(payload(g, role="admin\0")),
    "role with a soft hyphen": lambda g: signed(payload(g, role="ad\u00admin")),
    "role with a combining mark": lambda g: signed(payload(g, role="admin\u0301")),
    "role in full width": lambda g: signed(payload(g, role="ａｄｍｉｎ")),
    "role escaped": lambda g: signed(payload(g).replace(b'"admin"', b'"\\u0061dmin"')),
}

# What is accepted, with the rights of an admin. As in the gateway: what is not known is not looked at (RFC 7515 §4, RFC 7519 §4).
ADMIN = {
    "as the gateway makes it", "more claims", "no typ", "a key's name", "embedded key, our signature", "blanks in the header", "exp in the year 9999",
    "nbf missing", "iat missing", "sub of somebody else", "role escaped", "user_id in upper case", "payload of 700 members",
    "payload with a surrogate alone",
}
# What is accepted as nobody in particular: the gateway lets any role in, and only `admin` is more than others.
USER = {"role unknown", "role empty", "role in another case", "role with a blank", "role with NUL", "role with a soft hyphen",
        "role with a combining mark", "role in full width"}
# What a server that reads what it is sent as JSON in a header cannot be sent by one.
UNWRITABLE = {"line break within", "line break in the signature"}


@pytest.mark.parametrize("name", TOKENS)
def test_odd_tokens(gateway, line, name):
    word = TOKENS[name](gateway)
    rights = "admin" if name in ADMIN else "user" if name in USER else None
    if name not in UNWRITABLE:
        for method, path, right in (("GET", "/admin/ws/stats", "admin"), ("POST", "/ws/ticket", "user")):
            try:
                answer, _ = line.ask(method, path, bearer(word))
            except NoResponse as none:
                raise AssertionError(f"no answer: {none}") from None
            wanted = 401 if not rights else 403 if right == "admin" and rights != "admin" else 200
            assert answer.status == wanted, answer
    for role in ("admin", "user"):
        user = {"admin": gateway.boss, "user": gateway.ann}[role]
        with WebSocket(gateway.port, "/ws?channels=stats", headers=bearer(token(user, role))) as client:
            client.send({"type": "auth", "id": 1, "data": {"token": word}})
            answer = client.receive_until("ack" if rights and role == "admin" else "error")[-1]
            assert answer["type"] == "ack" or answer["data"]["code"] == "unauthorized", answer
            client.send({"type": "subscribe", "id": 2, "data": {"channels": ["logs"]}})
            may = role == "admin" and rights != "user"
            assert client.receive_until("ack" if may else "error")[-1]["id"] == 2


def test_the_tables_name_what_there_is():
    assert set(TOKENS) >= ADMIN | USER | UNWRITABLE and not ADMIN & USER


# Roles

@pytest.mark.parametrize("in_database", ["admin", "user", "viewer", "", "Admin", "admin ", "root"])
def test_the_lower_role_counts(gateway, line, in_database):
    user = gateway.accounts.user(in_database)
    key, _ = gateway.accounts.key(user, permissions="*")
    for role in ("admin", "user", "viewer", "root"):
        answer, _ = line.ask("GET", "/admin/ws/stats", bearer(token(user, role)))
        assert answer.status == (200 if role == in_database == "admin" else 403), (role, answer)
        assert line.ask("POST", "/ws/ticket", bearer(token(user, role)))[0].status == 200
    for word, method in ((f"ApiKey {key}", "GET"), (f"ApiKey {key}", "HEAD")):
        assert line.ask(method, "/admin/ws/stats", [("Authorization", word)])[0].status == 403


@pytest.mark.parametrize("role", ["admin", "user"])
def test_a_disabled_user_is_nobody(gateway, line, role):
    user = gateway.accounts.user(role, active=False)
    key, _ = gateway.accounts.key(user)
    for authorization in (f"Bearer {token(user, role)}", f"ApiKey {key}"):
        for method, path in (("GET", "/admin/ws/stats"), ("POST", "/ws/ticket")):
            assert line.ask(method, path, [("Authorization", authorization)])[0].status == 401
    assert line.ask("GET", "/admin/ws/stats", bearer(sign({"user_id": user})))[0].status == 401
