"""A real Kubernetes cluster for tests, through kubectl as a user has it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import yaml

from tests.services.required import demand
from tests.services.s3 import S3
from unecho.components.config import RunConfig

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[2]
_NEEDED = "needs a cluster: set KUBECONFIG, and UNECHO_TEST_IMAGE to the image of this tree that its nodes have"
SMALL = {
    "target": {"kind": "PodTemplate"},
    "patch": yaml.dump(
        [
            {
                "op": "replace",
                "path": "/template/spec/containers/0/resources",
                "value": {
                    "requests": {"cpu": "50m", "memory": "200Mi"},
                    "limits": {"cpu": "2", "memory": "3Gi"},
                },
            }
        ]
    ),
}
"""So that the pods of a test fit beside each other on a small node."""


def image() -> str:
    """The image under test; demands a cluster."""
    if not os.environ.get("KUBECONFIG") or not shutil.which("kubectl"):
        demand("kubernetes", f"{_NEEDED} (kubectl on the path)")
    found = os.environ.get("UNECHO_TEST_IMAGE")
    return found or demand("kubernetes", _NEEDED)


def until(look: Callable[[], T | None], what: str, timeout_s: float = 120.0) -> T:
    """Look until there is something to see.

    Raises:
        AssertionError: there was nothing in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.3)
    return found


@dataclass
class Namespace:
    """A namespace of its own under Pod Security `restricted`, with the Secret for a store.

    Attributes:
        folder: for kustomizations.
        settings: the environment of a program outside the cluster.
    """

    folder: Path
    s3: S3
    image: str
    name: str = field(default_factory=lambda: f"unecho-{uuid4().hex[:8]}")
    settings: dict[str, str] = field(default_factory=dict)

    def make(self) -> "Namespace":
        """Make it in the cluster."""
        text = (REPOSITORY / "manifests" / "namespace.yaml").read_text().replace("name: unecho", f"name: {self.name}")
        self.kubectl("apply", "-f", "-", input=text)
        keys = {
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_ENDPOINT_URL_S3": self.s3.endpoint,
        }
        self.settings = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | keys
        self.make_secret(keys)
        return self

    def make_secret(self, keys: Mapping[str, str]) -> None:
        literals = [f"--from-literal={name}={value}" for name, value in keys.items()]
        self.kubectl("create", "secret", "generic", "unecho-s3", *literals)

    def remove(self) -> None:
        """Jobs first: a namespace that goes takes the pods of running Jobs first, and waits for the Jobs to let go."""
        self.kubectl("delete", "jobs", "--all", "--cascade=foreground", "--timeout=150s", check=False)
        self.kubectl("delete", "namespace", self.name, "--wait=false")

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        """What kubectl prints, warnings included."""
        done = subprocess.run(
            ["kubectl", "--namespace", self.name, *arguments], input=input, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout + done.stderr

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """Objects as plain data."""
        return list(json.loads(self.kubectl("get", *arguments, "--output=json"))["items"])

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """Pods of a step, and a round."""
        selector = ",".join(f"unecho/{name}={value}" for name, value in labels.items())
        return self.get("pods", f"--selector={selector}")

    def running(self, **labels: str) -> list[str]:
        """Names of the pods whose container runs."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods(**labels)
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def overlay(
        self,
        config: RunConfig,
        root: str,
        run: str,
        *,
        base: str = "overlays/cpu",
        patches: Sequence[Mapping[str, Any]] = (SMALL,),
        image: str | None = None,
        literals: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """A kustomization of a user's own, on one of the repository's.

        Args:
            literals, files: more of the ConfigMap.
        """
        folder = self.folder / f"overlay-{uuid4().hex[:6]}"
        folder.mkdir()
        name, _, tag = (image or self.image).rpartition(":")
        text: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.name,
            "resources": [os.path.relpath(REPOSITORY / "manifests" / base, folder)],
            "images": [{"name": "unecho", "newName": name, "newTag": tag}],
            "patches": list(patches),
        }
        if base != "pods":
            (folder / "run.yaml").write_text(yaml.dump(config.model_dump(mode="json")))
            of_run = [f"root={root}", f"name={run}", f"preset={config.preset}", f"variant={config.variant}"]
            generator = {"name": "unecho", "behavior": "merge", "literals": [*of_run, *literals]}
            for name, content in (files or {}).items():
                (folder / name).write_text(content)
            text["configMapGenerator"] = [generator | {"files": ["run.yaml", *(files or {})]}]
        (folder / "kustomization.yaml").write_text(yaml.dump(text))
        return folder

    def coordinator(self, timeout_s: float = 300.0) -> tuple[bool, str]:
        """Wait for the coordinator Job's end: whether it is complete, and the log of its last pod."""
        return self.ended("unecho", timeout_s)

    def ended(self, job: str, timeout_s: float = 300.0) -> tuple[bool, str]:
        """Wait for a Job's end: whether it is complete, and the log of its last pod."""

        def kinds() -> list[str] | None:
            status = json.loads(self.kubectl("get", "job", job, "--output=json"))["status"]
            found = [c["type"] for c in status.get("conditions", []) if c["status"] == "True"]
            return found if {"Complete", "Failed"} & set(found) else None

        found = until(kinds, f"end of job {job} in {self.name}", timeout_s)
        return "Complete" in found, self.kubectl("logs", f"job/{job}", check=False)

    def outside(self, config: RunConfig, root: str, run: str) -> "subprocess.Popen[str]":
        """`unecho run --engine jobs` on this machine."""
        file = self.folder / f"{uuid4().hex[:6]}.yaml"
        file.write_text(yaml.dump(config.model_dump(mode="json")))
        arguments = ["--root", root, "--name", run, "--config", str(file), "--namespace", self.name]
        return subprocess.Popen(
            [sys.executable, "-m", "unecho", "run", "--engine", "jobs", *arguments],
            cwd=REPOSITORY,
            env=self.settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self, address: str) -> str:
        """What `unecho status` prints, at 80 columns."""
        done = subprocess.run(
            [sys.executable, "-m", "unecho", "status", address, "--namespace", self.name],
            cwd=REPOSITORY,
            env=self.settings | {"COLUMNS": "80"},
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr
