"""A gateway's database and a writer that treats it as the gateway does."""

import random
import shutil
import sqlite3
import time
import uuid
from pathlib import Path

from .reference import gateway_text, nanoseconds

FIXTURES = Path(__file__).resolve().parents[2] / "Fixtures" / "gateway"
FIXTURE_NOW = nanoseconds("2026-03-02 14:30:00+00:00")
NIL = "00000000-0000-0000-0000-000000000000"


def now_ns():
    return time.time_ns()


def create(path):
    """A new, empty database with the gateway's tables."""
    connection = sqlite3.connect(path)
    text = "\n".join(line for line in (FIXTURES / "schema.sql").read_text().splitlines() if not line.startswith("--"))
    connection.executescript(text)
    connection.close()


def shifted_fixture(path, at_ns, offset_of=lambda number: 0):
    """The fixture with its standing clock moved to `at_ns`. `offset_of` gives the minutes of offset that the text of a
    row's timestamp is written with; the instant stays the same."""
    shutil.copy(FIXTURES / "gateway-small.db", path)
    Path(path).chmod(0o644)
    connection = sqlite3.connect(path)
    shift = at_ns - FIXTURE_NOW
    with connection:
        for table, column in (("request_logs", "timestamp"), ("request_logs", "created_at"), ("providers", "last_health_check"),
                              ("providers", "updated_at")):
            rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
            changed = []
            for rowid, text in rows:
                if text and not text.startswith("0001-"):
                    offset = 0 if column in ("created_at", "updated_at") else offset_of(rowid)
                    changed.append((gateway_text(nanoseconds(text) + shift, offset), rowid))
            connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", changed)
    connection.close()


class Gateway:
    """Writes as the gateway does: one connection, waits five seconds for a lock, and remembers every error."""

    def __init__(self, path, seed=1, journal="delete"):
        self.path = Path(path)
        self.rng = random.Random(f"gateway/{seed}")
        self.journal = journal
        self.errors = []
        self.number = 0
        self.connection = None
        if not self.path.exists():
            create(self.path)
        self.open()

    def open(self):
        self.connection = sqlite3.connect(self.path, timeout=5, isolation_level=None, check_same_thread=False)
        self.connection.execute(f"PRAGMA journal_mode={self.journal}")
        self.connection.execute("PRAGMA synchronous=OFF")

    def close(self):
        self.connection.close()

    def execute(self, statement, parameters=()):
        try:
            return self.connection.execute(statement, parameters)
        except sqlite3.Error as error:
            self.errors.append(f"{statement[:60]}: {error}")
            raise

    def transaction(self, work):
        self.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self.execute("COMMIT")
            return result
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def add_provider(self, name, status="active", score=1.0, checked_ns=None, latency=100):
        identifier = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        now = gateway_text(now_ns())
        self.execute(
            "INSERT INTO providers (id, name, type, status, base_url, auth_type, tier, discovered_at, last_verified, source,"
            " supports_streaming, supports_tools, supports_json, last_health_check, health_score, avg_latency_ms, created_at, updated_at)"
            " VALUES (?, ?, 'openai', ?, 'https://provider.example', 'api_key', 3, ?, ?, 'seed', 1, 0, 1, ?, ?, ?, ?, ?)",
            (identifier, name, status, now, now, gateway_text(checked_ns if checked_ns is not None else now_ns()), score, latency, now, now))
        return identifier

    def add_model(self, provider, name):
        identifier = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        now = gateway_text(now_ns())
        self.execute(
            "INSERT INTO models (id, provider_id, name, display_name, modality, created_at, updated_at) VALUES (?, ?, ?, ?, 'chat', ?, ?)",
            (identifier, provider, name, name, now, now))
        return identifier

    def row(self, provider=NIL, model=NIL, at_ns=None, **changes):
        """One row of request_logs, as a mapping; `number` inside its endpoint tells rows apart in the order of writing."""
        self.number += 1
        success = self.rng.random() < 0.9
        values = {
            "id": str(uuid.UUID(int=self.rng.getrandbits(128), version=4)),
            "provider_id": provider, "model_id": model, "user_id": NIL, "method": "POST",
            "endpoint": f"/v1/chat/completions?n={self.number}", "status_code": 200 if success else 502,
            "latency_ms": int(self.rng.lognormvariate(6, 1)), "input_tokens": self.rng.randrange(2000),
            "output_tokens": self.rng.randrange(1000), "success": int(success),
            "error_message": "" if success else 'provider said "no"\nand 不 more', "estimated_cost": self.rng.random() / 100,
            # As in life: the instant of a request's begin, which may lie before that of the row before.
            "timestamp": gateway_text((at_ns if at_ns is not None else now_ns()) - self.rng.randrange(2_000_000_000)),
            "created_at": gateway_text(now_ns()),
        }
        values.update(changes)
        return values

    def insert(self, rows):
        """Inserts rows in one transaction."""
        def work():
            for values in rows:
                names = ", ".join(values)
                self.execute(f"INSERT INTO request_logs ({names}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))
        self.transaction(work)

    def restart(self):
        """What the gateway does to `providers` and `models` each time it starts: both tables are made anew, with other quoting,
        in a transaction each; the indexes follow later."""
        self.close()
        self.open()
        for table, times in (("providers", 1), ("models", 2)):
            for _ in range(times):
                (statement,) = self.execute("SELECT sql FROM sqlite_master WHERE type='table' AND name=?", (table,)).fetchone()
                body = statement[statement.index("("):]
                indexes = self.execute(
                    "SELECT sql FROM sqlite_master WHERE type='index' AND tbl_name=? AND sql IS NOT NULL", (table,)).fetchall()

                def rebuild(table=table, body=body):
                    self.execute(f'CREATE TABLE "{table}__temp"  {body}')
                    self.execute(f'INSERT INTO "{table}__temp" SELECT * FROM "{table}"')
                    self.execute(f'DROP TABLE "{table}"')
                    self.execute(f'ALTER TABLE "{table}__temp" RENAME TO "{table}"')

                self.transaction(rebuild)
                for (index,) in indexes:
                    self.execute(index)

    def prune(self, keep):
        """Deletes all but the newest `keep` rows."""
        self.execute("DELETE FROM request_logs WHERE rowid NOT IN (SELECT rowid FROM request_logs ORDER BY rowid DESC LIMIT ?)", (keep,))

    def vacuum(self):
        self.execute("VACUUM")

    def lock(self, seconds):
        """Holds the database for itself."""
        self.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        self.execute("COMMIT")

    def replace_file(self):
        """Puts a copy in the place of the file, as a restore from a backup does: same rows, another inode."""
        copy = self.path.with_suffix(".restored")
        target = sqlite3.connect(copy)
        self.connection.backup(target)
        target.execute(f"PRAGMA journal_mode={self.journal}")
        target.close()
        self.close()
        for suffix in ("-wal", "-shm", "-journal"):
            Path(str(self.path) + suffix).unlink(missing_ok=True)
        copy.rename(self.path)
        for suffix in ("-wal", "-shm"):
            extra = Path(str(copy) + suffix)
            if extra.exists():
                extra.unlink()
        self.open()
