"""A model trained elsewhere: any torch module, read and edited through a hook on one of its submodules.

external_files.py reads the module, external_checks.py checks that it can be used. Shape suffixes: see base.py; W
positions of the module's own input, T its tokens: here `u` holds the module's scores of all tokens.
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
    """The arguments of a call of the module, and the mapping from our positions to the module's."""

    positional: tuple[Tensor, ...]
    named: dict[str, Tensor]
    real_BL: Tensor
    """Whether our position holds an item."""
    there_BL: Tensor
    """The position of that item in the module's input."""


class _StopAtSite(BaseException):
    """Ends a run at the site, to save the layers after it and the scores of all tokens.

    Derives from BaseException, so that a module that catches Exception lets it pass.
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
        """Set the sizes found by a trial run."""
        self.width, self.out_width = width, n_tokens
        self.every_position = every_position

    def probe(self, histories: Histories) -> Tensor:
        call = self.ask(histories)
        outputs: list[Tensor] = []

        def read(output: Any) -> Any:
            # A copy: the output may be a view of the module's weights, and the caller may write into it.
            outputs.append(tensor_of(output).float().clone())
            raise _StopAtSite

        with self.hooked(read), contextlib.suppress(_StopAtSite):
            self.run(call)
        return self.back(outputs[0], call)

    def proceed(self, h_BLD: Tensor, histories: Histories) -> Tensor:
        """Scores `(B, L, T)`; those of the last position are repeated if the module returns no others."""
        call = self.ask(histories)
        row_R, ours_R = call.real_BL.nonzero(as_tuple=True)
        theirs_R = call.there_BL[call.real_BL]

        def edit(output: Any) -> Any:
            # Vectors at padding stay as they are: some modules attend to them.
            out_BWD = tensor_of(output).clone()
            out_BWD[row_R, theirs_R] = h_BLD[row_R, ours_R].to(out_BWD.dtype)
            return _with_tensor(output, out_BWD)

        with self.hooked(edit):
            logits = self.run(call).float()
        if logits.ndim == 2:
            return logits[:, None].expand(-1, h_BLD.shape[1], -1)
        return self.back(logits, call)

    def scores(self, u_XU: Tensor, start: int, stop: int) -> Tensor:
        return u_XU[:, self.tokens_N[start:stop]]

    def ask(self, histories: Histories) -> ExternalCall:
        """The call for our histories: items as the module's tokens, padded on its side."""
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

        available: Mapping[str, Callable[[], Tensor]] = {
            "items": lambda: filled(self.tokens_N[items_BL[real_BL]], self.config.padding_token),
            "mask": lambda: filled(torch.ones_like(row_R), 0),
            "positions": lambda: filled(place_L.expand_as(items_BL)[real_BL], 0),
            "lengths": lambda: length_B,
        }
        named = {name: available[kind]() for name, kind in self.config.inputs.items()}
        positional = (named.pop(""),) if "" in named else ()
        return ExternalCall(positional, named, real_BL, there_BL)

    def run(self, call: ExternalCall) -> Tensor:
        """One call of the module: its scores `(B, W, T)` or `(B, T)`."""
        result = self.module(*call.positional, **call.named)
        if name := self.config.output:
            result = result[name] if isinstance(result, Mapping) else getattr(result, name)
        return tensor_of(result)

    def back(self, x_BWX: Tensor, call: ExternalCall) -> Tensor:
        """The module's vectors at our positions, `(B, L, X)`."""
        if self.config.padding == "right":
            return x_BWX[:, : call.there_BL.shape[1]]
        return x_BWX.gather(1, call.there_BL[:, :, None].expand(-1, -1, x_BWX.shape[2]))

    @contextlib.contextmanager
    def hooked(self, visit: Callable[[Any], Any]) -> Iterator[None]:
        """Replaces the output of the site by `visit(output)` within the context."""
        handle = self.module.get_submodule(self.site).register_forward_hook(lambda module, inputs, out: visit(out))
        try:
            yield
        finally:
            handle.remove()


def tensor_of(output: Any) -> Tensor:
    """The tensor itself, or the first one in a tuple, list, mapping or dataclass. Raises TypeError if there is none."""
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
