"""Whatever dies, a run on a cluster ends with the bytes of one on one machine that nothing happened to."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

from tests.runs import fingerprint
from tests.services.kubernetes import SMALL, Namespace, until
from tests.services.required import demand
from unecho.components.config import RunConfig
from unecho.components.run import Run


def checkpointed(root: str, round: int, shard: str = "") -> list[str]:
    """Keys of the checkpoints of a round, or of one of its shards."""
    prefix = f"runs/a/checkpoints/{round}/" + (f"{shard}/" if shard else "")
    return [s.key for s in Run.at(root, "a").store.list(prefix) if s.key.endswith("t.json")]


def training(namespace: Namespace, root: str, round: int) -> str:
    """Name of a pod that trains in a round, once something of the round is kept."""

    def look() -> str | None:
        names = namespace.running(step="train", round=str(round))
        return names[0] if names and checkpointed(root, round) else None

    return until(look, f"a pod that trains in round {round}")


def listening(namespace: Namespace, root: str) -> str | None:
    """Name of a pod of round 0 that has kept something itself: before Python is up, process 1 ignores SIGTERM."""
    names = namespace.running(step="train", round="0")
    return next((name for name in names if checkpointed(root, 0, name.split("-")[4])), None)


def test_training_pods_killed_terminated_deleted_and_drained(
    namespace: Namespace, root: str, long: RunConfig, expected: dict[str, str]
) -> None:
    namespace.kubectl("apply", "-k", str(namespace.overlay(long, root, "a")))
    told_to_end = until(lambda: listening(namespace, root), "a pod that trains")
    namespace.kubectl("exec", told_to_end, "--", "python3", "-c", "import os; os.kill(1, 15)", check=False)
    hit = until(lambda: [n for n in namespace.running(step="train", round="0") if n != told_to_end], "another pod")[0]
    namespace.kubectl("delete", "pod", hit, "--grace-period=0", "--force")  # SIGKILL
    node = namespace.pods(step="train")[0]["spec"]["nodeName"]
    drained = training(namespace, root, 1)
    try:
        chosen = ["--pod-selector=unecho/round=1", "--force", "--delete-emptydir-data", "--timeout=60s"]
        print(namespace.kubectl("drain", node, *chosen))
    finally:
        namespace.kubectl("uncordon", node)
    complete, log = namespace.coordinator()
    assert complete, log
    assert drained not in namespace.running(step="train")
    assert fingerprint(Run.at(root, "a")) == expected
    told = [json.loads(line)["message"] for line in log.splitlines()]
    assert [line for line in told if told_to_end in line and "another pod takes over" in line]


def test_a_pod_out_of_memory_is_told_so_and_the_run_goes_on_with_more(
    namespace: Namespace, root: str, long: RunConfig, expected: dict[str, str]
) -> None:
    tight = {
        "target": {"kind": "PodTemplate", "name": "unecho-gpu-step"},
        "patch": '[{"op": "replace", "path": "/template/spec/containers/0/resources/limits/memory", "value": "250Mi"}]',
    }
    namespace.kubectl("apply", "-k", str(namespace.overlay(long, root, "a", patches=(SMALL, tight))))
    line = until(
        lambda: [
            line for line in namespace.kubectl("logs", "job/unecho", check=False).splitlines() if "out of" in line
        ],
        "the coordinator tells of it",
    )[0]
    assert "killed: out of memory (limit 250Mi)" in line
    assert "out of memory (limit 250Mi)" in " ".join(namespace.status(f"{root}/runs/a").split())
    namespace.kubectl("replace", "--force", "-k", str(namespace.overlay(long, root, "a")))
    complete, log = namespace.coordinator()
    assert complete, log
    assert fingerprint(Run.at(root, "a")) == expected


def jobs(namespace: Namespace) -> set[str]:
    return {job["metadata"]["name"] for job in namespace.get("jobs")}


def test_the_coordinator_killed_at_every_job(
    namespace: Namespace, root: str, long: RunConfig, expected: dict[str, str]
) -> None:
    namespace.kubectl("apply", "-k", str(namespace.overlay(long, root, "a", base="pods")))
    seen: set[str] = set()
    kills = 0
    while True:
        process = namespace.outside(long, root, "a")
        known = frozenset(seen)
        new = until(lambda p=process, k=known: jobs(namespace) - k or p.poll() is not None, "another Job, or the end")
        if new is True:
            assert process.returncode == 0, process.communicate()[0]
            break
        seen |= new
        process.kill()
        process.communicate()
        kills += 1
    assert kills >= 8, "prepare, initialize beside shard, two rounds of two, sample, evaluate"
    assert fingerprint(Run.at(root, "a")) == expected


def test_a_coordinator_pod_that_is_deleted_is_replaced_and_two_at_once_do_no_harm(
    namespace: Namespace, root: str, long: RunConfig, expected: dict[str, str]
) -> None:
    namespace.kubectl("apply", "-k", str(namespace.overlay(long, root, "a")))
    processes = [namespace.outside(long, root, "a") for _ in range(2)]
    training(namespace, root, 0)
    namespace.kubectl("delete", "pod", "--selector=unecho/coordinator=true", "--wait=false")
    for process in processes:
        output = process.communicate()[0]
        assert process.returncode == 0, output
    complete, log = namespace.coordinator()
    assert complete, log
    assert fingerprint(Run.at(root, "a")) == expected
    uids = [pod["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] for pod in namespace.pods(step="train")]
    assert len(set(uids)) == 2, "one Job a round, whoever made it"


def test_a_run_deleted_in_mid_flight_leaves_no_pod_and_starts_again(
    namespace: Namespace, root: str, long: RunConfig, expected: dict[str, str]
) -> None:
    overlay = str(namespace.overlay(long, root, "a"))
    namespace.kubectl("apply", "-k", overlay)
    training(namespace, root, 0)
    namespace.kubectl("delete", "-k", overlay)
    until(lambda: not namespace.get("pods") and not namespace.get("jobs"), "nothing of it is left")
    assert not [c for c in namespace.get("configmaps") if c["metadata"]["name"].startswith("unecho")]
    namespace.kubectl("apply", "-k", overlay)
    complete, log = namespace.coordinator()
    assert complete, log
    assert fingerprint(Run.at(root, "a")) == expected
    # and once more, finished as it is: nothing is computed again
    before = {stat.key: stat.modified for stat in Run.at(root, "a").store.list("runs/a/")}
    namespace.kubectl("replace", "--force", "-k", overlay)
    complete, log = namespace.coordinator()
    assert complete, log
    assert {stat.key: stat.modified for stat in Run.at(root, "a").store.list("runs/a/")} == before
    assert not namespace.pods(step="train")


@contextlib.contextmanager
def api_server_away() -> Iterator[None]:
    """The API server's process, on this machine, answers nothing."""
    found = subprocess.run(["pgrep", "-f", "(^|/)kube-apiserver "], capture_output=True, text=True).stdout.split()
    if not found or os.geteuid() != 0:
        demand("kubernetes", "needs a cluster whose API server is a process of this machine, and root")
    pid = int(found[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_api_server_away_for_30_s_then_the_store_away_for_60_s(
    namespace: Namespace, root: str, long: RunConfig, expected: dict[str, str]
) -> None:
    server = namespace.s3.server
    if server is None:
        demand("kubernetes", "needs a store of the tests' own: set UNECHO_TEST_HOST, and not UNECHO_TEST_S3_ENDPOINT")
    namespace.kubectl("apply", "-k", str(namespace.overlay(long, root, "a")))
    training(namespace, root, 0)
    with api_server_away():
        time.sleep(30)
    training(namespace, root, 1)
    server.kill()
    try:
        time.sleep(60)
    finally:
        server.start()
    complete, log = namespace.coordinator()
    assert complete, log
    assert fingerprint(Run.at(root, "a")) == expected
