"""The digits preset, in three rounds: K pods side by side give the bytes of one machine."""

from pathlib import Path

from tests.runs import fingerprint, finish
from tests.services.kubernetes import Namespace
from unecho.components.config import resolve
from unecho.components.run import ReportRecord, Run, SelectionRecord, WatchRecord
from unecho.pipelines.commands import main


def test_kubectl_apply_gives_the_weights_samples_and_figures_of_the_local_engine(
    namespace: Namespace, root: str, tmp_path: Path
) -> None:
    watched = ("watch.every=2", "watch.count=64", "release.select=at_floor")
    config = resolve("digits", "iet-agc+", settings=(*watched, "iet.rounds=3", "execution.prepare_parts=2"))
    namespace.kubectl("apply", "-k", str(namespace.overlay(config, root, "a")))
    complete, log = namespace.coordinator(1200)
    assert complete, log
    local = Run.at(str(tmp_path / "local"), "a")
    finish(local, config)
    there = Run.at(root, "a")
    assert fingerprint(there) == fingerprint(local)
    assert len(namespace.pods(step="pack")) == 2
    rounds = config.iet.rounds
    assert there.load(ReportRecord, rounds).headline == local.load(ReportRecord, rounds).headline
    assert [there.load(WatchRecord, r).look for r in range(rounds)] == [
        local.load(WatchRecord, r).look for r in range(rounds)
    ]
    assert len(namespace.pods(step="watch")) == len(range(2, rounds, 2)), "rounds without a look have no pod"
    assert there.load(SelectionRecord, rounds).chosen == local.load(SelectionRecord, rounds).chosen
    image = namespace.pods(step="train")[0]["spec"]["containers"][0]["image"]
    record = there.load(ReportRecord, rounds)
    assert record.ran_with is not None
    assert record.ran_with.image == image

    # the same run sampled in another way, in pods and here
    asked = ("--set", "sample.sampler=ddim", "--set", "sample.count=128", "--set", "sample.batch_size=64")
    assert main(["audit", there.url, "--engine", "jobs", "--namespace", namespace.name, "--name", "b", *asked]) in (
        0,
        3,
        4,
    )
    assert main(["audit", local.url, "--name", "b", *asked]) in (0, 3, 4)
    ours, theirs = (Run(run.store, "b").load(ReportRecord, 0).headline for run in (local, there))
    assert ours == theirs
    assert len(namespace.pods(step="sample")) == config.sample.parts * 2
