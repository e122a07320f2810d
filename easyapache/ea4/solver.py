"""The search behind a previewed transaction: which packages stay, come and go.

It answers as libsolv does under dnf with ``--allowerasing``, because the preview is worth
something only where it agrees with the server. The order of decisions is therefore libsolv's:

1. what was asked for is fixed, and everything that follows from it by necessity;
2. each installed package is kept if it still can be, an update of it counting as keeping;
3. what is then still required is chosen: an installed provider, else the last by name.

A decision that turns out impossible is taken back and the reason is learned as a new rule
(conflict-driven search). The input is sorted, so the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence

Rule = tuple[int, ...]
"""At least one of these literals holds: ``n`` = candidate n is in, ``-n`` = it is out."""


class Contradiction(Exception):
    """What was asked for is impossible. ``rules``: indexes of those that together forbid it."""

    def __init__(self, rules: Sequence[int]) -> None:
        super().__init__("the rules contradict each other")
        self.rules = tuple(rules)


class Search:
    """One question. ``count`` candidates, numbered from 1."""

    def __init__(self, count: int, rules: Sequence[Rule]) -> None:
        self._rules = list(rules)
        self._value = [0] * (count + 1)  # 1 in, -1 out, 0 open
        self._level = [0] * (count + 1)
        self._because: list[int] = [-1] * (count + 1)  # index of the rule that forced it
        self._trail: list[int] = []
        self._depth = 0
        self._done = 0
        self._starts: list[int] = []
        self._watch: dict[int, list[int]] = {}
        for index, rule in enumerate(self._rules):
            for literal in rule:
                self._watch.setdefault(-literal, []).append(index)
        # What each learned rule was derived from, to explain a contradiction with given rules.
        self._origin: dict[int, tuple[int, ...]] = {}
        self._given = len(self._rules)

    # -- reading ---------------------------------------------------------------------
    def is_in(self, candidate: int) -> bool:
        return self._value[candidate] > 0

    def is_open(self, candidate: int) -> bool:
        return self._value[candidate] == 0

    # -- the search ------------------------------------------------------------------
    def start(self) -> None:
        """Fix what follows from rules of one literal. Raises Contradiction."""
        for index, rule in enumerate(self._rules):
            if not rule:
                raise Contradiction([index])
            if len(rule) == 1 and not self._assign(rule[0], index):
                raise Contradiction(self._blame(index))
        self._settle()

    def try_in(self, candidate: int) -> bool:
        """Decide that ``candidate`` is in. False when that proved impossible: then something
        was learned, earlier decisions may have been taken back, and the caller looks anew."""
        self._depth += 1
        self._starts.append(len(self._trail))
        self._assign(candidate, -1)
        return self._settle()

    def unmet(self, given: Sequence[int]) -> tuple[int, ...] | None:
        """The open literals of the first of the ``given`` rules that nothing fulfils yet."""
        value = self._value
        for index in given:
            rule = self._rules[index]
            waiting: list[int] = []
            for literal in rule:
                state = value[literal] if literal > 0 else -value[-literal]
                if state > 0:
                    break
                if state == 0:
                    if literal < 0:
                        break  # its package is not in: asks for nothing
                    waiting.append(literal)
            else:
                if waiting:
                    return tuple(waiting)
        return None

    # -- inside ----------------------------------------------------------------------
    def _assign(self, literal: int, because: int) -> bool:
        candidate, wanted = (literal, 1) if literal > 0 else (-literal, -1)
        if self._value[candidate]:
            return self._value[candidate] == wanted
        self._value[candidate] = wanted
        self._level[candidate] = self._depth
        self._because[candidate] = because
        self._trail.append(literal)
        return True

    def _settle(self) -> bool:
        """Propagate; learn from every conflict until there is none. False if one was met."""
        clean = True
        while (conflict := self._propagate()) is not None:
            clean = False
            if self._depth == 0:
                raise Contradiction(self._blame(conflict))
            self._learn(conflict)
        return clean

    def _propagate(self) -> int | None:
        value, rules = self._value, self._rules
        while self._done < len(self._trail):
            literal = self._trail[self._done]
            self._done += 1
            for index in self._watch.get(literal, ()):
                free = 0
                for other in rules[index]:
                    state = value[other] if other > 0 else -value[-other]
                    if state > 0:
                        break
                    if state == 0:
                        if free:
                            break
                        free = other
                else:
                    if not free:
                        return index
                    self._assign(free, index)
        return None

    def _learn(self, conflict: int) -> None:
        """Derive the rule that forbids this conflict from happening again, and go back to
        the earliest decision at which it would have forced something."""
        seen: set[int] = set()
        learned: list[int] = []
        sources = [conflict]
        pending = 0
        position = len(self._trail)
        rule: Sequence[int] = self._rules[conflict]
        while True:
            for literal in rule:
                candidate = abs(literal)
                if candidate in seen:
                    continue
                if self._level[candidate] == 0:
                    sources.append(-candidate)  # fixed from the start: blame it when asked
                    continue
                seen.add(candidate)
                if self._level[candidate] == self._depth:
                    pending += 1
                else:
                    learned.append(literal)
            while True:
                position -= 1
                pivot = self._trail[position]
                if abs(pivot) in seen:
                    break
            pending -= 1
            if not pending:
                break
            because = self._because[abs(pivot)]
            sources.append(because)
            rule = [literal for literal in self._rules[because] if literal != pivot]
        back = max((self._level[abs(literal)] for literal in learned), default=0)
        index = len(self._rules)
        self._rules.append((-pivot, *learned))
        self._origin[index] = tuple(sources)
        for literal in self._rules[index]:
            self._watch.setdefault(-literal, []).append(index)
        self._undo_to(back)
        self._assign(-pivot, index)

    def _undo_to(self, depth: int) -> None:
        if depth >= self._depth:
            return
        keep = self._starts[depth]
        for literal in self._trail[keep:]:
            self._value[abs(literal)] = 0
        del self._trail[keep:]
        del self._starts[depth:]
        self._done = min(self._done, keep)
        self._depth = depth

    def _blame(self, conflict: int) -> list[int]:
        """The given rules behind a conflict among things fixed from the start."""
        found: list[int] = []
        done: set[int] = set()
        queue = [conflict]
        while queue:
            source = queue.pop(0)
            if source in done:
                continue
            done.add(source)
            if source < 0:
                because = self._because[-source]
                if because >= 0:
                    queue.append(because)
                continue
            if source in self._origin:
                queue.extend(self._origin[source])
                continue
            found.append(source)
            queue.extend(-abs(literal) for literal in self._rules[source])
        return found
