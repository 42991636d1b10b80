"""A run as one run of MLflow, found again by its address.

MLflow's own client does the requests: whatever `MLFLOW_TRACKING_URI` may say works, with MLflow's own credentials.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict

from ..config import RunConfig
from ..config.fields import flat_fields
from ..failure import Fatal
from ..log import redacted
from ..run import Plan, ReportRecord, Run
from ..store import fetch, parsed
from .scalars import Scalars, started

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

ENVIRONMENT: Final = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Of this process, where the user has not said otherwise: MLflow waits for minutes, and tells its makers of its use."""
ADDRESS: Final = "unecho.run"
"""Tag by which the run is found: its address."""
VERDICT: Final = "unecho.verdict"


def log(
    run: Run, config: RunConfig, figures: Sequence[Scalars], report: ReportRecord | None, *, is_whole: bool
) -> None:
    """Log those of the figures that are not there.

    Args:
        report: the run's newest one.
        is_whole: these are all figures of the run, from a step that stands alone in it: only such a one makes MLflow's
            run where there is none, so that steps side by side never make two.

    Raises:
        Fatal: there is no run yet, and this step is not the one to make it.
        mlflow.MlflowException: MLflow is away, or refuses.
    """
    client = _client()
    experiment = _experiment(client)
    found = _find(client, experiment, run) or (_make(client, experiment, run) if is_whole else None)
    if found is None:
        raise Fatal(f"experiment {experiment} has no run with the tag {ADDRESS}: evaluate makes it, or the next start")
    if is_whole:
        _log_params(client, found, config)
    _log_metrics(client, found, _missing(client, found, figures))
    if is_whole and report:
        _end(client, found, run, report)


def _client() -> "MlflowClient":
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # reads them

    return MlflowClient()


def _experiment(client: "MlflowClient") -> str:
    """The experiment's id."""
    from mlflow import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "unecho"
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException:  # another run was first
        if found := client.get_experiment_by_name(name):
            return str(found.experiment_id)
        raise


def _find(client: "MlflowClient", experiment: str, run: Run) -> "MlflowRun | None":
    """The oldest, should a run have been started twice at once."""
    quote = '"' if "'" in run.url else "'"
    wanted = f"tags.`{ADDRESS}` = {quote}{run.url}{quote}"
    found = client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time ASC"])
    return found[0] if found else None


def _make(client: "MlflowClient", experiment: str, run: Run) -> "MlflowRun":
    plan = run.load(Plan, 0)
    tags = {ADDRESS: run.url, "mlflow.source.name": "unecho"}
    return client.create_run(experiment, _milliseconds(started(plan)), tags, run.name)


def _log_params(client: "MlflowClient", found: "MlflowRun", config: RunConfig) -> None:
    """Those that are not there: MLflow changes none, so a field that may change keeps its first value."""
    from mlflow.entities import Param
    from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

    given = flat_fields(config.model_dump(mode="json"))
    params = [
        Param(name, redacted(_text(value))[:MAX_PARAM_VAL_LENGTH])
        for name, value in given.items()
        if name not in found.data.params
    ]
    for some in _parts(params, MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(found.info.run_id, params=some, synchronous=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _missing(client: "MlflowClient", found: "MlflowRun", figures: Sequence[Scalars]) -> list[Scalars]:
    """Those whose last value is not there; the others came before it."""
    steps: dict[str, set[int]] = {}
    missing = []
    for scalars in figures:
        last = [*_keys(scalars)][-1]
        if last not in found.data.metrics:
            steps[last] = set()
        elif last not in steps:
            steps[last] = {metric.step for metric in client.get_metric_history(found.info.run_id, last)}
        if scalars.step not in steps[last]:
            missing.append(scalars)
    return missing


def _log_metrics(client: "MlflowClient", found: "MlflowRun", figures: Sequence[Scalars]) -> None:
    from mlflow.entities import Metric
    from mlflow.utils.validation import MAX_METRICS_PER_BATCH

    metrics = [
        Metric(key, value, _milliseconds(scalars.time), scalars.step)
        for scalars in figures
        for key, value in _keys(scalars).items()
    ]
    for some in _parts(metrics, MAX_METRICS_PER_BATCH):
        client.log_batch(found.info.run_id, metrics=some, synchronous=True)


def _keys(scalars: Scalars) -> Mapping[str, float]:
    """Values by MLflow's name: series have no folders there, so a shard's stand before its figures."""
    shard = f"{scalars.series}/" if scalars.series.startswith("shards/") else ""
    return {f"{shard}{tag}": value for tag, value in scalars.values.items()}


class _Headline(BaseModel):
    verdict: str
    smoke: str | None = None


class _Report(BaseModel):
    """Of report.json what becomes a tag."""

    model_config = ConfigDict(extra="ignore")
    headline: _Headline


def _end(client: "MlflowClient", found: "MlflowRun", run: Run, report: ReportRecord) -> None:
    ref = report.objects["report.json"]
    headline = parsed(run.store, ref.key, fetch(run.store, ref), _Report).headline
    client.set_tag(found.info.run_id, VERDICT, "undecided" if headline.smoke else headline.verdict)
    ended = started(report) + (report.ran_with.seconds if report.ran_with else 0)
    client.set_terminated(found.info.run_id, "FINISHED", _milliseconds(ended))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


T = TypeVar("T")


def _parts(whole: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (whole[start : start + most] for start in range(0, len(whole), most))
