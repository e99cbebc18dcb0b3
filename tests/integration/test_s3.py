"""The whole line with its store, its inputs and its outputs on an S3 server: Ray Train, Ray Data and vLLM included."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from recsae.cli.main import main
from recsae.cli.render.dictionary import print_dictionary
from recsae.config.loader import load
from recsae.config.schema import Config
from recsae.pipeline.runner import STAGES, Pipeline
from recsae.store.filesystem import file_at
from tests.integration.conftest import planted_toml
from tests.planted import write_planted
from tests.store.s3_server import BUCKET, KEY, SECRET, Proxy, Server, secret_uri


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server.endpoint)
    yield proxy
    proxy.close()


def there(proxy: Proxy, name: str) -> str:
    """Ray's workers started long before with another environment, so the URI brings its credentials."""
    return secret_uri(proxy.endpoint, name)


@pytest.fixture(scope="module")
def remote_run(
    engines: None, server: Server, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, Path]:
    """The planted line in the bucket, the store away for two requests of each kind at the beginning of every stage."""
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder)
    written = planted_toml(folder, Path("ROOT")).replace('"ROOT"', f'"{there(proxy, "two words/runs")}"')
    for name in ("interactions.parquet", "items.parquet"):
        server.client.upload_file(str(folder / name), BUCKET, f"in/{name}")
        written = written.replace(f"{folder}/{name}", there(proxy, f"in/{name}"))
    toml = folder / "planted.toml"
    toml.write_text(written)
    config = load(toml)
    pipeline = Pipeline(config)
    for stage in STAGES:
        with proxy.failing("503", first=2):
            pipeline.run(stage)
    pipeline.publish()
    return config, toml


def concepts(config: Config) -> pa.Table:
    found = Pipeline(config).committed("concepts")
    assert found is not None
    return found.read_table("concepts.parquet")


def test_the_dictionary_is_that_of_a_local_disk(
    remote_run: tuple[Config, Path], planted_run: tuple[Config, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    here, far = concepts(planted_run[0]), concepts(remote_run[0])
    same = [a == b for a, b in zip(here["name"].to_pylist(), far["name"].to_pylist(), strict=True)]
    assert here["latent"].equals(far["latent"]) and sum(same) >= 0.98 * len(same)
    current = Pipeline(remote_run[0]).store.current()
    assert current is not None
    print_dictionary(current, remote_run[0].store.root)
    assert f"{far.num_rows} latents" in capsys.readouterr().out


def test_what_is_committed_is_not_done_again(remote_run: tuple[Config, Path], server: Server) -> None:
    before = server.held("two words/runs")
    again = Pipeline(remote_run[0])
    assert not any(again.has_work(stage) for stage in STAGES)
    assert server.held("two words/runs") == before


def test_nothing_in_the_bucket_or_the_log_holds_a_credential(remote_run: tuple[Config, Path], server: Server) -> None:
    for secret in (KEY, SECRET, quote(SECRET, safe="")):
        assert not [key for key in server.held() if secret.encode() in server.content(key)]
    assert not server.uploads()


def test_jobs_write_their_files_there(
    remote_run: tuple[Config, Path],
    proxy: Proxy,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)  # it would write where nobody reads later
    toml, to = str(remote_run[1]), there(proxy, "out/best%20items.parquet")
    monkeypatch.setattr(sys, "argv", ["job", "--config", toml, "--to", to, "--k", "3"])
    main(["recommend"])
    folder, name = file_at(to)
    assert set(folder.read_table(name)["user_id"].to_pylist()) and server.held("out/best items.parquet")
    target = there(proxy, "out/sae")
    monkeypatch.setattr(sys, "argv", ["job", "--config", toml, "--to", target, "--format", "saelens"])
    main(["export"])
    assert server.held("out/sae/") == ["out/sae/cfg.json", "out/sae/sae_weights.safetensors"]
    told = capsys.readouterr().out
    assert "out/best%20items.parquet" in told and KEY not in told
    with pytest.raises(SystemExit) as ended:
        main(["export"])
    assert ended.value.code == 2 and KEY not in capsys.readouterr().err


def test_what_is_served_is_looked_up_and_put_before_people_there(
    remote_run: tuple[Config, Path],
    proxy: Proxy,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["recsae", *words])
        main()
        return capsys.readouterr().out

    config = ["--config", str(remote_run[1])]
    first, *_ = json.loads(told("show", *config, "--interpretable", "--json"))
    latent = told("show", *config, "--latent", str(first["latent"]))
    assert first["name"] in latent and first["top_items"][0] in latent
    item = told("show", *config, "--item", first["top_item_ids"][0])
    assert first["top_items"][0] in item
    sample = ("--concepts", "3", "--decoys", "2", "--cases", "4")
    wrote = told("survey", "export", *config, *sample, "--to", there(proxy, "out/form.html"))
    assert server.held("out/form") == ["out/form.html", "out/form.key.json"]
    assert KEY not in latent + item + wrote
