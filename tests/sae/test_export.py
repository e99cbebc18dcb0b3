"""Exported SAEs, computed from the files alone as the two libraries compute them, against the SAE itself.

The libraries' own loading is checked in their environment by `python bench/sae.py --check-exports`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from recsae.config.sae import Kind
from recsae.errors import BadInput
from recsae.sae import export
from recsae.sae.model import Sae
from recsae.store.filesystem import Folder

WIDTH, LATENTS, K, ROWS = 6, 20, 4, 50
KINDS: tuple[Kind, ...] = ("topk", "batchtopk", "matryoshka", "relu")


def random_sae(kind: Kind = "topk") -> Sae:
    """Weights with nothing tied or zero, a centre far from 0, a scale, and where the kind has one a threshold."""
    torch.manual_seed(0)
    sae = Sae(WIDTH, LATENTS, kind, K).requires_grad_(False)
    sae.W_enc.copy_(torch.randn(LATENTS, WIDTH))
    sae.b_enc.copy_(torch.randn(LATENTS) / 2)
    sae.b_dec.copy_(torch.randn(WIDTH))
    sae.mean_D.copy_(torch.randn(WIDTH) * 10)
    sae.scale.fill_(2.5)
    sae.threshold.fill_(0.7 if kind in ("batchtopk", "matryoshka") else 0.0)
    return sae


def raw(sae: Sae) -> torch.Tensor:
    return sae.mean_D + sae.scale * torch.randn(ROWS, WIDTH)


def dense(sae: Sae, x: torch.Tensor) -> np.ndarray:
    """All latents of the SAE, `(B, H)`, in its own units."""
    code = torch.zeros(len(x), sae.num_latents)
    encoded = sae.encode(x)
    for row, (index_K, value_K) in enumerate(zip(encoded.index_BK.long(), encoded.value_BK, strict=True)):
        code[row, index_K[value_K > 0]] = value_K[value_K > 0]
    return code.numpy()


def written(sae: Sae, form: export.Format, folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    export.write(sae, form, Folder(str(folder)))
    weights = "sae_weights.safetensors" if form == "saelens" else "sae.safetensors"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["cfg.json", weights])
    return json.loads((folder / "cfg.json").read_text()), load_file(folder / weights)


def k_largest(pre: np.ndarray, k: int) -> np.ndarray:
    kth = np.sort(pre, axis=1)[:, -k][:, None]
    return np.where(pre >= kth, pre, 0)


def saelens(config: dict[str, Any], weights: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents and reconstructions as SAELens 6 computes them: process_sae_in, encode and decode of its classes."""
    pre = (x - weights["b_dec"] * config["apply_b_dec_to_input"]) @ weights["W_enc"] + weights["b_enc"]
    if config["architecture"] == "topk":
        code = k_largest(pre, config["k"])
    else:
        code = np.where(pre > weights.get("threshold", 0), pre, 0)
    code = np.maximum(code, 0)
    return code, code @ weights["W_dec"] + weights["b_dec"]


def sparsify(config: dict[str, Any], weights: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same as sparsify computes them: SparseCoder.encode and decode."""
    pre = np.maximum((x - weights["b_dec"]) @ weights["encoder.weight"].T + weights["encoder.bias"], 0)
    code = k_largest(pre, config["k"])
    return code, code @ weights["W_dec"] + weights["b_dec"]


CASES = [(kind, "saelens") for kind in KINDS] + [("topk", "sparsify")]


@pytest.mark.parametrize(("kind", "form"), CASES)
def test_the_files_alone_give_the_latents_and_reconstructions_of_raw_activations(
    kind: Kind, form: export.Format, tmp_path: Path
) -> None:
    sae = random_sae(kind)
    x = raw(sae)
    formula = saelens if form == "saelens" else sparsify
    code, reconstructed = formula(*written(sae, form, tmp_path / "out"), x.numpy())
    expected = dense(sae, x)
    assert (expected > 0).any() and not (expected > 0).all()
    np.testing.assert_allclose(code, 2.5 * expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(reconstructed, sae.reconstruct(x).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "architecture"), list(export.ARCHITECTURES.items()))
def test_saelens_finds_the_names_shapes_and_keys_that_it_reads(kind: Kind, architecture: str, tmp_path: Path) -> None:
    config, weights = written(random_sae(kind), "saelens", tmp_path)
    shapes = {"W_enc": (WIDTH, LATENTS), "b_enc": (LATENTS,), "W_dec": (LATENTS, WIDTH), "b_dec": (WIDTH,)}
    if architecture == "jumprelu":
        shapes["threshold"] = (LATENTS,)
    assert {name: array.shape for name, array in weights.items()} == shapes
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert config["architecture"] == architecture
    assert (config["d_in"], config["d_sae"], config["dtype"]) == (WIDTH, LATENTS, "float32")
    assert config["apply_b_dec_to_input"] is True and config["normalize_activations"] == "none"
    assert config.get("k") == (K if kind == "topk" else None)
    assert config["metadata"]["sae_lens_version"].startswith("6."), "or it is read as a file of SAELens 5"
    assert config["metadata"]["recsae"] == {"kind": kind, "k": K, "latents_scale": 2.5}
    if kind == "topk":
        assert config["rescale_acts_by_decoder_norm"] is False


def test_sparsify_finds_the_names_shapes_and_keys_that_it_reads(tmp_path: Path) -> None:
    config, weights = written(random_sae(), "sparsify", tmp_path)
    assert {name: array.shape for name, array in weights.items()} == {
        "encoder.weight": (LATENTS, WIDTH),
        "encoder.bias": (LATENTS,),
        "W_dec": (LATENTS, WIDTH),
        "b_dec": (WIDTH,),
    }
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert (config["d_in"], config["num_latents"], config["k"]) == (WIDTH, LATENTS, K)
    assert config["activation"] == "topk" and config["transcode"] is False and config["skip_connection"] is False


@pytest.mark.parametrize("form", ["saelens", "sparsify"])
def test_decoder_rows_keep_unit_norm(form: export.Format, tmp_path: Path) -> None:
    _, weights = written(random_sae(), form, tmp_path)
    np.testing.assert_allclose(np.linalg.norm(weights["W_dec"], axis=1), 1, rtol=1e-5)


def test_a_centre_far_above_the_scale_costs_no_precision(tmp_path: Path) -> None:
    sae = random_sae()
    sae.mean_D.mul_(1000)
    x = raw(sae)
    config, weights = written(sae, "saelens", tmp_path)
    _, reconstructed = saelens(config, weights, x.numpy())
    np.testing.assert_allclose(reconstructed - x.numpy(), (sae.reconstruct(x) - x).numpy(), atol=0.05)


@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka", "relu"])
def test_sparsify_refuses_what_it_does_not_know_and_nothing_is_written(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f'sae.kind = "{kind}": sparsify supports only topk'):
        export.write(random_sae(kind), "sparsify", Folder(str(tmp_path / "out")))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text("mine")
    with pytest.raises(BadInput, match="is not empty"):
        export.write(random_sae(), "saelens", Folder(str(tmp_path)))
    assert (tmp_path / "cfg.json").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(BadInput, match="is a file"):
        export.write(random_sae(), "saelens", Folder(str(tmp_path / "cfg.json")))


def test_what_failed_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Folder.put

    def fails_at_the_config(self: Folder, name: str, content: bytes) -> None:
        if name == "cfg.json":
            raise OSError("disk full")
        put(self, name, content)

    monkeypatch.setattr(Folder, "put", fails_at_the_config)
    with pytest.raises(BadInput, match=r"cannot be written \(disk full\)"):
        export.write(random_sae(), "saelens", Folder(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
