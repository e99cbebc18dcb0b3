"""Names for all latents of a dictionary, no two alike.

A formula or behaviour is read out; a set or list of items is called by the short formula that its items share, where
there is one, and by titles. Latents that share such a heading are a group, named by it; its members are told apart by
titles that tell for one of them and for none of the others: `1990s: Clueless, Quiz Show`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from recsae.concepts.headings import cut, short_title
from recsae.statements.wording import listed

LENGTH = 80
"""Most characters of a name."""
HEADING = 44
"""Most characters of a heading that titles follow."""
SHORTEST = 12
"""Where a title would have to be shorter, fewer are named."""
SHOWN_UNDER_HEADING, SHOWN = 2, 3
"""Titles after a heading, and without one."""
VIEWS: Mapping[str, str] = {
    "recommended": "recommended",
    "last": "just before",
    "history": "in the history",
    "item": "item",
}


class Described(NamedTuple):
    """What a latent's name is made of."""

    latent: int
    view: str
    heading: str | None
    """A formula, behaviour or text in a few words; of items, what they share. None where only titles can tell."""
    key: Hashable
    """Equal for latents with the same heading; None without one."""
    around: bool
    """Whether the statement is about the items below, so that the name holds their titles."""
    listed: bool
    """Whether it names just these items, not those around them."""
    telling: Sequence[int]
    """item_idx, the most telling first."""


class ConceptName(NamedTuple):
    """A latent's name and its group."""

    name: str
    group: int
    """The first latent of the group."""
    group_name: str
    group_size: int


def name_latents(described: Iterable[Described], titles: Sequence[str]) -> dict[int, ConceptName]:
    """The name of every latent; `titles` by item_idx. The order of `described` does not matter."""
    by_latent = sorted(described)
    members: dict[Hashable, list[Described]] = defaultdict(list)
    for one in by_latent:
        members[("latent", one.latent) if one.key is None else one.key].append(one)
    choices = {one.latent: _Choices(one, of, titles) for of in members.values() for one in of}
    chosen: dict[int, str] = {}
    taken: set[str] = set()
    for one in by_latent:
        name = next(name for name in choices[one.latent].best_first() if name.casefold() not in taken)
        taken.add(name.casefold())
        chosen[one.latent] = name
    found = {}
    for of in members.values():
        first = of[0]
        group_name = chosen[first.latent] if len(of) == 1 else cut(first.heading or "", LENGTH)
        for one in of:
            found[one.latent] = ConceptName(chosen[one.latent], first.latent, group_name, len(of))
    return dict(sorted(found.items()))


def _distinguishing(one: Described, group: Sequence[Described]) -> list[int]:
    """Its telling items: those of fewest other members of the group first, then the most telling."""
    held = Counter(item for other in group if other is not one for item in set(other.telling))
    return sorted(dict.fromkeys(one.telling), key=lambda item: held[item])


class _Choices:
    """The names that a latent may have."""

    def __init__(self, one: Described, group: Sequence[Described], titles: Sequence[str]) -> None:
        self._one = one
        items = _distinguishing(one, group)
        self._short = list(dict.fromkeys(filter(None, (short_title(titles[item]) for item in items))))
        self._full = list(dict.fromkeys(filter(None, (" ".join(titles[item].split()) for item in items))))
        read_out = not any(other.around for other in group)
        self._by_view = read_out and len(group) > 1 and len({other.view for other in group}) == len(group)
        self._read_out = read_out and len(group) == 1

    def best_first(self) -> Iterator[str]:
        """The heading alone, with its view, or with titles; more titles; the last is made different by its number."""
        if self._read_out:
            yield self._said(())
        if self._by_view:
            yield self._said((), view=True)
        few = SHOWN if self._one.heading is None else SHOWN_UNDER_HEADING
        for titles in (self._short, self._full):
            for shown in range(few, few + 3):
                yield self._said(titles[:shown])
                yield self._said(titles[:shown], view=True)
        number = f" (latent {self._one.latent})"
        yield cut(self._said(self._short[:few]), LENGTH - len(number)) + number

    def _said(self, titles: Sequence[str], view: bool = False) -> str:
        heading, ending = self._one.heading, f" ({VIEWS[self._one.view]})" if view else ""
        room = LENGTH - len(ending)
        if not titles:
            return cut(heading or f"latent {self._one.latent}", room) + ending
        before = "" if self._one.listed else "around "
        if heading is not None:
            before = cut(heading, HEADING) + ": "
        after = " and others" if self._one.listed else ""
        some = _fitted(titles, room - len(before) - len(after) - len(" and "))
        return before + (", ".join(some) if heading is not None or after else listed(some)) + after + ending


def _fitted(titles: Sequence[str], room: int) -> list[str]:
    """As many of the titles as are legible in `room` characters, the longest cut first."""
    some = list(titles[: max(1, room // (SHORTEST + 2))])
    limit = max(map(len, some))
    while limit > SHORTEST and sum(min(len(title), limit) + 2 for title in some) > room:
        limit -= 1
    return [cut(title, limit) for title in some]
