"""Names: all different, bounded, and the same whatever the order in which latents come."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

from recsae.concepts.names import LENGTH, Described, name_latents

TITLES = [
    "Clueless (1995)",
    "Quiz Show (1994)",
    "Broken Arrow (1996)",
    "Piano, The (1993)",
    "Heat (1995)",
    "Heat (1972)",
]


def one(
    latent: int,
    heading: str | None,
    telling: Sequence[int] = (),
    *,
    view: str = "last",
    around: bool = False,
    listed: bool = False,
    key: Hashable = None,
) -> Described:
    return Described(latent, view, heading, key or heading, around or listed, listed, telling)


def names(described: Sequence[Described], titles: Sequence[str] = TITLES) -> list[str]:
    found = name_latents(described, titles)
    assert list(found) == sorted(one.latent for one in described)
    assert len({one.name.casefold() for one in found.values()}) == len(found)
    assert all(0 < len(one.name) <= LENGTH and len(one.group_name) <= LENGTH for one in found.values())
    return [one.name for one in found.values()]


def test_each_kind_is_named_in_its_way() -> None:
    assert names(
        [
            one(0, "Comedy, not Drama", [0, 1]),
            one(1, "1990s Comedy", [0, 1, 2], around=True),
            one(2, None, [0, 1, 2, 3], around=True),
            one(3, None, [3, 2, 1, 0], listed=True),
            one(4, "since 2000", [3, 2], listed=True),
        ]
    ) == [
        "Comedy, not Drama",
        "1990s Comedy: Clueless, Quiz Show",
        "around Clueless, Quiz Show and Broken Arrow",
        "The Piano, Broken Arrow, Quiz Show and others",
        "since 2000: The Piano, Broken Arrow and others",
    ]


def test_in_a_group_each_is_named_by_items_that_the_others_lack() -> None:
    described = [one(2, "1990s", [0, 1, 2, 3], around=True), one(5, "1990s", [0, 1, 4], around=True), one(7, "2000s")]
    found = name_latents(described, TITLES)
    assert {latent: name.name for latent, name in found.items()} == {
        2: "1990s: Broken Arrow, The Piano",
        5: "1990s: Heat, Clueless",
        7: "2000s",
    }
    assert [(name.group, name.group_name, name.group_size) for name in found.values()] == [
        (2, "1990s", 2),
        (2, "1990s", 2),
        (7, "2000s", 1),
    ]


def test_views_alone_tell_formulas_apart() -> None:
    views = [one(0, "1990s", [0, 1], view="recommended"), one(1, "1990s", [2, 3]), one(2, "1990s", [4], view="history")]
    assert names(views) == ["1990s (recommended)", "1990s (just before)", "1990s (in the history)"]
    assert names([*views, one(3, "1990s", [5])])[1:] == [
        "1990s: Broken Arrow, The Piano",
        "1990s: Heat",
        "1990s: Heat (just before)",
    ]


def test_what_nothing_tells_apart_is_numbered() -> None:
    same = [one(latent, "1990s", [4, 5], around=True) for latent in range(6)]
    found = names(same)
    assert found[0] == "1990s: Heat" and found[2] == "1990s: Heat (1995), Heat (1972)"
    assert found[-1] == "1990s: Heat (latent 5)"


def test_case_does_not_tell_apart_and_names_of_other_groups_are_taken() -> None:
    assert names([one(0, "Heat", key="a"), one(1, "HEAT", [0], key="b")]) == ["Heat", "HEAT: Clueless"]


def test_names_are_bounded_unescaped_and_do_not_depend_on_order() -> None:
    draw = random.Random(0)
    titles = [("<i>" + "word " * draw.randint(1, 60)).strip() + str(number) for number in range(60)]
    titles += ["x" * 500, "", "  "]
    described = [
        one(
            latent,
            draw.choice([None, "Comedy", "long " * 40, "1990s"]),
            draw.sample(range(len(titles)), draw.randint(0, 8)),
            view=draw.choice(["last", "recommended", "history"]),
            around=draw.random() < 0.5,
        )
        for latent in range(200)
    ]
    found = names(described, titles)
    assert any("<i>" in name for name in found)
    draw.shuffle(described)
    assert names(described, titles) == found
