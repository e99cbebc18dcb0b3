"""Logs a finished night to MLflow: its config, metrics, report and dictionary.

Off unless the config has `[mlflow]`. An unreachable server costs one line of the log and never the night.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recsae.config.mlflow import MlflowConfig
from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.observability.summary import rows, size
from recsae.store.run_store import Committed
from recsae.text.formatting import number
from recsae.text.redaction import redact_secrets, redact_uri

log = logging.getLogger(__name__)

ARTIFACTS = {"concepts": "concepts.parquet", "report": ""}
"""By stage: files that begin so go along."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default a server that is down holds a finished night up for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
"""Of MLflow's environment, where the user has not set them."""
METRICS_A_TIME, PARAMS_A_TIME, PARAM_LETTERS, KEY_LETTERS = 1000, 100, 6000, 250
"""What one request, value and name may hold."""


def check(config: Config) -> None:
    """Raises BadInput where `[mlflow]` cannot work whatever the server does: before hours are spent."""
    if config.mlflow is None:
        return
    if importlib.util.find_spec("mlflow") is None:
        raise BadInput(
            "[mlflow] needs a package that is not installed; run pip install 'recsae[mlflow]', or leave the section out"
        )
    try:
        _client(config.mlflow)
    except Exception as error:
        reason = redact_secrets(str(error).splitlines()[0])
        raise BadInput(
            f"mlflow.uri = {redact_uri(config.mlflow.uri)} cannot be used ({reason}); give another"
        ) from None


def log_night(config: Config, night: str, made: Mapping[str, Committed]) -> None:
    """Write a night down once; what goes wrong is one warning."""
    if config.mlflow is None:
        return
    try:
        with _quiet():
            _log(config, config.mlflow, night, made)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        log.warning(
            "mlflow: night %s is not written down at %s: %s",
            night,
            redact_uri(config.mlflow.uri),
            redact_secrets(reason),
        )


def _log(config: Config, section: MlflowConfig, night: str, made: Mapping[str, Committed]) -> None:
    from mlflow.entities import Metric, Param

    client = _client(section)
    found = client.get_experiment_by_name(section.experiment)
    experiment = found.experiment_id if found else client.create_experiment(section.experiment)
    tags = {"recsae.run": config.name, "recsae.night": night}
    asked = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    if client.search_runs([experiment], f"{asked} and attributes.status = 'FINISHED'", max_results=1):
        log.info("mlflow: night %s is written down already", night)
        return
    prints = {f"recsae.fingerprint.{name}": one.fingerprint for name, one in made.items()}
    run = client.create_run(experiment, tags=tags | prints, run_name=f"{config.name} {night}").info.run_id
    try:
        for some in _batches([Param(key, value) for key, value in params(config).items()], PARAMS_A_TIME):
            client.log_batch(run, params=some)
        now = int(time.time() * 1000)
        figures = [Metric(key, value, now, 0) for key, value in metrics(made).items()]
        for some in _batches(figures, METRICS_A_TIME):
            client.log_batch(run, metrics=some)
        with tempfile.TemporaryDirectory() as folder:
            for stage, prefix in ARTIFACTS.items():
                for name in made[stage].files(prefix):
                    client.log_artifact(run, _copied(made[stage], name, Path(folder)))
    except BaseException:
        with contextlib.suppress(Exception):
            client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)
    log.info("mlflow: night %s is run %s of experiment %s", night, run, section.experiment)


def params(config: Config) -> dict[str, str]:
    """The config, key by key, without credentials and without what says where this is written."""
    found = {}
    for key, value in _flat(config.recorded(exclude={"mlflow"})):
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            told = redact_secrets(f"{key}={text}").partition("=")[2]  # what a key is called may say that it is a secret
            found[_named(key)] = told[:PARAM_LETTERS]
    return found


def metrics(made: Mapping[str, Committed]) -> dict[str, float]:
    """Every figure of every stage that is a number, with the way to it as its name; lists are left to the report."""
    found: dict[str, float | None] = {}
    for stage, one in made.items():
        found |= {f"{stage}.{key}": number(value) for key, value in _flat(one.metrics)}
        found |= {f"seconds.{stage}": number(one.manifest.get("seconds")), f"bytes.{stage}": float(size(one))}
        found |= {f"rows.{stage}": rows(one)}
    return {_named(key): float(value) for key, value in found.items() if value is not None}


def _named(key: str) -> str:
    """Of other signs MLflow wants none."""
    return re.sub(r"[^\w./: -]", "_", key, flags=re.ASCII)[:KEY_LETTERS]


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _copied(done: Committed, name: str, folder: Path) -> str:
    """A file of the store as a local one, which MLflow wants."""
    with done.data.open_input(name) as source, (folder / name).open("wb") as target:
        shutil.copyfileobj(source, target)
    return str(folder / name)


def _batches(every: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(every), most):
        yield every[start : start + most]


def _client(section: MlflowConfig) -> Any:
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=section.uri)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """One warning is enough: without urllib3's at every try."""
    logger = logging.getLogger("urllib3")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
