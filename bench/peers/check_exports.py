"""Loads exported SAEs with the libraries that they were exported for; nothing of recsae is imported.

    bench/.peers/bin/python bench/peers/check_exports.py FOLDER

FOLDER holds, for each export, a folder `saelens-KIND` or `sparsify-KIND` and beside it an `.npz` of raw activations `x`
`(B, D)`, the latents `(B, H)` and the reconstructions `(B, D)` that are expected. `bench/sae.py --check-exports` makes
it. Prints one line of JSON: for each export the largest difference of latents and of reconstructions, as shares of the
largest latent and of the largest deviation from the mean.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from sae_lens import SAE
from sparsify import SparseCoder
from torch import Tensor


def through_saelens(folder: Path, x_BD: Tensor) -> tuple[Tensor, Tensor]:
    sae = SAE.load_from_disk(folder)
    latents_BH = sae.encode(x_BD)
    torch.testing.assert_close(sae(x_BD), sae.decode(latents_BH))
    return latents_BH, sae.decode(latents_BH)


def through_sparsify(folder: Path, x_BD: Tensor) -> tuple[Tensor, Tensor]:
    coder = SparseCoder.load_from_disk(folder)
    found = coder.encode(x_BD)
    latents_BH = torch.zeros(len(x_BD), coder.num_latents).scatter(1, found.top_indices, found.top_acts)
    return latents_BH, coder.decode(found.top_acts, found.top_indices)


@torch.inference_mode()
def main() -> None:
    exports = {}
    for expected in sorted(Path(sys.argv[1]).glob("*.npz")):
        arrays = {name: torch.from_numpy(array) for name, array in np.load(expected).items()}
        load = through_saelens if expected.stem.startswith("saelens-") else through_sparsify
        latents_BH, reconstructed_BD = load(expected.with_suffix(""), arrays["x"])
        deviation = (arrays["x"] - arrays["x"].mean(0)).abs().max()
        exports[expected.stem] = (
            float((latents_BH - arrays["latents"]).abs().max() / arrays["latents"].max()),
            float((reconstructed_BD - arrays["reconstructed"]).abs().max() / deviation),
        )
    versions = {name: version(name) for name in ("sae-lens", "eai-sparsify", "torch")}
    print(json.dumps({"exports": exports, "versions": versions}))


if __name__ == "__main__":
    main()
