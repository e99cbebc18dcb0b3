"""Small models as third parties would have trained them; factories are named by path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Running(nn.Module):
    """Causal: at each position the mean of the embeddings so far, two layers, and a head over the tokens."""

    def __init__(self, n_tokens: int, width: int) -> None:
        super().__init__()
        self.item = nn.Embedding(n_tokens, width)
        self.first = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.second = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.unused = nn.Linear(width, width)
        self.head = nn.Linear(width, n_tokens)

    def mean(self, items: Tensor, mask: Tensor) -> Tensor:
        total = (self.item(items) * mask[..., None]).cumsum(1)
        out: Tensor = total / mask.cumsum(1).clamp(min=1)[..., None]
        return out

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        h = self.first(self.mean(items, mask))
        self.unused(h)
        out: Tensor = self.head(self.second(h))
        return out


class Last(Running):
    """The same, with scores of the last position alone."""

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        place = (mask * torch.arange(items.shape[1])).argmax(1)
        return super().forward(items, mask)[torch.arange(len(items)), place]


class BothWays(Running):
    """Every position sees the whole history."""

    def mean(self, items: Tensor, mask: Tensor) -> Tensor:
        total = (self.item(items) * mask[..., None]).sum(1, keepdim=True)
        return self.item(items) + total / mask.sum(1)[:, None, None]


class InPlace(Running):
    """Goes on in place with what its first layer returns, and attends to padding, as RecTools' SASRec does."""

    def forward(self, items: Tensor) -> Tensor:  # type: ignore[override]
        h = self.first(self.mean(items, torch.ones_like(items)))
        h += 1
        out: Tensor = self.head(self.second(h))
        return out


class Pair(NamedTuple):
    hidden: Tensor
    note: str


@dataclass(frozen=True)
class Held:
    note: str
    hidden: Tensor


class Wrapped(nn.Module):
    """Returns what another module returns inside a container."""

    def __init__(self, inner: nn.Module, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, x: Tensor) -> Any:
        h = self.inner(x)
        return {"tuple": (h, "note"), "named": Pair(h, "note"), "held": Held("note", h), "dict": {"n": 1, "hidden": h}}[
            self.kind
        ]


class Nested(Running):
    """A causal model whose first layer returns a container, and whose scores lie in one."""

    def __init__(self, n_tokens: int, width: int, kind: str) -> None:
        super().__init__(n_tokens, width)
        self.first: nn.Module = Wrapped(self.first, kind)
        self.kind = kind

    def forward(self, items: Tensor, mask: Tensor) -> Any:
        out = self.first(self.mean(items, mask))
        h = {"tuple": lambda: out[0], "dict": lambda: out["hidden"]}.get(self.kind, lambda: out.hidden)()
        return {"loss": None, "scores": self.head(self.second(h))}


class Dropping(Running):
    """Drops units in evaluation too."""

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(items, mask), 0.5, training=True)


class Flat(Running):
    """Returns the scores of all positions in one row each."""

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        return super().forward(items, mask).flatten(0, 1)


class Twice(Running):
    """Calls a layer twice."""

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.head(self.second(self.second(self.first(self.mean(items, mask)))))
        return out


class Turned(Running):
    """Has positions before histories inside."""

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        h = self.first(self.mean(items, mask).transpose(0, 1)).transpose(0, 1)
        out: Tensor = self.head(self.second(h))
        return out


class Narrow(Running):
    """Scores half of the tokens, and counts from the end where an embedding may not."""

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        return super().forward(items % 40, mask)[..., :20]


def gpt2(n_tokens: int, width: int, max_length: int) -> nn.Module:
    """Hugging Face's GPT-2 over items."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=n_tokens,
        n_positions=max_length,
        n_embd=width,
        n_layer=2,
        n_head=2,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,  # so that what is asked of a trained model can be asked of this one
    )
    module: nn.Module = GPT2LMHeadModel(config)
    return module


class HiddenStates(nn.Module):
    """A model that returns hidden states and whose scores are products with its item table, as RecTools' is."""

    def __init__(self, n_tokens: int, width: int) -> None:
        super().__init__()
        self.body = Running(n_tokens, width)
        self.body.head = nn.Identity()  # type: ignore[assignment]

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = self.body(items, mask) @ self.body.item.weight.T
        return out


not_a_factory = 7


def not_a_module() -> int:
    return 7
