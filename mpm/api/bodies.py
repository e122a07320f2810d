"""Reads the body of a request as RFC 8259 has it, where Python is more generous.

UTF-8 only, no NaN, and no member twice: programs differ in which of two they take, so a request
that one part checked could be another one to the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser


class BadBody(ValueError):
    """The body cannot be read; the message is for the client."""


class StrictParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        """Raises BadBody."""
        return read(request.body)


def read(body: bytes) -> Any:
    """The value of a JSON text. Raises BadBody."""
    try:
        return json.loads(
            body.decode("utf-8-sig"), object_pairs_hook=_members, parse_constant=_no_number
        )
    except UnicodeDecodeError as error:
        raise BadBody(f"The body is not UTF-8: see byte {error.start + 1}.") from error
    except json.JSONDecodeError as error:
        raise BadBody(
            f"The body is not JSON: see line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise BadBody("The body is nested too deeply.") from error
    except BadBody:
        raise
    except ValueError as error:
        raise BadBody("The body has a number that is too long.") from error


def _members(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadBody(f"The body has the member {name[:60]!r} twice.")
        found[name] = value
    return found


def _no_number(text: str) -> NoReturn:
    raise BadBody(f"The body is not JSON: {text} is not a number there.")
