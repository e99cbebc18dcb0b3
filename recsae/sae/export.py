"""An SAE in the formats of SAELens 6 and of sparsify: a folder with `cfg.json` and a file of weights.

Centring and scaling are folded in, so that the files take raw activations. With x̃ = (x − m) / s,

    W_enc' = W_enc    b_dec' = m + s b_dec    b_enc' = s (b_enc + W_enc b_dec)    W_dec' = W_dec    θ' = s θ
    W_enc' (x − b_dec') + b_enc' = s (W_enc x̃ + b_enc)          z' W_dec' + b_dec' = x̂ with z' = s z

Both formats subtract b_dec from their input. Latents come out s times ours, because decoder rows keep unit norm; s is
`latents_scale` in `cfg.json`, among facts of ours that both libraries pass over. It knows the SAE and the formats, and
neither library.
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
"""What SAELens calls each kind once it is trained. Above a learnt threshold is what it means by jumprelu."""


class Exported(NamedTuple):
    """What `write` wrote."""

    files: tuple[str, ...]
    architecture: str
    latents_scale: float
    """Latents of the files are so many times the SAE's own."""


class Folded(NamedTuple):
    """The SAE on raw activations, float32. Shape suffixes: D width of the activations, H latents."""

    W_enc_HD: Tensor
    b_enc_H: Tensor
    W_dec_HD: Tensor
    b_dec_D: Tensor
    threshold: Tensor


def fold(sae: Sae) -> Folded:
    """The weights with centring and scaling in them, summed in float64: a mean may be much larger than the scale."""
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
    """Write `cfg.json` and the weights into `target`, which must be empty or not there; the config last.

    Raises BadInput where the format has no such kind of SAE, and where `target` holds something or cannot be written.
    """
    config, weights = _saelens(sae) if form == "saelens" else _sparsify(sae)
    contents = {WEIGHTS[form]: safetensors.torch.save(weights), CONFIG: as_json(config)}
    _refuse_used(target)
    try:
        for name, content in contents.items():
            target.put(name, content)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        _remove(target, list(contents))
        raise BadInput(f"{target.uri}: cannot be written ({reason}); give a folder that can") from None
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
        # Without a version the file would be taken for one of SAELens 5.
        "metadata": {"sae_lens_version": "6.0.0", "recsae": _facts(sae)},
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
        raise BadInput(f'sae.kind = "{sae.kind}": sparsify knows topk alone; train that kind, or export to saelens')
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
        "recsae": _facts(sae),
    }
    weights = {
        "encoder.weight": folded.W_enc_HD,
        "encoder.bias": folded.b_enc_H,
        "W_dec": folded.W_dec_HD,
        "b_dec": folded.b_dec_D,
    }
    return config, weights


def _facts(sae: Sae) -> dict[str, Any]:
    return {"kind": sae.kind, "k": sae.k, "latents_scale": float(sae.scale)}


def _refuse_used(target: Folder) -> None:
    filesystem, path = target.filesystem, target.path
    kind = filesystem.get_file_info(path).type
    if kind == pafs.FileType.NotFound:
        return
    if kind != pafs.FileType.Directory:
        raise BadInput(f"{target.uri}: is a file; give a folder that is empty or not there")
    if filesystem.get_file_info(pafs.FileSelector(path)):
        raise BadInput(f"{target.uri}: holds files already; give a folder that is empty or not there")


def _remove(target: Folder, names: list[str]) -> None:
    """What of `names` is there; the folder was empty before."""
    for name in set(target.list()) & set(names):
        target.filesystem.delete_file(target.locate(name))
