"""Secrets that are put where secrets come in, and looked for where none may come out."""

import re
import struct
import urllib.parse
from pathlib import Path

from .tokens import part

PIECE = 12
"""Bytes of a secret that give it away: fewer may stand somewhere by chance."""


class Canaries:
    """Secrets of all shapes, each known by the place that it was put into. All have a digit in them, as made words do."""

    def __init__(self, rng):
        self.rng = rng
        self.places = {}    # piece, lower case → the places of its secrets
        self.whole = {}     # place → its secrets

    def add(self, text, place):
        """Remembers a secret; gives it back."""
        # What every token and key begins with is no secret.
        self.whole.setdefault(place, []).append(text)
        secret = text.split(".", 1)[1] if text.count(".") == 2 else re.sub(r"^(gla_|sk-|ghp_|AIza)", "", text)
        for word in secret.split("."):
            pieces = [word[start:start + PIECE] for start in range(0, len(word) - PIECE + 1, PIECE)] + [word[-PIECE:]]
            for piece in pieces:
                self.places.setdefault(piece.lower(), set()).add(place)
        return text

    def text(self, length=32, letters="abcdefghijklmnopqrstuvwxyz0123456789"):
        return "7" + "".join(self.rng.choices(letters, k=length - 2)) + "4"

    def mixed(self, length):
        return self.text(length, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

    def token(self, place):
        """What a token looks like; signed by nobody. What it says is random, too."""
        head, claims = b'{"alg":"HS256","typ":"JWT"}', b'{"x":"' + self.rng.randbytes(40).hex().encode() + b'"}'
        return self.add(".".join(map(part, (head, claims, self.rng.randbytes(32)))), place)

    def key(self, place):
        return self.add("gla_" + self.mixed(43), place)

    def provider(self, place):
        return self.add("sk-" + self.mixed(40), place)

    def service(self, place):
        return self.add("ghp_" + self.mixed(36), place)

    def word(self, place):
        """A secret of no shape: a ticket, a password."""
        return self.add(self.text(), place)

    SHAPES = ("token", "key", "provider", "service", "word")

    def each(self, place):
        """One of each shape for a place: (shape, secret)."""
        return [(shape, getattr(self, shape)(f"{place} ({shape})")) for shape in self.SHAPES]

    def found(self, text):
        """The places whose secrets stand in a text, whole or in pieces, as they are or encoded."""
        text = text.decode("latin-1") if isinstance(text, bytes) else text
        forms = {text, urllib.parse.unquote(text), re.sub(r"\\u00([0-7][0-9a-f])", lambda found: chr(int(found[1], 16)), text)}
        return sorted({place for form in map(str.lower, forms) for piece, places in self.places.items() if piece in form for place in places})


class Memory:
    """The writable memory of a process, as it was at one moment."""

    SEGMENT = struct.Struct("<4sIQIIII")
    """The beginning of a segment of history: magic, version, first sequence, count, bytes used, room for entries, room for bytes."""

    def __init__(self, pid):
        self.regions = []
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if not found or line.endswith(("[vvar]", "[vsyscall]")):
                    continue
                start, end = (int(number, 16) for number in found.groups())
                if end - start > 1 << 32:
                    # What a sanitizer reserves for itself.
                    continue
                data = bytearray()
                memory.seek(start)
                while len(data) < end - start:
                    try:
                        piece = memory.read(min(1 << 20, end - start - len(data)))
                    except OSError:
                        break
                    if not piece:
                        break
                    data += piece
                self.regions.append((start, bytes(data)))

    def segments(self):
        """What history holds: the flat block of each segment, but for what is at its very end."""
        found = []
        for _, data in self.regions:
            at = data.find(b"swlg\2\0\0\0")
            while at >= 0:
                if at + 64 <= len(data):
                    _, _, first, _, _, entries, room = self.SEGMENT.unpack_from(data, at)
                    if first > 0 and 16 <= entries <= 1024 and room <= len(data) - at:
                        found.append(data[at:at + 64 + 8 * entries + room])
                at = data.find(b"swlg\2\0\0\0", at + 8)
        return found

    def count(self, secret):
        return sum(data.count(secret.encode()) for _, data in self.regions)
