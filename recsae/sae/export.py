"""Export of an SAE to the formats of SAELens 6 and sparsify: a folder with `cfg.json` and a file of weights.

Centring and scaling are folded into the weights, so that the exported SAE takes raw activations. With x̃ = (x − m) / s,

    W_enc' = W_enc    b_dec' = m + s b_dec    b_enc' = s (b_enc + W_enc b_dec)    W_dec' = W_dec    θ' = s θ
    W_enc' (x − b_dec') + b_enc' = s (W_enc x̃ + b_enc)          z' W_dec' + b_dec' = x̂ with z' = s z

Both formats subtract b_dec from their input. Decoder rows keep unit norm, so exported latents are s times ours; s is
`latents_scale` in `cfg.json`, under the key `recsae`, which both libraries ignore. Neither library is imported.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import pyarrow.fs as pafs
import safetensors.torch
import torch
from torch import Tensor

from recsae.errors import BadInput
from recsae.sae.model import Sae
from recsae.store.filesystem import Folder, as_json

Format = Literal["saelens", "sparsify"]
CONFIG = "cfg.json"
WEIGHTS = {"saelens": "sae_weights.safetensors", "sparsify": "sae.safetensors"}
ARCHITECTURES = {"topk": "topk", "batchtopk": "jumprelu", "matryoshka": "jumprelu", "relu": "standard"}
"""SAELens's name for each trained kind. Its `jumprelu` keeps pre-activations above a learnt threshold."""


class Exported(NamedTuple):
    """The files that `write` wrote, and what is in them."""

    files: tuple[str, ...]
    architecture: str
    latents_scale: float
    """Factor between the exported latents and the SAE's own."""


class Folded(NamedTuple):
    """float32 weights for raw activations. Shape suffixes: D width of the activations, H latents."""

    W_enc_HD: Tensor
    b_enc_H: Tensor
    W_dec_HD: Tensor
    b_dec_D: Tensor
    threshold: Tensor


def fold(sae: Sae) -> Folded:
    """The weights with centring and scaling folded in.

    They are computed in float64, because a mean may be much larger than the scale.
    """
    state = {name: value.detach().cpu().double() for name, value in sae.state_dict().items()}
    W_enc_HD, b_dec_D, scale = state["W_enc"], state["b_dec"], state["scale"]
    folded = Folded(
        W_enc_HD,
        scale * (state["b_enc"] + W_enc_HD @ b_dec_D),
        state["W_dec"],
        state["mean_D"] + scale * b_dec_D,
        scale * state["threshold"],
    )
    return Folded(*(tensor.float().contiguous() for tensor in folded))


def write(sae: Sae, form: Format, target: Folder) -> Exported:
    """Write the weights and then `cfg.json` into `target`, which must be empty or missing.

    Raises BadInput if the format does not support this kind of SAE, or if `target` has contents or cannot be written.
    """
    config, weights = _saelens(sae) if form == "saelens" else _sparsify(sae)
    contents = {WEIGHTS[form]: safetensors.torch.save(weights), CONFIG: as_json(config)}
    _refuse_nonempty(target)
    try:
        for name, content in contents.items():
            target.put(name, content)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        _remove(target, list(contents))
        raise BadInput(f"{target.uri}: cannot be written ({reason}); give a writable folder") from None
    return Exported(tuple(contents), config.get("architecture", "topk"), float(sae.scale))


def _saelens(sae: Sae) -> tuple[dict[str, Any], dict[str, Tensor]]:
    folded, architecture = fold(sae), ARCHITECTURES[sae.kind]
    config: dict[str, Any] = {
        "architecture": architecture,
        "d_in": sae.width,
        "d_sae": sae.num_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        # Without a version SAELens takes the file for one of version 5.
        "metadata": {"sae_lens_version": "6.0.0", "recsae": _metadata(sae)},
    }
    weights = {
        "W_enc": folded.W_enc_HD.T.contiguous(),
        "b_enc": folded.b_enc_H,
        "W_dec": folded.W_dec_HD,
        "b_dec": folded.b_dec_D,
    }
    if architecture == "topk":
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    if architecture == "jumprelu":
        weights["threshold"] = torch.full((sae.num_latents,), float(folded.threshold))
    return config, weights


def _sparsify(sae: Sae) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if sae.kind != "topk":
        raise BadInput(f'sae.kind = "{sae.kind}": sparsify supports only topk; train that kind, or export to saelens')
    folded = fold(sae)
    config = {
        "activation": "topk",
        "d_in": sae.width,
        "expansion_factor": max(1, sae.num_latents // sae.width),
        "k": sae.k,
        "multi_topk": False,
        "normalize_decoder": True,
        "num_latents": sae.num_latents,
        "skip_connection": False,
        "transcode": False,
        "recsae": _metadata(sae),
    }
    weights = {
        "encoder.weight": folded.W_enc_HD,
        "encoder.bias": folded.b_enc_H,
        "W_dec": folded.W_dec_HD,
        "b_dec": folded.b_dec_D,
    }
    return config, weights


def _metadata(sae: Sae) -> dict[str, Any]:
    return {"kind": sae.kind, "k": sae.k, "latents_scale": float(sae.scale)}


def _refuse_nonempty(target: Folder) -> None:
    filesystem, path = target.filesystem, target.path
    kind = filesystem.get_file_info(path).type
    if kind == pafs.FileType.NotFound:
        return
    if kind != pafs.FileType.Directory:
        raise BadInput(f"{target.uri}: is a file; give a folder that is empty or does not exist")
    if filesystem.get_file_info(pafs.FileSelector(path)):
        raise BadInput(f"{target.uri}: is not empty; give a folder that is empty or does not exist")


def _remove(target: Folder, names: list[str]) -> None:
    """Delete those of `names` that exist; the folder was empty before the export."""
    for name in set(target.list()) & set(names):
        target.filesystem.delete_file(target.locate(name))
