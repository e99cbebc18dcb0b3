"""The Triton kernels against numba's, on a GPU or else in Triton's interpreter; and their compilation for a GPU."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import multiprocessing
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recsae.sae import kernels_cpu

# Not importorskip: Triton decides at its own import whether it interprets.
if importlib.util.find_spec("triton") is None:
    pytest.skip(
        "no triton: it comes with a CUDA build of torch, and with vLLM on Linux x86-64", allow_module_level=True
    )

pytestmark = pytest.mark.slow
Run = Callable[..., list[np.ndarray]]


def _call(name: str, *arguments: Any, device: str = "cpu") -> list[np.ndarray]:
    """Call a kernel with arrays as tensors; return its result, or the tensors it wrote."""
    kernels_cuda = importlib.import_module("recsae.sae.kernels_cuda")
    given = [torch.tensor(one, device=device) if isinstance(one, np.ndarray) else one for one in arguments]
    found = getattr(kernels_cuda, name)(*given) or given
    return [one.cpu().numpy() for one in found if isinstance(one, Tensor)]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """`run(name, ...)`: on the GPU, or interpreted in a separate process, which leaves Triton as it is here."""
    if torch.cuda.is_available():
        yield functools.partial(_call, device="cuda")
        return
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            pool.submit(bool).result()  # the process starts here, and keeps the environment that it starts with
        yield lambda *arguments: pool.submit(_call, *arguments).result()


def _step(rows: int, places: int, width: int, latents: int, groups: int, dtype: type) -> dict[str, Any]:
    """A code with one latent in half the slots of most rows; every fifth row is empty."""
    rng = np.random.default_rng(rows)
    index_BK = rng.integers(-1, latents, (rows, places)).astype("int32")
    index_BK[rows // 3 :, : places // 2 + 1] = min(1, latents - 1)
    index_BK[::5] = -1
    value_BK = np.where(index_BK < 0, 0, rng.random((rows, places)))
    arrays = {
        "value_BK": value_BK,
        "x_BD": rng.standard_normal((rows, width)),
        "slope_GBD": rng.standard_normal((groups, rows, width)),
        "W_dec_HD": rng.standard_normal((latents, width)),
    }
    group_H = np.sort(rng.integers(0, groups, latents))
    return {"index_BK": index_BK, "group_H": group_H} | {name: array.astype(dtype) for name, array in arrays.items()}


L1 = 0.1
SIZES = [
    pytest.param((20, 6, 48, 40, 3), id="width no power of 2"),
    pytest.param((6, 11, 300, 700, 3), id="several blocks of the width and of places"),
    pytest.param((120, 8, 16, 60, 1), id="a list in several parts"),
    pytest.param((3, 1, 5, 1, 1), id="one latent"),
]
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def _assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=0, atol=200 * np.finfo(wanted.dtype).eps * abs(wanted).max())


@DTYPES
@pytest.mark.parametrize("sizes", SIZES)
def test_decode_gives_the_sums_of_all_prefixes(run: Run, sizes: tuple[int, ...], dtype: type) -> None:
    step = _step(*sizes, dtype)
    arguments = [step[name] for name in ("index_BK", "value_BK", "W_dec_HD", "group_H")]
    wanted_GBD = np.zeros_like(step["slope_GBD"])
    kernels_cpu.decode(*arguments, wanted_GBD)
    found_GBD = run("decode", *arguments, np.zeros_like(wanted_GBD))[-1]
    _assert_close(found_GBD, wanted_GBD)
    assert not found_GBD[:, ::5].any()


def _gradients(step: dict[str, Any]) -> tuple[list[Any], list[np.ndarray]]:
    """Inputs of `accumulate`, and gradients to add to."""
    names = ("index_BK", "value_BK", "x_BD", "slope_GBD", "group_H", "W_dec_HD")
    W_dec_HD, rng = step["W_dec_HD"], np.random.default_rng(0)
    shapes = (W_dec_HD.shape, len(W_dec_HD), W_dec_HD.shape, len(W_dec_HD))
    before = [rng.integers(0, 9, shape).astype(W_dec_HD.dtype) for shape in shapes]
    return [step[name] for name in names], before


@DTYPES
@pytest.mark.parametrize("sizes", SIZES)
def test_accumulate_adds_what_numba_adds(run: Run, sizes: tuple[int, ...], dtype: type) -> None:
    step = _step(*sizes, dtype)
    arguments, before = _gradients(step)
    wanted = [array.copy() for array in before]
    kernels_cpu.accumulate(*arguments, dtype(L1), *wanted)
    found = run("accumulate", *arguments, L1, *before)[-4:]
    for one, other in zip(found, wanted, strict=True):
        _assert_close(one, other)
    assert (found[3] == wanted[3]).all(), "counts are exact"
    inactive_H = ~np.isin(np.arange(len(step["W_dec_HD"])), step["index_BK"])
    assert all((one[inactive_H] == other[inactive_H]).all() for one, other in zip(found, before, strict=True))


def test_sums_do_not_depend_on_the_order_of_a_codes_places(run: Run) -> None:
    step = _step(150, 4, 16, 5, 3, np.float32)
    for row_K in step["index_BK"]:  # named twice in a row, a latent would meet its own places in another order
        row_K[[place for place in range(1, 4) if row_K[place] in row_K[:place]]] = -1
    arguments, before = _gradients(step)
    one = run("accumulate", *arguments, L1, *before)[-4:]
    turned = [np.ascontiguousarray(array[:, ::-1]) for array in arguments[:2]]
    other = run("accumulate", *turned, *arguments[2:], L1, *before)[-4:]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("places", [0, 3])
def test_a_batch_without_latents_changes_nothing(run: Run, places: int) -> None:
    step = _step(4, places or 1, 8, 6, 1, np.float32)
    step["index_BK"] = np.full((4, places), -1, "int32")
    step["value_BK"] = np.zeros((4, places), "float32")
    arguments, before = _gradients(step)
    found = run("accumulate", *arguments, L1, *before)[-4:]
    assert all((one == other).all() for one, other in zip(found, before, strict=True))
    decoded = run("decode", *(step[name] for name in ("index_BK", "value_BK", "W_dec_HD", "group_H", "slope_GBD")))
    assert not decoded[-1].any()


def test_what_the_kernels_cannot_read_is_refused(run: Run) -> None:
    kernels_cuda = importlib.import_module("recsae.sae.kernels_cuda")
    step = {name: torch.from_numpy(value) for name, value in _step(4, 2, 6, 6, 1, np.float32).items()}
    arguments = [step[name] for name in ("index_BK", "value_BK", "W_dec_HD", "group_H", "slope_GBD")]
    arguments[2] = arguments[2].T.contiguous().T
    with pytest.raises(ValueError, match="contiguous"):
        kernels_cuda.decode(*arguments)


@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
def test_kernels_compile_without_atomic_additions_of_floats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GPU is needed to compile for one; the interpreter accepts what the compiler does not."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    gpu = {"get_current_target": GPUTarget("cuda", 90, 32), "get_current_device": 0, "get_current_stream": 0}
    monkeypatch.setattr(driver, "_active", SimpleNamespace(**{name: lambda *_, it=it: it for name, it in gpu.items()}))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compiled: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *arguments: Any, **named: Any) -> None:
        compiled.append(run(self, *arguments, **named | {"warmup": True}))

    monkeypatch.setattr(JITFunction, "run", compile_only)
    for sizes in ((256, 8, 512, 48, 3), (5, 1, 1, 1, 1)):
        step = _step(*sizes, np.float32)
        arguments, before = _gradients(step)
        _call("decode", *(step[name] for name in ("index_BK", "value_BK", "W_dec_HD", "group_H", "slope_GBD")))
        _call("accumulate", *arguments, L1, *before)
    # decode, the values' slopes, further parts (of the first sizes alone), latents
    assert len(compiled) == 4 + 3
    for kernel in compiled:
        assert kernel.asm["cubin"]
        assert not re.search(r"\b(?:atom|red)\.\S*\bf(?:32|64)", kernel.asm["ptx"])
