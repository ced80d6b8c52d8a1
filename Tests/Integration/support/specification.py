"""/asyncapi.yaml as a judge: which schema a message fits, what of the schemas has been seen in real messages, and what is wrong on purpose."""

import copy
import json
from pathlib import Path

import yaml
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

FILE = Path(__file__).resolve().parents[3] / "Sources/Server/Specification/asyncapi.yaml"
SCHEMAS = "/components/schemas/"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Specification:
    """The document, and what has been seen of it."""

    def __init__(self):
        self.document = yaml.load(FILE.read_text(), LOADER)
        self.registry = Registry().with_resource("urn:document", DRAFT7.create_resource(self.document))
        self.validators = {}
        self.seen = set()       # pointers to schemas and properties that a real message had
        self.words = {}         # pointer to an enum -> values that a real message had
        self.frames = {}        # name of a schema -> real messages that fit it
        self.checked = set()    # messages that were judged already, as text

    @property
    def schemas(self):
        return self.document["components"]["schemas"]

    def at(self, pointer):
        """What stands at `/a/b/0`, references not followed."""
        value = self.document
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value

    def validator(self, pointer):
        if pointer not in self.validators:
            self.validators[pointer] = Draft7Validator({"$ref": f"urn:document#{pointer}"}, registry=self.registry)
        return self.validators[pointer]

    def fits(self, name, value):
        return self.validator(SCHEMAS + name).is_valid(value)

    def why(self, name, value):
        """What is wrong with it; empty where it fits."""
        return "; ".join(f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in self.validator(SCHEMAS + name).iter_errors(value))

    def check(self, name, value):
        """Fails unless it fits; notes what of the schema it has."""
        wrong = self.why(name, value)
        assert not wrong, f"{name}: {wrong}: {json.dumps(value)[:1000]}"
        self.frames.setdefault(name, [])
        if len(self.frames[name]) < 200:
            self.frames[name].append(value)
        self.note(SCHEMAS + name, value)

    # What has been seen

    def note(self, pointer, value):
        schema = self.at(pointer)
        self.seen.add(pointer)
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            return self.note(schema["$ref"][1:], value)
        if "enum" in schema:
            self.words.setdefault(pointer, set()).add(value)
        for word in ("allOf", "anyOf", "oneOf"):
            for number in range(len(schema.get(word, ()))):
                if self.validator(f"{pointer}/{word}/{number}").is_valid(value):
                    self.note(f"{pointer}/{word}/{number}", value)
        if isinstance(value, dict):
            named = schema.get("properties", {})
            for key, item in value.items():
                if key in named:
                    self.note(f"{pointer}/properties/{key}", item)
                elif isinstance(schema.get("additionalProperties"), dict):
                    self.note(f"{pointer}/additionalProperties", item)
        if isinstance(value, list) and "items" in schema:
            for item in value:
                self.note(f"{pointer}/items", item)

    def declared(self):
        """Pointers to every schema that has a name, and to every property; and to every enum, with its values."""
        found, words = set(), {}

        def walk(pointer, schema):
            if not isinstance(schema, dict):
                return
            if "enum" in schema:
                words[pointer] = set(schema["enum"])
            for key, item in schema.get("properties", {}).items():
                found.add(f"{pointer}/properties/{key}")
                walk(f"{pointer}/properties/{key}", item)
            for word in ("items", "additionalProperties"):
                walk(f"{pointer}/{word}", schema.get(word))
            for word in ("allOf", "anyOf", "oneOf"):
                for number, item in enumerate(schema.get(word, ())):
                    walk(f"{pointer}/{word}/{number}", item)

        for name, schema in self.schemas.items():
            found.add(SCHEMAS + name)
            walk(SCHEMAS + name, schema)
        return found, words

    # Wrong on purpose

    def resolved(self, pointer):
        schema = self.at(pointer)
        while isinstance(schema, dict) and "$ref" in schema:
            pointer = schema["$ref"][1:]
            schema = self.at(pointer)
        return pointer, schema

    def mutants(self, name, value):
        """(what was done, the message) for each required member left out, each member of another type, each word that is none of the
        list, and, where the object is closed, one member too many."""
        def walk(pointer, part, path):
            pointer, schema = self.resolved(pointer)
            if not isinstance(schema, dict):
                return
            if isinstance(part, dict):
                for key in schema.get("required", ()):
                    yield f"without {'/'.join(map(str, [*path, key]))}", path, lambda holder, key=key: holder.pop(key)
                if schema.get("additionalProperties") is False:
                    yield f"more in /{'/'.join(map(str, path))}", path, lambda holder: holder.update(unknown_member=1)
                for key, item in part.items():
                    if key not in schema.get("properties", {}):
                        continue
                    below, inner = self.resolved(f"{pointer}/properties/{key}")
                    if inner and set(inner) != {"description"}:
                        # No type is both an empty list and something else.
                        other = [] if inner.get("type") != "array" else 7
                        yield f"other type at {'/'.join(map(str, [*path, key]))}", path, lambda holder, key=key, other=other: holder.update({key: other})
                    if "enum" in inner or "const" in inner or inner.get("pattern"):
                        yield f"other word at {'/'.join(map(str, [*path, key]))}", path, lambda holder, key=key: holder.update({key: "No such word!"})
                    yield from walk(f"{pointer}/properties/{key}", item, [*path, key])
            elif isinstance(part, list) and part and "items" in schema:
                yield from walk(f"{pointer}/items", part[0], [*path, 0])

        for what, path, change in walk(SCHEMAS + name, value, []):
            changed = copy.deepcopy(value)
            holder = changed
            for key in path:
                holder = holder[key]
            change(holder)
            yield what, changed


# Which schema describes a message of the daemon.
BY_TYPE = {"log": "log", "request": "request", "provider_status": "providerStatus", "stats_update": "statsUpdate", "gap": "gap", "ack": "ack",
           "error": "error", "ping": "ping", "pong": "pong", "caught_up": "caughtUp", "welcome": "welcome", "drain": "drain"}


def schema_of(message):
    return BY_TYPE.get(message["type"], "published")
