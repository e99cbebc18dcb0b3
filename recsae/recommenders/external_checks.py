"""Trial runs of an external model: whether it works as configured, and its sizes.

A few short histories determine the width, the number of tokens, and whether one run is right at every position. Faults
that would go unnoticed later are refused here.
"""

from __future__ import annotations

import difflib
import inspect
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from recsae.errors import BadInput, first_line
from recsae.recommenders.base import Histories
from recsae.recommenders.external import ExternalRecommender, tensor_of

TRIAL_LENGTH = 3
"""Positions of the history of the trial runs."""


class CheckResult(NamedTuple):
    """Sizes of the model, as found by trial runs."""

    width: int
    n_tokens: int
    every_position: bool
    """Whether the model returns scores at every position, independent of later items."""


class _TrialRun(NamedTuple):
    """One run: `h_BLD`, the scores `u` (`(B, L, T)` or `(B, T)`), and where the histories end."""

    h_BLD: Tensor
    u: Tensor
    length_B: Tensor

    def at_end(self, row: int) -> tuple[Tensor, Tensor]:
        place = self.length_B[row] - 1
        return self.h_BLD[row, place], self.u[row] if self.u.ndim == 2 else self.u[row, place]


@torch.no_grad()
def check_model(model: ExternalRecommender) -> CheckResult:
    """Check the model with trial runs and return its sizes.

    Raises BadInput with one sentence if the module, the inputs or the site do not fit together.
    """
    _check_site(model)
    few = min(TRIAL_LENGTH, model.max_length)
    one, other = int(model.tokens_N.argmax()), int(model.tokens_N.argmin())
    walk = [one, other, one][-few:]
    alone = _observe(model, [walk])
    if not _same_at_end(alone, 0, _observe(model, [walk]), 0):
        _refuse(model, "two runs of the same history differ (dropout?); give a model in evaluation mode")
    _observe(model, [[one]])
    long = [one if place % 2 else other for place in range(model.max_length)]
    if not _same_at_end(alone, 0, _observe(model, [long, walk, [one]]), 1):
        _refuse(
            model,
            "what it makes of a history changes with the longer ones beside it; in recommender.foreign tell it of "
            "padding by inputs (mask, positions, lengths), turn padding to the other side, or set fixed_length",
        )
    changed = _observe(model, [[*walk[:-1], other]])
    if one != other and _close(alone.at_end(0)[1], changed.at_end(0)[1]):
        _refuse(
            model,
            "its scores stay the same whatever the last item is; fix recommender.foreign.inputs, and give "
            "torch.export another example tensor for each of them",
        )
    _check_edit(model, [walk])
    return CheckResult(alone.h_BLD.shape[2], alone.u.shape[-1], alone.u.ndim == 3 and _is_causal(alone, changed))


def _check_site(model: ExternalRecommender) -> None:
    names = [name for name, _ in model.module.named_modules() if name]
    if model.site not in names:
        near = difflib.get_close_matches(model.site, names, n=6, cutoff=0)
        raise BadInput(
            f"probe.site = {model.site}: the model has no submodule of that name; the nearest are {', '.join(near)}"
        )


def _observe(model: ExternalRecommender, rows: list[list[int]]) -> _TrialRun:
    """The outputs of a full run, with every shape checked."""
    histories = _histories(model, rows)
    call = model.ask(histories)
    _check_arguments(model, call.positional, call.named)
    outputs: list[Any] = []

    def read(output: Any) -> Any:
        outputs.append(_copy_tensor(model, output))
        return output

    longest = max(map(len, rows))
    try:
        with model.hooked(read):
            u = model.run(call)
    except BadInput:
        raise
    except Exception as error:  # the module is anybody's code
        _refuse(
            model,
            f"it fails on {len(rows)} histories of up to {longest} items ({first_line(error)}); fix inputs, output or "
            "fixed_length there, the tokens of the vocabulary, or recommender.max_length",
        )
    if len(outputs) != 1:
        raise BadInput(f"probe.site = {model.site} is called {len(outputs)} times in a run; name one called once")
    h_BWD, width = outputs[0], (model.max_length if model.config.fixed_length else longest)
    if h_BWD.is_nested or h_BWD.ndim != 3 or h_BWD.shape[:2] != (len(rows), width):
        raise BadInput(
            f"probe.site = {model.site} returns {_shape(h_BWD)} for {len(rows)} histories of {width} positions, where "
            f"({len(rows)}, {width}, D) is due; name another submodule"
        )
    if u.shape[:-1] not in ((len(rows), width), (len(rows),)):
        _refuse(
            model,
            f"its scores are {_shape(u)} for {len(rows)} histories of {width} positions, where (B, L, tokens) or "
            "(B, tokens) is due; fix recommender.foreign.output or return such from the factory",
        )
    _check_tokens(model, u.shape[-1])
    h_BLD = model.back(h_BWD, call)
    return _TrialRun(h_BLD, model.back(u, call) if u.ndim == 3 else u, histories.length_B)


def _histories(model: ExternalRecommender, rows: list[list[int]]) -> Histories:
    device, longest = model.tokens_N.device, max(map(len, rows))
    padded = [row + [0] * (longest - len(row)) for row in rows]
    return Histories(
        torch.arange(len(rows), device=device),
        torch.tensor(padded, device=device),
        torch.tensor([len(row) for row in rows], device=device),
    )


def _copy_tensor(model: ExternalRecommender, output: Any) -> Tensor:
    try:
        return tensor_of(output).clone()
    except TypeError as error:
        raise BadInput(f"probe.site = {model.site}: its output {error}; name another submodule") from None


def _check_arguments(model: ExternalRecommender, positional: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
    signature = inspect.signature(model.module.forward)
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        _refuse(model, f"its forward takes {takes} ({error}); name its arguments in recommender.foreign.inputs")


def _check_tokens(model: ExternalRecommender, n_tokens: int) -> None:
    low, high = int(model.tokens_N.min()), int(model.tokens_N.max())
    if low < 0 or high >= n_tokens:
        raise BadInput(
            f"recommender.foreign.vocabulary: {model.config.vocabulary}: the model scores the tokens 0 to "
            f"{n_tokens - 1}, and {low if low < 0 else high} is none of them; number the items as the model does"
        )


def _check_edit(model: ExternalRecommender, rows: list[list[int]]) -> None:
    histories = _histories(model, rows)
    h_BLD = model.probe(histories)
    noise_BLD = torch.randn(h_BLD.shape, generator=torch.Generator().manual_seed(0)).to(h_BLD)
    moved_BLD = h_BLD + noise_BLD * (1 + h_BLD.abs().amax())
    if torch.equal(model.proceed(h_BLD, histories)[:, -1], model.proceed(moved_BLD, histories)[:, -1]):
        raise BadInput(
            f"probe.site = {model.site}: the scores do not depend on what it returns; name a submodule whose output is "
            "used"
        )


def _is_causal(seen: _TrialRun, changed: _TrialRun) -> bool:
    """Whether vectors and scores at earlier positions stay the same when the last item changes."""
    pairs = (seen.h_BLD, changed.h_BLD), (seen.u, changed.u)
    return all(_close(before[:, :-1], after[:, :-1]) for before, after in pairs)


def _same_at_end(seen: _TrialRun, row: int, other: _TrialRun, other_row: int) -> bool:
    return all(_close(a, b) for a, b in zip(seen.at_end(row), other.at_end(other_row), strict=True))


def _close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal within the rounding of their type, which depends on the shapes of a product."""
    finite = a[a.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(a.float(), b.float(), rtol=0, atol=scale * torch.finfo(a.dtype).eps ** 0.5)


def _refuse(model: ExternalRecommender, reason: str) -> NoReturn:
    named = "program" if model.config.program else "factory"
    raise BadInput(f"recommender.foreign.{named} = {getattr(model.config, named)}: {reason}")


def _shape(tensor: Tensor) -> str:
    return "a nested tensor" if tensor.is_nested else str(tuple(tensor.shape))
