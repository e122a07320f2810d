"""Rows that are written once: refused to be altered or deleted before the database has to."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model)


class HistoryIsWrittenOnce(TypeError):
    """An attempt to alter or delete an append-only row."""


class OnceQuerySet(models.QuerySet[Row]):
    """Reads and appends; everything else is refused."""

    def update(self, **_kwargs: Any) -> NoReturn:
        raise HistoryIsWrittenOnce("History is never altered.")

    def delete(self) -> NoReturn:
        raise HistoryIsWrittenOnce("History is never deleted, only pruned by age.")

    def prune(self) -> int:
        """Delete without reading the rows; the database wants a PruningPermit that covers them."""
        return int(self._raw_delete(self.db) or 0)  # None: the filter matches nothing


class WrittenOnce(models.Model):
    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise HistoryIsWrittenOnce("History is never altered.")
        super().save(*args, **kwargs)

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise HistoryIsWrittenOnce("History is never deleted, only pruned by age.")
