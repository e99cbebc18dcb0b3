"""Concept dictionaries of recommender models, by sparse autoencoders on Ray.

    run = recsae.open_run("runs", "demo")           # the served night
    run.concepts                                    # the dictionary, a DataFrame
    run.recommend(["15"], more={"Western": 2})      # twice the share of a concept

Names load when they are first used, so that `import recsae` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsae.api.models import load_recommender, load_sae
    from recsae.api.run import Run, open_run
    from recsae.config.loader import load as load_config
    from recsae.config.schema import Config
    from recsae.errors import BadInput
    from recsae.pipeline.runner import Pipeline
    from recsae.policies.policy import Policy
    from recsae.steering.operations import Operation, Steering
    from recsae.steering.steered import SteeredRecommender

__version__ = "0.1.0"

__all__ = [
    "BadInput",
    "Config",
    "Operation",
    "Pipeline",
    "Policy",
    "Run",
    "SteeredRecommender",
    "Steering",
    "__version__",
    "load_config",
    "load_recommender",
    "load_sae",
    "open_run",
]

_HOMES = {
    "BadInput": ("recsae.errors", "BadInput"),
    "Config": ("recsae.config.schema", "Config"),
    "Operation": ("recsae.steering.operations", "Operation"),
    "Pipeline": ("recsae.pipeline.runner", "Pipeline"),
    "Policy": ("recsae.policies.policy", "Policy"),
    "Run": ("recsae.api.run", "Run"),
    "SteeredRecommender": ("recsae.steering.steered", "SteeredRecommender"),
    "Steering": ("recsae.steering.operations", "Steering"),
    "load_config": ("recsae.config.loader", "load"),
    "load_recommender": ("recsae.api.models", "load_recommender"),
    "load_sae": ("recsae.api.models", "load_sae"),
    "open_run": ("recsae.api.run", "open_run"),
}
"""Module and name behind each public name (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found = getattr(import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
