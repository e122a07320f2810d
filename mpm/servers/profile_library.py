"""The profiles of the panel: EasyApache 4's stock ones, and those saved or uploaded here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources

from django.db import IntegrityError, transaction
from django.dispatch import Signal

from easyapache.ea4.profile_file import BadProfile, ProfileFile, check_file_name, parse
from easyapache.ea4.sentences import Sentence
from mpm.servers.models import SavedProfile

STOCK = "stock"

moved = Signal()
"""Sent within the transaction that saves, overwrites, deletes or restores a profile, with ``kind``
(saved, uploaded, deleted, restored), ``row``, ``by``, ``at`` and ``who``: the author as known by
the interface, such as the request. An exception in a receiver undoes it."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """One profile of the library. ``key`` finds it again: ``stock-default``, ``own-12``."""

    key: str
    file_name: str
    origin: str
    file: ProfileFile
    row: SavedProfile | None = None

    @property
    def stock(self) -> bool:
        return self.origin == STOCK


class NameTaken(BadProfile):
    """Another profile has this file name, and overwriting was not requested."""


@cache
def stock_profiles() -> tuple[Shelved, ...]:
    """The ones EasyApache 4 ships, the default first."""
    folder = resources.files("easyapache.ea4") / "data" / "profiles"
    found = [
        Shelved(
            key=f"{STOCK}-{item.name.removesuffix('.json')}",
            file_name=item.name.removesuffix(".json"),
            origin=STOCK,
            file=parse(json.dumps(_complete(json.loads(item.read_bytes()))).encode()),
        )
        for item in folder.iterdir()
        if item.name.endswith(".json")
    ]
    return tuple(sorted(found, key=lambda one: (one.file_name != "default", one.file_name)))


def _complete(data: dict[str, object]) -> dict[str, object]:
    return {"desc": "", "tags": [], "version": "1.0"} | data


def saved_profiles() -> list[Shelved]:
    return [_shelved(row) for row in SavedProfile.objects.filter(deleted_at=None)]


def find(key: str) -> Shelved | None:
    """The profile of that key, or None. A deleted one is not found."""
    kind, _, rest = key.partition("-")
    if kind == STOCK:
        return next((one for one in stock_profiles() if one.key == key), None)
    if kind != "own" or not rest.isascii() or not rest.isdigit() or len(rest) > 18:
        return None
    row = SavedProfile.objects.filter(pk=int(rest), deleted_at=None).first()
    return _shelved(row) if row else None


def save(
    file: ProfileFile,
    *,
    file_name: str,
    origin: SavedProfile.Origin,
    by: str,
    at: datetime,
    overwrite: bool = False,
    who: object = None,
) -> Shelved:
    """Keep a profile. Raises BadProfile for a file name that cannot be, NameTaken for one that
    is taken while ``overwrite`` is false."""
    bare = check_file_name(file_name)
    values = {
        "origin": origin,
        "name": file.name,
        "desc": file.desc,
        "version": file.version,
        "tags": list(file.tags),
        "packages": list(file.packages),
        "extra": {**({"pre": list(file.pre)} if file.pre else {}), **file.extra},
        "saved_at": at,
        "saved_by": by,
    }
    try:
        with transaction.atomic():
            if overwrite:
                row, _ = SavedProfile.objects.update_or_create(
                    file_name=bare, deleted_at=None, defaults=values
                )
            else:
                row = SavedProfile.objects.create(file_name=bare, **values)
            kind = "uploaded" if origin == SavedProfile.Origin.UPLOADED else "saved"
            moved.send(SavedProfile, kind=kind, row=row, by=by, at=at, who=who)
    except IntegrityError as error:
        raise NameTaken(
            Sentence("A profile named {name}.json already exists.", name=bare)
        ) from error
    return _shelved(row)


def delete(shelved: Shelved, *, by: str, at: datetime, who: object = None) -> bool:
    """Take a saved profile away; False when it was away already or is a stock one."""
    if shelved.row is None:
        return False
    living = SavedProfile.objects.filter(pk=shelved.row.pk, deleted_at=None)
    with transaction.atomic():
        if living.update(deleted_at=at, deleted_by=by) != 1:
            return False
        moved.send(SavedProfile, kind="deleted", row=shelved.row, by=by, at=at, who=who)
    return True


def restore(pk: int, *, by: str, at: datetime, who: object = None) -> Shelved | None:
    """Undo a deletion. None when there is none, or its file name has been taken since."""
    try:
        with transaction.atomic():
            deleted = SavedProfile.objects.filter(pk=pk).exclude(deleted_at=None)
            if deleted.update(deleted_at=None, deleted_by="") != 1:
                return None
            row = SavedProfile.objects.get(pk=pk)
            moved.send(SavedProfile, kind="restored", row=row, by=by, at=at, who=who)
    except IntegrityError:
        return None
    return _shelved(row)


def _shelved(row: SavedProfile) -> Shelved:
    extra = dict(row.extra)
    return Shelved(
        key=f"own-{row.pk}",
        file_name=row.file_name,
        origin=row.origin,
        file=ProfileFile(
            name=row.name,
            desc=row.desc,
            version=row.version,
            tags=tuple(row.tags),
            packages=tuple(row.packages),
            pre=tuple(extra.pop("pre", ())),
            extra=extra,
        ),
        row=row,
    )
