"""Builds a torch module from bytes: a factory's module with weights, or an exported program with submodules to hook.

Each mistake in the config or the files raises BadInput with one sentence.
"""

from __future__ import annotations

import functools
import importlib
import io
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.export.passes import move_to_device_pass

from recsae.config.recommender import ForeignConfig, RecommenderConfig
from recsae.errors import BadInput, first_line
from recsae.recommenders.external_sources import KEY


def load_module(config: RecommenderConfig, state: bytes, device: str) -> nn.Module:
    """The module of the section `foreign`, still as its maker left it. Raises BadInput."""
    assert config.foreign is not None
    if config.foreign.program:
        return _load_program(config, config.foreign, state, device)
    module = _call_factory(config.foreign)
    _load_weights(config.foreign, module, state)
    return module


def _call_factory(config: ForeignConfig) -> nn.Module:
    said = f"{KEY}.factory = {config.factory}"
    holder_name, _, attribute = config.factory.partition(":")
    try:
        holder = importlib.import_module(holder_name)
    except Exception as error:  # importing runs the user's code
        raise BadInput(
            f"{said}: {holder_name} cannot be imported ({first_line(error)}); install its package on the driver and on "
            "every worker"
        ) from None
    try:
        factory: Any = functools.reduce(getattr, attribute.split("."), holder)
    except AttributeError as error:
        raise BadInput(f"{said}: {first_line(error)}; name a function or class of {holder_name}") from None
    try:
        module = factory(**config.arguments)
    except Exception as error:
        raise BadInput(f"{said}: it cannot be called with {KEY}.arguments ({first_line(error)}); fix these") from None
    if not isinstance(module, nn.Module):
        raise BadInput(f"{said}: it returns {type(module).__name__}; return a torch.nn.Module")
    return module


def _load_weights(config: ForeignConfig, module: nn.Module, state: bytes) -> None:
    """Load the weights. Raises BadInput if the file lacks tensors of the module or has others."""
    said = f"{KEY}.weights: {config.weights}"
    try:
        tensors = safetensors.torch.load(state)
    except safetensors.SafetensorError as error:
        raise BadInput(f"{said}: not a safetensors file ({first_line(error)}); write it with save_file") from None
    try:
        missing, strange = module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # of other shapes
        reason = str(error).strip().splitlines()[-1].strip()
        raise BadInput(f"{said}: it does not fit the module ({reason}); fix {KEY}.arguments") from None
    own = module.state_dict()
    # safetensors stores a tensor with two names, such as a tied head, once.
    filled = {own[name].data_ptr() for name in tensors if name in own}
    missing = [name for name in missing if own[name].data_ptr() not in filled]
    if missing or strange:
        problems = [f"it lacks {_shorten(missing)}"] if missing else []
        if strange:
            problems.append(f"the module has no {_shorten(sorted(strange))}")
        raise BadInput(f"{said}: {' and '.join(problems)}; fix {KEY}.arguments or rename the tensors")


def _shorten(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _load_program(config: RecommenderConfig, foreign: ForeignConfig, state: bytes, device: str) -> nn.Module:
    said = f"{KEY}.program: {foreign.program}"
    # torch prints a page before it raises
    if not zipfile.is_zipfile(io.BytesIO(state)):
        raise BadInput(f"{said}: no exported program; write one with torch.export.save")
    try:
        program = _without_warnings(torch.export.load, io.BytesIO(state))
    except Exception as error:
        raise BadInput(
            f"{said}: torch {torch.__version__} cannot load it ({first_line(error)}); export it with this version, and "
            "have it return plain tensors"
        ) from None
    _check_names(said, program, foreign)
    _check_sizes(said, program, config, foreign)
    if device != "cpu":
        # constants of the program lie on the device of its export
        program = move_to_device_pass(program, device)
    module: nn.Module = _without_warnings(torch.export.unflatten, program)
    return module


def _without_warnings(call: Callable[[Any], Any], given: Any) -> Any:
    """The result of the call, with torch's own FutureWarnings silenced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return call(given)


def _check_names(said: str, program: torch.export.ExportedProgram, foreign: ForeignConfig) -> None:
    positional, named = program.call_spec.in_spec.children()
    takes = ['""'] * positional.num_children + list(named.context or [])
    gives = [name or '""' for name in foreign.inputs]
    if sorted(takes) != sorted(gives):
        raise BadInput(
            f'{said}: it takes {", ".join(takes)} ("" is one without a name), and {KEY}.inputs gives '
            f"{', '.join(gives)}; make these the same, and export with names where there are several"
        )


def _check_sizes(
    said: str, program: torch.export.ExportedProgram, config: RecommenderConfig, foreign: ForeignConfig
) -> None:
    """Raises BadInput unless the batch size is dynamic, and the length is dynamic or equal to the padded length."""
    shapes = [
        node.meta["val"].shape
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    ]
    if any(isinstance(shape[0], int) for shape in shapes):
        raise BadInput(
            f"{said}: it was exported for a batch of {shapes[0][0]}; export it with "
            "dynamic_shapes that leave the first dimension of every input free"
        )
    fixed = {shape[1] for shape in shapes if len(shape) > 1 and isinstance(shape[1], int)}
    if fixed and not (foreign.fixed_length and fixed == {config.max_length}):
        raise BadInput(
            f"{said}: it was exported for {fixed.pop()} positions and no others; set {KEY}.fixed_length = true and "
            "recommender.max_length to that, or export it with a free length"
        )
