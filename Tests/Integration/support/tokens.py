"""Credentials of the gateway: the samples, and tokens of our own, signed as the gateway signs them."""

import base64
import ctypes
import hashlib
import hmac
import json
import os
import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from .gateway import FIXTURES, create

KEYS = json.loads((FIXTURES / "keys.json").read_text())
SECRET = KEYS["jwt"]["secret"]
ISSUER = KEYS["jwt"]["issuer"]


def bearer(text):
    """The header fields of a request that comes with a token."""
    return [("Authorization", f"Bearer {text}")]


def part(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def sign(claims, secret=SECRET, header=None):
    head = part(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(claims).encode())
    return head + "." + part(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())


def token(user, role="user", seconds=3600, secret=SECRET, **changes):
    """A token that counts for so many seconds."""
    now = int(time.time())
    claims = {"user_id": user, "email": "x@example.test", "role": role, "iss": ISSUER, "sub": user, "iat": now, "nbf": now, "exp": now + seconds}
    claims.update(changes)
    return sign({name: value for name, value in claims.items() if value is not None}, secret)


LIBCRYPT = ctypes.CDLL("libcrypt.so.1")
LIBCRYPT.crypt_rn.restype = ctypes.c_char_p
BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def bcrypt(key, cost):
    """As the gateway keeps a key: `$2a$`, of all its bytes. Other threads go on meanwhile."""
    salt = "".join(BCRYPT_ALPHABET[byte & 63] for byte in os.urandom(21)) + "."
    memory = ctypes.create_string_buffer(32768)
    made = LIBCRYPT.crypt_rn(key.encode(), f"$2a${cost:02}${salt}".encode(), memory, len(memory))
    assert made and len(made) == 60, made
    return made.decode()


class Accounts:
    """A gateway's database with users and keys that tests make and take away."""

    def __init__(self, path):
        self.path = path
        if not path.exists():
            create(path)

    def execute(self, statement, parameters=()):
        connection = sqlite3.connect(self.path, timeout=10)
        with connection:
            connection.execute(statement, parameters)
        connection.close()

    def insert(self, table, values):
        self.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))

    def user(self, role="user", active=True):
        identifier = str(uuid.uuid4())
        now = "2026-03-02 14:29:45+00:00"
        self.insert("users", {
            "id": identifier, "email": f"{identifier}@example.test", "password_hash": "x", "name": "x", "role": role, "active": int(active),
            "created_at": now, "updated_at": now})
        return identifier

    def many_keys(self, count, cost):
        """So many users with a key each, and the bcrypt hash of it, in one transaction; gives back the keys."""
        keys = ["gla_" + part(os.urandom(32)) for _ in range(count)]
        with ThreadPoolExecutor(2) as pool:
            hashes = list(pool.map(lambda key: bcrypt(key, cost), keys))
        now, connection = "2026-03-02 14:29:45+00:00", sqlite3.connect(self.path, timeout=10)
        with connection:
            for key, hashed in zip(keys, hashes):
                user = str(uuid.uuid4())
                connection.execute(
                    "INSERT INTO users (id, email, password_hash, name, role, active, created_at, updated_at) VALUES (?, ?, 'x', 'x', 'user', 1, ?, ?)",
                    (user, f"{user}@example.test", now, now))
                connection.execute(
                    "INSERT INTO api_keys (id, user_id, key_hash, name, key_bcrypt, key_preview, permissions, rate_limit, expires_at, active, created_at,"
                    " updated_at) VALUES (?, ?, ?, 'x', ?, ?, 'read', 60, '2099-12-31 23:59:59+00:00', 1, ?, ?)",
                    (str(uuid.uuid4()), user, hashlib.sha256(key.encode()).hexdigest(), hashed, key[:12] + "...", now, now))
        connection.close()
        return keys

    def key(self, user, **changes):
        """A key without a bcrypt hash, so that looking at it costs nothing."""
        key = "gla_" + part(uuid.uuid4().bytes + uuid.uuid4().bytes)
        now = "2026-03-02 14:29:45+00:00"
        values = {
            "id": str(uuid.uuid4()), "user_id": user, "key_hash": hashlib.sha256(key.encode()).hexdigest(), "name": "x",
            "key_bcrypt": "", "key_preview": key[:12] + "...", "permissions": "read", "rate_limit": 60, "expires_at": "2099-12-31 23:59:59+00:00", "active": 1, "created_at": now, "updated_at": now}
        values.update(changes)
        self.insert("api_keys", values)
        return key, values["id"]
