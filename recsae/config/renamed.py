"""Keys of the config that have a new name. Files and `--set` may use the old name until the next release."""

from __future__ import annotations

from typing import Any

from recsae.errors import BadInput

RENAMED = {
    "data.oldest": "data.replay_fraction",
    "labels.ranked": "labels.finalists_per_ranking",
    "nights.match": "nights.match_threshold",
    "nights.unchanged": "nights.label_reuse_jaccard",
    "probe.searched": "probe.search_fraction",
    "steering.directions": "steering.null_directions",
    "steering.factor": "steering.target_multiple",
}


def take_old_names(tree: dict[str, Any]) -> set[str]:
    """Move values to their keys' new names, in place; returns the old names that were there.

    Raises BadInput where a key stands under both names.
    """
    found = set()
    for old, new in RENAMED.items():
        section_name, _, before = old.partition(".")
        now = new.rpartition(".")[2]
        section = tree.get(section_name)
        if isinstance(section, dict) and before in section:
            if now in section:
                raise BadInput(same_key(old))
            section[now] = section.pop(before)
            found.add(old)
    return found


def same_key(old: str) -> str:
    """Why a key cannot stand under both names."""
    return f"{old} and {RENAMED[old]} are the old and the new name of one key; leave {old} out"
