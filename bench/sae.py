"""SAE training compared with sparsify, dictionary_learning and SAELens, and with the encoder's matrix product alone.

    python bench/sae.py [--rounds 3] [--sizes 1024x8,2048x32] [--rates 2,4,8] [--activations file.npy]
    python bench/sae.py --check-exports

TopK with AuxK off and on, batches of 4,096 from memory, Adam, one thread. Contestants alternate, each in its own
process, the peers in their own environment, made on the first call (peers/train_sae.py shows what runs). A round trains
every contestant at the next of `--rates`, multiples of 2e-4 √(2¹⁴ / latents), the rule of sparsify and of
dictionary_learning; recsae's default is four times that. Rates are activations per CPU second, medians over rounds;
`FVU` is on held-out activations after the same samples, each contestant's best over rounds. Peers get the activations
centred and scaled; recsae does that within its timed step. `product` is `torch.addmm` of a batch into fresh memory, a
lower bound for any step.

Without a file, activations are generated: sparse sums of planted directions with heavy-tailed coefficients, far from 0.
`--check-exports` writes an SAE of each kind in both formats, loads it with SAELens and sparsify and compares latents
and reconstructions of raw activations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
PEERS = HERE / ".peers"
BATCH, HELD_OUT, WIDTH = 4096, 50_000, 64
ATOMS, ACTIVE = 700, 9
SHORTEST = 150
CONTESTANTS = ("product", "recsae", "sparsify", "dictionary_learning", "saelens")


class Setting(NamedTuple):
    """The settings of one table."""

    num_latents: int
    k: int
    auxk_alpha: float


def planted(rows: int, seed: int = 0) -> np.ndarray:
    """Generated activations `(rows, WIDTH)`, float32: ACTIVE of ATOMS directions each, noise, and a large mean.

    Directions lie near a few axes, as in a trained model; otherwise no latent would die.
    """
    draw = np.random.default_rng(seed)
    axes = np.linalg.qr(draw.standard_normal((WIDTH, WIDTH)))[0] / np.arange(1, WIDTH + 1)[:, None]
    atoms = draw.standard_normal((ATOMS, WIDTH)) @ axes
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    often = 1 / np.arange(3, ATOMS + 3)
    mean = 5 * draw.standard_normal(WIDTH)
    x = np.empty((rows, WIDTH), dtype=np.float32)
    for start in range(0, rows, 50_000):
        part = x[start : start + 50_000]
        chosen = draw.choice(ATOMS, (len(part), ACTIVE), p=often / often.sum())
        weight = draw.lognormal(0, 1, (len(part), ACTIVE))
        part[:] = mean + np.einsum("bk,bkd->bd", weight, atoms[chosen]) + 0.1 * draw.standard_normal(part.shape)
    return x


def environment() -> Path:
    """Path of the peers' own Python, made on the first call with the versions of the extra `bench`."""
    python = PEERS / "bin" / "python"
    if not PEERS.exists():
        print(f"making the environment of the peers in {PEERS}", flush=True)
        extra = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]["bench"]
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        pip = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "torch==2.13.0+cpu"], check=True)
        subprocess.run([*pip, *extra], check=True)
        # Its other dependencies pull in torchvision and a CUDA build of torch; training needs none of them.
        subprocess.run([*pip, "--no-deps", "dictionary-learning==0.1.0"], check=True)
    return python


def alone(command: list[Any]) -> dict[str, Any]:
    """Run a contestant on one thread; return the JSON in the last line that it prints."""
    # On a machine with a GPU sparsify would decode with Triton, which cannot run on the CPU.
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    ran = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env={**os.environ, **threads, "SPARSIFY_DISABLE_TRITON": "1"},
    )
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{ran.stderr}")
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found


def ours(arguments: argparse.Namespace) -> dict[str, Any]:
    """recsae's contestant, run as peers/train_sae.py runs the others, but on raw activations."""
    import torch

    from recsae.config.sae import SaeConfig
    from recsae.sae.trainer import SaeTrainer

    torch.set_num_threads(1)
    x_ND = np.load(arguments.contestant)
    train, held_out = x_ND[:-HELD_OUT], torch.from_numpy(x_ND[-HELD_OUT:])
    setting, total = settings(arguments.sizes)[0], arguments.warm_up + arguments.steps
    config = SaeConfig(
        num_latents=setting.num_latents,
        k=setting.k,
        auxk_alpha=arguments.auxk_alpha,
        dead_after=arguments.dead_after,
        learning_rate=arguments.learning_rate,
        batch_size=BATCH,
        steps=total,
    )
    mean, scale = moments(train)
    fit = SaeTrainer(config, 0, x_ND.shape[1], mean.astype(np.float32), scale, "cpu")
    batches = len(train) // BATCH
    for number in range(total):
        if number == arguments.warm_up:
            start = time.process_time()
        first = number % batches * BATCH
        fit.step(train[first : first + BATCH])
    seconds = time.process_time() - start
    error = float((fit.sae.reconstruct(held_out) - held_out).double().square().sum())
    variance = float((held_out - held_out.mean(0)).double().square().sum())
    return {"rate": arguments.steps * BATCH / seconds, "fvu": error / variance, "dead_share": fit.dead_share}


def moments(x_ND: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean `(D,)`, and the root mean square per dimension after centring."""
    mean = x_ND.mean(0, dtype=np.float64)
    return mean, float(np.sqrt(np.mean([np.square(part - mean).mean() for part in np.array_split(x_ND, 20)])))


def settings(sizes: str) -> list[Setting]:
    return [Setting(*map(int, size.split("x")), auxk_alpha=0.0) for size in sizes.split(",")]  # type: ignore[misc]


def train(name: str, setting: Setting, multiple: float, folder: str, arguments: argparse.Namespace) -> dict[str, Any]:
    rate = multiple * 2e-4 * (2**14 / setting.num_latents) ** 0.5
    given = {
        "steps": arguments.steps,
        "warm-up": arguments.warm_up,
        "dead-after": arguments.dead_after,
        "learning-rate": rate,
        "auxk-alpha": setting.auxk_alpha,
    }
    words = [f"--{key}={value}" for key, value in given.items()]
    if name == "recsae":
        size = f"--sizes={setting.num_latents}x{setting.k}"
        return alone([sys.executable, __file__, "--contestant", f"{folder}/raw.npy", size, *words])
    size = [f"--num-latents={setting.num_latents}", f"--k={setting.k}", f"--batch={BATCH}", f"--held-out={HELD_OUT}"]
    script = HERE / "peers" / "train_sae.py"
    return alone([environment(), script, "--peer", name, "--activations", f"{folder}/scaled.npy", *size, *words])


def compare(arguments: argparse.Namespace) -> None:
    multiples = [float(rate) for rate in arguments.rates.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        x_ND = np.load(arguments.activations) if arguments.activations else planted(arguments.rows + HELD_OUT)
        x_ND = np.random.default_rng(1).permutation(x_ND.astype(np.float32, copy=False))
        mean, scale = moments(x_ND[:-HELD_OUT])
        np.save(f"{folder}/raw.npy", x_ND)
        np.save(f"{folder}/scaled.npy", ((x_ND - mean) / scale).astype(np.float32))
        del x_ND
        for size in settings(arguments.sizes):
            for auxk_alpha in (0.0, 1 / 32):
                setting = size._replace(auxk_alpha=auxk_alpha)
                rounds = [
                    {
                        name: train(name, setting, multiples[number % len(multiples)], folder, arguments)
                        for name in CONTESTANTS
                    }
                    for number in range(arguments.rounds)
                ]
                report(setting, multiples, rounds)


def report(setting: Setting, multiples: list[float], rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Print one table: each contestant's results, and recsae's rate relative to it."""
    aux = "on" if setting.auxk_alpha else "off"
    print(f"\n{setting.num_latents:,} latents, k = {setting.k}, AuxK {aux}; {len(rounds)} rounds", flush=True)
    print(f"{'':20} {'activations /s':>15} {'recsae is':>10} {'FVU':>7} {'at rate':>8} {'dead':>6}")
    for name in CONTESTANTS:
        found = [each[name] for each in rounds]
        speed = statistics.median(one["rate"] for one in found)
        ratio = statistics.median(each["recsae"]["rate"] / each[name]["rate"] for each in rounds)
        line = f"{name:20} {speed:15,.0f} {ratio:9.2f}x"
        if name != "product":
            best = min(range(len(found)), key=lambda number: found[number]["fvu"])
            multiple = multiples[best % len(multiples)]
            line += f" {found[best]['fvu']:7.4f} {multiple:7g}x {found[best]['dead_share']:6.1%}"
        print(line, flush=True)


def check_exports() -> None:
    """Export SAEs with no zero or tied weights, and compare latents and reconstructions in peers/check_exports.py."""
    import torch

    from recsae.sae import export
    from recsae.sae.model import Sae
    from recsae.store.filesystem import Folder

    with tempfile.TemporaryDirectory() as root:
        for kind in ("topk", "batchtopk", "matryoshka", "relu"):
            torch.manual_seed(0)
            sae = Sae(WIDTH, 1024, kind, 8).requires_grad_(False)
            sae.b_enc.copy_(torch.randn(1024) / 4)
            sae.b_dec.copy_(torch.randn(WIDTH))
            sae.mean_D.copy_(5 * torch.randn(WIDTH))
            sae.scale.fill_(3.7)
            sae.threshold.fill_(2.5 if kind in ("batchtopk", "matryoshka") else 0.0)
            x_BD = sae.mean_D + sae.scale * torch.randn(2000, WIDTH)
            index_BK, value_BK = sae.encode(x_BD)
            active = value_BK > 0
            latents_BH = torch.zeros(len(x_BD), 1024)
            latents_BH[active.nonzero()[:, 0], index_BK[active].long()] = sae.scale * value_BK[active]
            for form in ("saelens", "sparsify") if kind == "topk" else ("saelens",):
                target = Path(root) / f"{form}-{kind}"
                export.write(sae, form, Folder(str(target)))
                expected = {"x": x_BD, "latents": latents_BH, "reconstructed": sae.reconstruct(x_BD)}
                np.savez(f"{target}.npz", **{name: tensor.numpy() for name, tensor in expected.items()})
        found = alone([environment(), HERE / "peers" / "check_exports.py", root])
    for name, differences in found["exports"].items():
        print(
            f"{name:20} latents differ by {differences[0]:.1e} of the largest, reconstructions by {differences[1]:.1e}"
        )
    print(", ".join(f"{name} {number}" for name, number in found["versions"].items()))
    if not all(max(differences) < 1e-4 for differences in found["exports"].values()):
        sys.exit("an export differs from the SAE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check-exports", action="store_true")
    parser.add_argument(
        "--activations", type=Path, help="(N, D) float32; the last 50,000 of a permutation are held out"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="generated, beside the held-out ones")
    parser.add_argument("--sizes", default="1024x8,2048x32", help="latents x k, ...")
    parser.add_argument("--rates", default="2,4,8", help="multiples of the learning rate, one a round in turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--warm-up", type=int, default=60, help="steps before the clock starts")
    parser.add_argument("--dead-after", type=int, default=40_000, help="activations; few, so that AuxK has work")
    for hidden, kind in (("contestant", str), ("learning-rate", float), ("auxk-alpha", float)):
        parser.add_argument(f"--{hidden}", type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.warm_up + arguments.steps < SHORTEST:
        parser.error(f"--warm-up and --steps together must be {SHORTEST} at least, or rates never reach their level")
    if arguments.contestant:
        print(json.dumps(ours(arguments)))
    elif arguments.check_exports:
        check_exports()
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
