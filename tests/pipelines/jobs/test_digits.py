"""The digits preset, whole: K pods side by side give the bytes of one machine."""

from pathlib import Path

from tests.runs import fingerprint, finish
from tests.services.kubernetes import Namespace
from unecho.components.config import resolve
from unecho.components.run import ReportRecord, Run


def test_kubectl_apply_gives_the_weights_samples_and_figures_of_the_local_engine(
    namespace: Namespace, root: str, tmp_path: Path
) -> None:
    config = resolve("digits", "iet-agc+")
    namespace.kubectl("apply", "-k", str(namespace.overlay(config, root, "a")))
    complete, log = namespace.coordinator(1200)
    assert complete, log
    local = Run.at(str(tmp_path / "local"), "a")
    finish(local, config)
    there = Run.at(root, "a")
    assert fingerprint(there) == fingerprint(local)
    rounds = config.iet.rounds
    assert there.load(ReportRecord, rounds).headline == local.load(ReportRecord, rounds).headline
    image = namespace.pods(step="train")[0]["spec"]["containers"][0]["image"]
    record = there.load(ReportRecord, rounds)
    assert record.ran_with is not None
    assert record.ran_with.image == image
