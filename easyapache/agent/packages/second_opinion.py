"""Gets the plan of this server's WHM, besides dnf's: ``package_manager_resolve_actions``.

WHM's EasyApache 4 pages resolve a selection with this function of WHM API 1 before they provision
it. It changes nothing. With ``ns=ea`` its input is the complete set of wanted packages, and its
answer has ``install``, ``uninstall``, ``upgrade`` and ``unaffected`` (api.docs.cpanel.net, 11.138;
that unlisted packages of the namespace are removed follows from its wording and from the meaning of
profiles). As root on the server ``whmapi1`` needs no token.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from easyapache.agent.runner import Runner
from easyapache.agent.server import HostError
from easyapache.ea4.opinion import Opinion
from easyapache.ea4.schema import BadMessage
from easyapache.ea4.sentences import Sentence

PROGRAM = "usr/local/cpanel/bin/whmapi1"
FUNCTION = "package_manager_resolve_actions"
LIMIT = 10.0
"""Seconds that a plan waits for it."""
LARGEST = 1 << 20
"""Bytes of the answer. One with every package of EasyApache 4 has a twentieth of it."""


def resolve_by_whm(root: Path, runner: Runner, wanted: Sequence[str]) -> Opinion | None:
    """WHM's plan to install exactly ``wanted``; None if there is no WHM. Raises HostError
    ``no_answer`` if its answer can't be used."""
    program = root / PROGRAM
    if not program.exists():
        return None
    packages = [f"package-{number}={name}" for number, name in enumerate(wanted)]
    argv = [str(program), "--output=json", FUNCTION, "ns=ea", *packages]
    finished = runner.capture(argv, limit=LIMIT, most=LARGEST)
    if not finished.ok:
        raise _useless(finished.text[-400:] or f"status {finished.status}")
    try:
        answer = json.loads(finished.stdout)
    except (ValueError, RecursionError) as error:
        raise _useless("its answer is not JSON") from error
    return _opinion(answer)


def _opinion(answer: Any) -> Opinion:
    data = answer.get("data") if isinstance(answer, dict) else None
    metadata = answer.get("metadata") if isinstance(answer, dict) else None
    if not isinstance(metadata, dict) or metadata.get("result") not in (1, "1"):
        reason = metadata.get("reason") if isinstance(metadata, dict) else None
        raise _useless(str(reason or "it does not say that it succeeded")[:400])
    if not isinstance(data, dict):
        raise _useless("its answer has no data")
    try:
        return Opinion.from_json(
            {"install": data.get("install") or [], "remove": data.get("uninstall") or []}
        )
    except BadMessage as error:
        raise _useless(str(error)[:400]) from error


def _useless(why: str) -> HostError:
    return HostError("no_answer", Sentence("WHM gave no second opinion."), "", why)
