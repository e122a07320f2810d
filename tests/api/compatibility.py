"""Which changes of an OpenAPI document break a client that was written for an earlier one. Pure.

What a client sends may be taken in a wider way, never in a narrower one; what it is sent may have
more members, never fewer. Values of an answer may be added, as the description says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
_NARROWER: Mapping[str, Callable[[Any, Any], bool]] = {
    "maxLength": lambda old, new: new < old,
    "maximum": lambda old, new: new < old,
    "maxItems": lambda old, new: new < old,
    "minLength": lambda old, new: new > old,
    "minimum": lambda old, new: new > old,
    "minItems": lambda old, new: new > old,
    "pattern": lambda old, new: new != old,
}
"""Keywords that bound a value, and whether the new bound leaves out what the old one took."""


def breaks(released: Json, now: Json) -> list[str]:
    """Everything in ``now`` that breaks a client of ``released``, in one line each."""
    return list(dict.fromkeys(_Comparison(released, now).found()))


class _Comparison:
    def __init__(self, released: Json, now: Json) -> None:
        self._documents = (released, now)
        self._seen: set[tuple[str, str, bool]] = set()

    def found(self) -> Iterator[str]:
        old, new = self._documents
        for path, operations in old["paths"].items():
            for method, operation in operations.items():
                where = f"{method.upper()} {path}"
                there = new["paths"].get(path, {}).get(method)
                if there is None:
                    yield f"{where}: removed"
                else:
                    yield from self._operation(where, operation, there)
        for name, hook in old.get("webhooks", {}).items():
            there = new.get("webhooks", {}).get(name)
            if there is None:
                yield f"webhook {name}: removed"
                continue
            before, after = (_body(item["post"]) for item in (hook, there))
            yield from self._shape(f"webhook {name}", before, after, sent=False)

    def _operation(self, where: str, old: Json, new: Json) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{where}: operationId {old['operationId']} is now {new['operationId']}"
        yield from self._parameters(where, old, new)
        if "requestBody" in new:
            before, after = old.get("requestBody", {}), new["requestBody"]
            if after.get("required", False) and not before.get("required", False):
                yield f"{where}: the body is required now"
            if "requestBody" in old:
                yield from self._shape(f"{where} body", _body(old), _body(new), sent=True)
        elif "requestBody" in old:
            yield f"{where}: takes no body any more"
        for status, response in old["responses"].items():
            there = new["responses"].get(status)
            if there is None:
                if str(status).startswith("2"):
                    yield f"{where}: {status} removed"
                continue
            yield from self._response(f"{where} {status}", response, there)

    def _response(self, where: str, old: Json, new: Json) -> Iterator[str]:
        for media, content in old.get("content", {}).items():
            there = new.get("content", {}).get(media)
            if there is None:
                yield f"{where}: {media} removed"
            else:
                yield from self._shape(where, content["schema"], there["schema"], sent=False)
        for header in old.get("headers", {}):
            if header not in new.get("headers", {}):
                yield f"{where}: header {header} removed"

    def _parameters(self, where: str, old: Json, new: Json) -> Iterator[str]:
        before, after = (
            {(item["in"], item["name"]): item for item in operation.get("parameters", ())}
            for operation in (old, new)
        )
        for key, parameter in before.items():
            if key not in after:
                yield f"{where}: {key[0]} parameter {key[1]} removed"
                continue
            place = f"{where} {key[1]}"
            yield from self._shape(place, parameter["schema"], after[key]["schema"], sent=True)
        for key, parameter in after.items():
            was = before.get(key, {}).get("required", False)
            if parameter.get("required", False) and not was:
                yield f"{where}: {key[0]} parameter {key[1]} is required now"

    def _shape(self, where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        """``sent``: by the client. Shapes that hold themselves are looked at once."""
        pair = (str(old.get("$ref", "")), str(new.get("$ref", "")), sent)
        if any(pair[:2]):
            if pair in self._seen:
                return
            self._seen.add(pair)
        old, new = (
            self._resolved(which, shape)
            for which, shape in zip(self._documents, (old, new), strict=True)
        )
        before, after = _kinds(old), _kinds(new)
        lost = before - after if sent else after - before
        if lost and before and after:
            yield f"{where}: {'takes no' if sent else 'may be'} {', '.join(sorted(lost))} now"
        if sent:
            yield from _narrower(where, old, new)
        yield from self._members(where, old, new, sent=sent)
        if "items" in old and "items" in new:
            yield from self._shape(f"{where}[]", old["items"], new["items"], sent=sent)
        others_old, others_new = (_without_null(shape) for shape in (old, new))
        if len(others_old) == len(others_new) == 1:
            yield from self._shape(where, others_old[0], others_new[0], sent=sent)

    def _members(self, where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed = set(old.get("required", ())), set(new.get("required", ()))
        for name, member in before.items():
            if name not in after:
                yield f"{where}.{name}: removed"
            else:
                yield from self._shape(f"{where}.{name}", member, after[name], sent=sent)
        if not before and not after:
            return
        for name in sorted(needed[1] - needed[0]) if sent else ():
            yield f"{where}.{name}: required now"
        for name in () if sent else sorted((needed[0] - needed[1]) & set(after)):
            yield f"{where}.{name}: may be left out now"

    def _resolved(self, document: Json, shape: Json) -> Json:
        reference = str(shape.get("$ref", ""))
        if not reference:
            return shape
        found: Json = document["components"]["schemas"][reference.rpartition("/")[2]]
        return found


def _body(operation: Json) -> Json:
    found: Json = operation["requestBody"]["content"]["application/json"]["schema"]
    return found


def _kinds(shape: Json) -> set[str]:
    """The JSON types that a shape takes, as far as it says; none for anything."""
    if "anyOf" in shape:
        return {kind for one in shape["anyOf"] for kind in _kinds(one) or {"object"}}
    kind = shape.get("type")
    return set(kind) if isinstance(kind, list) else {kind} if kind else set()


def _without_null(shape: Json) -> list[Json]:
    return [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]


def _narrower(where: str, old: Json, new: Json) -> Iterator[str]:
    values = [set(map(str, shape["enum"])) for shape in (old, new) if "enum" in shape]
    if "enum" in new and "enum" not in old:
        yield f"{where}: takes only some values now"
    elif len(values) == 2 and values[0] - values[1]:
        yield f"{where}: takes no {', '.join(sorted(values[0] - values[1]))} any more"
    for word, narrower in _NARROWER.items():
        if word in new and (word not in old or narrower(old[word], new[word])):
            yield f"{where}: {word} is {new[word]} now"
