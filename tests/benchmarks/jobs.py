"""A run with K pods against the local engine on the same work, and where the overhead of a round goes."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tests.runs import finish
from tests.services import s3 as service
from tests.services.kubernetes import SMALL, Namespace
from unecho.components.config import RunConfig, resolve
from unecho.components.run import BeginRecord, ModelRecord, ProxyRecord, RanWith, Run

_NEEDED = ("KUBECONFIG", "UNECHO_TEST_IMAGE", "UNECHO_TEST_HOST")


def benchmark() -> None:
    if missing := [name for name in _NEEDED if not os.environ.get(name)]:
        print(f"  needs a cluster: set {', '.join(missing)}")
        return
    config = resolve("digits", settings=("iet.rounds=3", "iet.local_steps=360"))
    with TemporaryDirectory(prefix="unecho-bench-") as folder, _namespace(Path(folder)) as namespace:
        root = f"s3://{service.BUCKET}/{uuid4().hex}"
        began = time.monotonic()
        finish(Run.at(f"{root}/local", "a"), config)
        local = time.monotonic() - began
        began = time.monotonic()
        namespace.kubectl("apply", "-k", str(namespace.overlay(config, f"{root}/jobs", "a", patches=(SMALL,))))
        complete, log = namespace.coordinator(1200)
        jobs = time.monotonic() - began
        assert complete, log
        print(f"  whole run: {jobs:.0f} s in pods, {local:.0f} s here: {jobs / local:.2f}x")
        _rounds(config, Run.at(f"{root}/jobs", "a"), namespace)


@contextmanager
def _namespace(folder: Path) -> Iterator[Namespace]:
    with service.own(folder / "server", os.environ["UNECHO_TEST_HOST"]) as s3:
        keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
        os.environ.update(keys | {"AWS_ENDPOINT_URL_S3": s3.endpoint})
        namespace = Namespace(folder, s3, os.environ["UNECHO_TEST_IMAGE"]).make()
        try:
            yield namespace
        finally:
            namespace.remove()


def _rounds(config: RunConfig, run: Run, namespace: Namespace) -> None:
    rounds, shards = config.iet.rounds, config.iet.shards
    parts: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        parts.setdefault(name, []).append(value)

    for round in range(rounds):
        began = _began(run.load(BeginRecord, round).ran_with)
        model = run.load(ModelRecord, round + 1)
        proxies = [run.load(ProxyRecord, round, k) for k in range(shards)]
        last = max(proxies, key=lambda p: _began(p.ran_with) + _took(p.ran_with))
        training, averaging = _took(last.ran_with), _took(model.ran_with)
        wall = _began(model.ran_with) + averaging - began
        add("a round, wall", wall)
        add("  training, the last proxy's", training)
        add("  averaging", averaging)
        add("  overhead", wall - training - averaging)
        for step, record, where in (("train", last, last.shard), ("aggregate", model, 0)):
            pod = _pod(namespace, step, round, where)
            created = _seconds(pod["metadata"]["creationTimestamp"])
            started = _seconds(pod["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"])
            add(f"    {step}: pod made to container started (whole seconds)", started - created)
            add(f"    {step}: container started to step begun: imports", _began(record.ran_with) - started)
    for name, values in parts.items():
        print(f"  {name}: {statistics.median(values):.1f} s (median of {rounds})")


def _pod(namespace: Namespace, step: str, round: int, index: int) -> dict[str, Any]:
    name = "batch.kubernetes.io/job-completion-index"
    pods = namespace.pods(step=step, round=str(round))
    return next(pod for pod in pods if pod["metadata"]["annotations"][name] == str(index))


def _began(ran_with: RanWith | None) -> float:
    assert ran_with is not None
    return datetime.fromisoformat(ran_with.started).timestamp()


def _took(ran_with: RanWith | None) -> float:
    assert ran_with is not None
    return ran_with.seconds


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
