"""Groups of latents with the same concept, and latents with two meanings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import sparse

from recsae.concepts.grouping import CONFIRMING, RULE, groups, meanings
from recsae.evidence.cases import LatentCases


def test_a_group_shares_terms_or_a_name_ignoring_case() -> None:
    found = groups(
        {
            7: ("War", ["War"]), 3: ("Battles", ["war"]), 9: ("BATTLES", []), 1: ("Space", ["Space", "Old"]),
            4: ("Rockets", ["old", "space"]), 5: ("Old", ["Old"]), 2: ("Free", []), 8: ("Other", []),
        }
    )  # fmt: skip
    assert found == {7: 3, 3: 3, 9: 3, 1: 1, 4: 1, 5: 5, 2: 2, 8: 8}
    assert groups({}) == {}


def test_a_latent_may_link_two_groups() -> None:
    """The third latent has the name of the first and the terms of the second."""
    assert set(groups({1: ("A", ["x"]), 2: ("B", ["y"]), 3: ("a", ["Y"])}).values()) == {1}
    assert groups({1: ("A", ["x"]), 2: ("B", ["y"]), 3: ("c", ["Y"])}) == {1: 1, 2: 2, 3: 2}


A, B, BROAD, RARE = range(4)
# Items 0 to 9 have A, 10 to 19 B, 20 to 29 neither, 30 both; all even items have BROAD, item 0 has RARE.
HAS_TERM = np.zeros((31, 4), dtype=np.float32)
HAS_TERM[:10, A] = HAS_TERM[10:20, B] = HAS_TERM[30, [A, B]] = HAS_TERM[::2, BROAD] = HAS_TERM[0, RARE] = 1
BACKGROUND = {A: 0.1, B: 0.1, BROAD: 0.45, RARE: 0.01}


def latent(explain: Sequence[int], select: Sequence[int]) -> LatentCases:
    items = np.array([*explain, *select, 25, 25])
    parts = ["explain"] * len(explain) + ["select"] * len(select) + ["explain", "select"]
    roles = ["top", "level"] * len(items)
    role = np.array([*roles[: len(items) - 2], "random", "random"], dtype=object)
    return LatentCases(np.array(parts, dtype=object), role, items, np.arange(len(items)))


def found(
    explain: Sequence[int],
    select: Sequence[int],
    candidates: Sequence[int] = (BROAD, B, A),
    chosen: Sequence[int] = (A,),
    background: dict[int, float] = BACKGROUND,
) -> tuple[int, int] | None:
    return meanings(latent(explain, select), candidates, chosen, sparse.csr_matrix(HAS_TERM), background.__getitem__)


ODD_A, ODD_B = [1, 3, 5, 7, 9], [11, 13, 15, 17, 19]
MIXTURE = [*ODD_A, *ODD_B] * 2


def test_a_planted_mixture_is_found() -> None:
    assert found(MIXTURE, MIXTURE) == (B, A)
    assert found(MIXTURE + [21, 23] * 3, MIXTURE) == (B, A)  # some cases have neither term


@pytest.mark.parametrize(
    ("explain", "select"),
    [
        (ODD_A * 4, ODD_A * 4),  # pure
        (ODD_A * 4 + ODD_B, MIXTURE),  # mostly A, which covers .8
        (MIXTURE, ODD_A * 4),  # not confirmed by select users
        (MIXTURE, []),
        ([], MIXTURE),
        (MIXTURE + [21, 23, 25] * 4, MIXTURE),  # together they cover .625
        (MIXTURE + [30] * 4, MIXTURE),  # 4 of 24 have both
        ([0, 2, 4, 6, 8, *ODD_B[:2], 10, 12], MIXTURE),  # a broader term covers most of both
    ],
)
def test_these_are_not_mixtures(explain: list[int], select: list[int]) -> None:
    assert found(explain, select) is None


def test_terms_must_be_candidates_of_the_latent_and_rarer_elsewhere() -> None:
    assert found(MIXTURE, MIXTURE, candidates=(BROAD, A)) is None
    assert found(MIXTURE, MIXTURE, background={**BACKGROUND, A: 0.3}) is None  # lift 1.67
    assert found(MIXTURE, MIXTURE, candidates=(A, B), chosen=()) == (A, B)
    # The chosen concept covers everything, though it is not a candidate.
    even = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert found(even, even, candidates=(A, B), chosen=(A,)) == (A, B)
    assert found(even, even, candidates=(A, B), chosen=(BROAD,)) is None


def test_select_users_confirm_by_a_looser_rule() -> None:
    loose = ODD_A * 2 + ODD_B * 1 + [21, 23, 25, 27] * 2  # A .43, B .22, together .65
    assert found(loose, loose) is None and found(MIXTURE, loose) == (B, A)
    assert CONFIRMING.share == pytest.approx(0.1875) and CONFIRMING.single == pytest.approx(0.8)
    assert CONFIRMING.overlap > RULE.overlap and CONFIRMING.together < RULE.together
