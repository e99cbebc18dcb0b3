"""A model trained elsewhere: any torch module, read and edited by a hook on one of its submodules.

It knows tokens, padding and hooks, and neither where the module comes from (external_files.py) nor whether it can be
asked at all (external_checks.py). Suffixes: see base.py; W positions of the module's own input, T its tokens, so
that `u` is the module's scores of all tokens.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recsae.config.recommender import ForeignConfig
from recsae.recommenders.base import Histories, Recommender


class ExternalCall(NamedTuple):
    """A call of the module, and where in its positions ours are."""

    positional: tuple[Tensor, ...]
    named: dict[str, Tensor]
    real_BL: Tensor
    """Whether there is an item at our position."""
    there_BL: Tensor
    """The module's position of it."""


class _StopAtSite(BaseException):
    """Ends a run at the site: what comes after it, the scores of all tokens above all, is not wanted.

    No Exception, so that no module takes it for a fault of its own.
    """


class ExternalRecommender(Recommender):
    """`probe` runs the module up to the site; `proceed` runs it again with the site's output replaced."""

    tokens_N: Tensor

    def __init__(
        self, config: ForeignConfig, module: nn.Module, tokens_N: Tensor, max_length: int, site: str, device: str
    ) -> None:
        super().__init__(len(tokens_N), 0, max_length, site)
        self.config = config
        self.module = module
        self.register_buffer("tokens_N", tokens_N)
        self.to(device).eval().requires_grad_(False)

    def learn(self, width: int, n_tokens: int, every_position: bool) -> None:
        """Take over what only a trial run tells."""
        self.width, self.out_width = width, n_tokens
        self.every_position = every_position

    def probe(self, histories: Histories) -> Tensor:
        asked = self.ask(histories)
        found: list[Tensor] = []

        def read(output: Any) -> Any:
            # A copy: what a module returns may be a view of its weights, and the caller may write into it.
            found.append(tensor_of(output).float().clone())
            raise _StopAtSite

        with self.hooked(read), contextlib.suppress(_StopAtSite):
            self.run(asked)
        return self.back(found[0], asked)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        """Scores `(B, L, T)`; of a module that returns those of the last position alone, these at every position."""
        asked = self.ask(histories)
        row_R, ours_R = asked.real_BL.nonzero(as_tuple=True)
        theirs_R = asked.there_BL[asked.real_BL]

        def edit(output: Any) -> Any:
            # What the module holds at padding stays: some attend to it.
            out_BWD = tensor_of(output).clone()
            out_BWD[row_R, theirs_R] = h_BLD[row_R, ours_R].to(out_BWD.dtype)
            return _with_tensor(output, out_BWD)

        with self.hooked(edit):
            logits = self.run(asked).float()
        if logits.ndim == 2:
            return logits[:, None].expand(-1, h_BLD.shape[1], -1)
        return self.back(logits, asked)

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU[:, self.tokens_N[start:stop]]

    def ask(self, histories: Histories) -> ExternalCall:
        """Build the module's arguments: our histories as its tokens, filled up on its side."""
        items_BL, length_B = histories.items_BL, histories.length_B
        place_L = torch.arange(items_BL.shape[1], device=items_BL.device)
        real_BL = place_L < length_B[:, None]
        width = self.max_length if self.config.fixed_length else items_BL.shape[1]
        shift_B1 = (width - length_B if self.config.padding == "left" else torch.zeros_like(length_B))[:, None]
        there_BL = (place_L + shift_B1).clamp(max=width - 1)
        row_R, theirs_R = real_BL.nonzero(as_tuple=True)[0], there_BL[real_BL]

        def filled(value_R: Tensor, padding: int) -> Tensor:
            out_BW = value_R.new_full((len(items_BL), width), padding)
            out_BW[row_R, theirs_R] = value_R
            return out_BW

        offered: Mapping[str, Callable[[], Tensor]] = {
            "items": lambda: filled(self.tokens_N[items_BL[real_BL]], self.config.padding_token),
            "mask": lambda: filled(torch.ones_like(row_R), 0),
            "positions": lambda: filled(place_L.expand_as(items_BL)[real_BL], 0),
            "lengths": lambda: length_B,
        }
        given = {name: offered[what]() for name, what in self.config.inputs.items()}
        positional = (given.pop(""),) if "" in given else ()
        return ExternalCall(positional, given, real_BL, there_BL)

    def run(self, asked: ExternalCall) -> Tensor:
        """One call of the module: its scores `(B, W, T)` or `(B, T)`."""
        result = self.module(*asked.positional, **asked.named)
        if name := self.config.output:
            result = result[name] if isinstance(result, Mapping) else getattr(result, name)
        return tensor_of(result)

    def back(self, x_BWX: Tensor, asked: ExternalCall) -> Tensor:
        """What the module has at our positions, `(B, L, X)`."""
        if self.config.padding == "right":
            return x_BWX[:, : asked.there_BL.shape[1]]
        return x_BWX.gather(1, asked.there_BL[:, :, None].expand(-1, -1, x_BWX.shape[2]))

    @contextlib.contextmanager
    def hooked(self, visit: Callable[[Any], Any]) -> Iterator[None]:
        """While this lasts, `visit(output)` takes the place of what the site returns."""
        handle = self.module.get_submodule(self.site).register_forward_hook(lambda module, given, out: visit(out))
        try:
            yield
        finally:
            handle.remove()


def tensor_of(output: Any) -> Tensor:
    """The tensor itself, or the first one of a tuple, list, mapping or dataclass. Raises TypeError without any."""
    if isinstance(output, Tensor):
        return output
    for _, value in _members(output):
        if isinstance(value, Tensor):
            return value
    raise TypeError(f"{type(output).__name__} holds no tensor")


def _with_tensor(output: Any, tensor: Tensor) -> Any:
    """The same output with its first tensor replaced."""
    if isinstance(output, Tensor):
        return tensor
    key = next(key for key, value in _members(output) if isinstance(value, Tensor))
    if isinstance(output, tuple):
        members = [*output[:key], tensor, *output[key + 1 :]]
        return type(output)(*members) if hasattr(output, "_fields") else tuple(members)
    changed = copy.copy(output)
    if isinstance(changed, list | Mapping):
        changed[key] = tensor  # type: ignore[index]
    else:
        object.__setattr__(changed, key, tensor)  # a dataclass may be frozen
    return changed


def _members(output: Any) -> list[tuple[Any, Any]]:
    if isinstance(output, Mapping):
        return list(output.items())
    if isinstance(output, list | tuple):
        return list(enumerate(output))
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in dataclasses.fields(output)]
    return []
