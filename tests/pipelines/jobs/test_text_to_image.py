"""A text-to-image run in pods: the encodings side by side, and the bytes of one machine."""

from pathlib import Path

from tests.runs import fingerprint, finish
from tests.services.kubernetes import Namespace
from unecho.components.config import resolve
from unecho.components.run import EncodingRecord, ReportRecord, Run


def test_pods_encode_train_and_sample_as_the_local_engine_does(namespace: Namespace, root: str, tmp_path: Path) -> None:
    config = resolve("tiny-text-to-image", "iet-agc+")
    namespace.kubectl("apply", "-k", str(namespace.overlay(config, root, "a")))
    complete, log = namespace.coordinator(900)
    assert complete, log
    assert len(namespace.pods(step="encode")) == config.encode.parts == 2
    local, there = Run.at(str(tmp_path / "local"), "a"), Run.at(root, "a")
    finish(local, config)
    for part in range(2):
        ours, theirs = (run.load(EncodingRecord, part) for run in (local, there))
        assert [block.object.sha256 for block in ours.latents] == [block.object.sha256 for block in theirs.latents]
        assert [block.object.sha256 for block in ours.texts] == [block.object.sha256 for block in theirs.texts]
    assert fingerprint(there) == fingerprint(local)
    ours, theirs = (run.load(ReportRecord, config.iet.rounds) for run in (local, there))
    assert ours.model_folder == theirs.model_folder, "the digest of all of the released folder"
