"""Logs a finished night to MLflow: its config, metrics, report and dictionary.

Off unless the config has `[mlflow]`. An unreachable server costs one warning and never fails the night.
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
"""File name prefixes of the artifacts to upload, by stage."""
ENVIRONMENT_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default would delay a finished night by minutes if the server is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
"""Defaults for MLflow's environment variables; the user's values win."""
METRICS_PER_REQUEST, PARAMS_PER_REQUEST, MAX_PARAM_LENGTH, MAX_KEY_LENGTH = 1000, 100, 6000, 250
"""MLflow's limits: entries per request, characters per value and per key."""


def check(config: Config) -> None:
    """Raise BadInput before hours of work if `[mlflow]` cannot work: the package is missing or the URI is unusable."""
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
            f"mlflow.uri = {redact_uri(config.mlflow.uri)} cannot be used ({reason}); give another URI"
        ) from None


def log_night(config: Config, night: str, made: Mapping[str, Committed]) -> None:
    """Log a night to MLflow unless it is logged already; any error becomes one warning."""
    if config.mlflow is None:
        return
    try:
        with _quiet():
            _log(config, config.mlflow, night, made)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        log.warning(
            "mlflow: night %s is not logged at %s: %s",
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
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    if client.search_runs([experiment], f"{query} and attributes.status = 'FINISHED'", max_results=1):
        log.info("mlflow: night %s is logged already", night)
        return
    fingerprints = {f"recsae.fingerprint.{name}": one.fingerprint for name, one in made.items()}
    run = client.create_run(experiment, tags=tags | fingerprints, run_name=f"{config.name} {night}").info.run_id
    try:
        for batch in _batches([Param(key, value) for key, value in params(config).items()], PARAMS_PER_REQUEST):
            client.log_batch(run, params=batch)
        now = int(time.time() * 1000)
        figures = [Metric(key, value, now, 0) for key, value in metrics(made).items()]
        for batch in _batches(figures, METRICS_PER_REQUEST):
            client.log_batch(run, metrics=batch)
        with tempfile.TemporaryDirectory() as folder:
            for stage, prefix in ARTIFACTS.items():
                for name in made[stage].files(prefix):
                    client.log_artifact(run, _local_copy(made[stage], name, Path(folder)))
    except BaseException:
        with contextlib.suppress(Exception):
            client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)
    log.info("mlflow: night %s is run %s of experiment %s", night, run, section.experiment)


def params(config: Config) -> dict[str, str]:
    """The config by dotted key, without credentials and without the section `mlflow`."""
    found = {}
    for key, value in _flatten(config.recorded(exclude={"mlflow"})):
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            redacted = redact_secrets(f"{key}={text}").partition("=")[2]  # the key's name may mark the value as secret
            found[_mlflow_key(key)] = redacted[:MAX_PARAM_LENGTH]
    return found


def metrics(made: Mapping[str, Committed]) -> dict[str, float]:
    """Every numeric metric of every stage by dotted key; lists are left out."""
    found: dict[str, float | None] = {}
    for stage, one in made.items():
        found |= {f"{stage}.{key}": number(value) for key, value in _flatten(one.metrics)}
        found |= {f"seconds.{stage}": number(one.manifest.get("seconds")), f"bytes.{stage}": float(size(one))}
        found |= {f"rows.{stage}": rows(one)}
    return {_mlflow_key(key): float(value) for key, value in found.items() if value is not None}


def _mlflow_key(key: str) -> str:
    """The key with characters that MLflow rejects replaced, cut to its limit."""
    return re.sub(r"[^\w./: -]", "_", key, flags=re.ASCII)[:MAX_KEY_LENGTH]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _local_copy(done: Committed, name: str, folder: Path) -> str:
    """The path of a local copy of a stored file; MLflow uploads only local files."""
    with done.data.open_input(name) as source, (folder / name).open("wb") as target:
        shutil.copyfileobj(source, target)
    return str(folder / name)


def _batches(every: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(every), most):
        yield every[start : start + most]


def _client(section: MlflowConfig) -> Any:
    for name, value in ENVIRONMENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=section.uri)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence urllib3's warning at every retry."""
    logger = logging.getLogger("urllib3")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
