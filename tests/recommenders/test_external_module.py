"""Exported programs behave like their modules; unusable factories, weights and programs are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recsae.errors import BadInput
from recsae.recommenders import external_files
from recsae.recommenders.external import ExternalRecommender
from recsae.recommenders.external_files import ExternalFiles
from tests.recommenders import external_models
from tests.recommenders.external_world import (  # fmt: skip
    LENGTH,
    MASKED,
    N_TOKENS,
    TOKENS,
    WIDTH,
    config_of,
    histories_of,
    hugging_face,
    made,
    seeded,
)


def exported(path: Path, module: nn.Module, named: bool, **kept: int) -> None:
    """Write a program whose batch and length are free but for what `kept` fixes."""
    size = kept.get("batch", 3), kept.get("length", 7)
    free = {0: torch.export.Dim("batch")} if "batch" not in kept else {}
    if "length" not in kept:
        free[1] = torch.export.Dim("length", max=LENGTH)
    tensors = {"items": torch.ones(size, dtype=torch.int64), "mask": torch.ones(size, dtype=torch.int64)}
    program = torch.export.export(
        module,
        () if named else tuple(tensors.values()),
        tensors if named else None,
        dynamic_shapes=dict.fromkeys(tensors, free or None),
    )
    torch.export.save(program, path)


def program_of(path: Path, **foreign: Any) -> dict[str, Any]:
    return {"program": str(path), "inputs": MASKED, **foreign}


class Joined(nn.Module):
    """GPT-2 as it is exported: plain tensors in and out, positions counted from the mask."""

    def __init__(self) -> None:
        super().__init__()
        self.gpt = hugging_face("").module()

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        place = (mask.cumsum(1) - 1).clamp(min=0)
        logits: Tensor = self.gpt(input_ids=items, attention_mask=mask, position_ids=place).logits
        return logits


@pytest.mark.slow
@torch.inference_mode()
@pytest.mark.parametrize(
    ("build", "site"),
    [(made("Running").module, "first"), (Joined, "gpt.transformer.h.1"), (Joined, "gpt.transformer.h.0")],
)
def test_a_program_does_as_the_module_it_was_exported_from(
    build: Callable[[], nn.Module], site: str, tmp_path: Path
) -> None:
    module = seeded(build)
    exported(tmp_path / "p.pt2", module, named=True)
    state, histories = (tmp_path / "p.pt2").read_bytes(), histories_of()
    for padding in ("right", "left"):
        config = config_of(program_of(tmp_path / "p.pt2", padding=padding))
        model = external_files.build_model(config, ExternalFiles(state, TOKENS), site, "cpu")
        plain = ExternalRecommender(model.config, module, TOKENS, LENGTH, site, "cpu")
        h_BLD, edit_BLD = model.probe(histories), torch.randn(3, 10, model.width)
        real_BL = model.ask(histories).real_BL
        torch.testing.assert_close(h_BLD[real_BL], plain.probe(histories)[real_BL], atol=1e-6, rtol=1e-5)
        for edited in (h_BLD, h_BLD + edit_BLD):
            ours, theirs = model.proceed(edited, histories), plain.proceed(edited, histories)
            torch.testing.assert_close(ours[real_BL], theirs[real_BL], atol=1e-5, rtol=1e-4)
        assert model.every_position and (model.width, model.out_width) == (WIDTH, N_TOKENS)


def test_a_program_of_one_length_is_always_filled_up_to_it(tmp_path: Path) -> None:
    path = tmp_path / "p.pt2"
    exported(path, seeded(made("Running").module), named=True, length=LENGTH)
    parts = ExternalFiles(path.read_bytes(), TOKENS)
    config = config_of(program_of(path, fixed_length=True, padding="left"))
    assert external_files.build_model(config, parts, "first", "cpu").probe(histories_of()).shape == (3, 10, WIDTH)
    for foreign, length in ((program_of(path), LENGTH), (program_of(path, fixed_length=True), LENGTH - 1)):
        with pytest.raises(BadInput, match=r"exported for 10 positions and no others; set .*fixed_length = true"):
            external_files.build_model(config_of(foreign, length), parts, "first", "cpu")


@pytest.mark.slow
def test_programs_that_cannot_be_asked(tmp_path: Path) -> None:
    path, module = tmp_path / "p.pt2", seeded(made("Running").module)

    def refusal(**foreign: Any) -> str:
        config, parts = config_of(program_of(path, **foreign)), ExternalFiles(path.read_bytes(), TOKENS)
        with pytest.raises(BadInput) as refused:
            external_files.build_model(config, parts, "first", "cpu")
        assert "\n" not in str(refused.value)
        return str(refused.value)

    exported(path, module, named=True, batch=3)
    assert "exported for a batch of 3; export it with dynamic_shapes" in refusal()
    exported(path, module, named=False)
    assert 'it takes "", "" ("" is one without a name), and recommender.foreign.inputs gives items, mask' in refusal()
    exported(path, module, named=True)
    assert 'it takes items, mask ("" is one without a name), and recommender.foreign.inputs gives ids' in refusal(
        inputs={"ids": "items"}
    )
    path.write_bytes(b"PK no program")
    assert "no exported program; write one with torch.export.save" in refusal()
    exported(path, seeded(lambda: external_models.Dropping(N_TOKENS, WIDTH)), named=True)
    assert "two runs of the same history differ" in refusal()
