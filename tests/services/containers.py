"""Docker's API (podman's socket will do) and an image of this tree, for tests that run real containers."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container, ContainerCollection
from docker.types import Ulimit

from tests.services.required import demand

TREE = Path(__file__).parents[2]
_CODE = ("components", "pipelines")
_DIGEST = """
import hashlib, pathlib, unecho
root = pathlib.Path(unecho.__file__).parent
files = sorted(p for d in {code} for p in (root / d).rglob("*.py"))
print(hashlib.sha256(b"".join(p.relative_to(root).as_posix().encode() + p.read_bytes() for p in files)).hexdigest())
"""


@dataclass
class Containers:
    """Containers of one image, on the host's network so that they reach the tests' store.

    Attributes:
        started: the command of each container that was started, in order.
    """

    client: docker.DockerClient
    image: str
    started: list[list[str]] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """As in a pod: the image's user, and the command in place of the entry point."""
        limits = [Ulimit(name="nofile", soft=1024, hard=4096), Ulimit(name="nproc", soft=4096, hard=4096)]
        return {"network_mode": "host", "ulimits": limits, "entrypoint": "/usr/bin/env"}

    def run(self, *words: str, **environment: str) -> str:
        """Run a command to its end; what it printed. Fails where it fails."""
        made: bytes = self.client.containers.run(
            self.image, list(words), environment=environment, remove=True, stderr=True, **self.options
        )
        return made.decode()


@contextmanager
def running() -> Iterator[Containers]:
    """Containers of the image UNECHO_TEST_IMAGE; all that were started are removed at the end."""
    image = os.environ.get("UNECHO_TEST_IMAGE")
    if not image:
        demand(
            "containers",
            "no image: set UNECHO_TEST_IMAGE to one built from images/ (and DOCKER_HOST to podman's socket)",
        )
    try:
        client = docker.from_env()
        client.images.get(image)
    except docker.errors.DockerException as error:
        demand("containers", f"no containers: {error}: set DOCKER_HOST to Docker's or podman's socket")
    containers = Containers(client, image)
    here = hashlib.sha256(b"".join(_code())).hexdigest()
    there = containers.run("python3", "-c", _DIGEST.format(code=_CODE)).strip()
    if here != there:
        demand("containers", f"{image} holds other code than this tree: build it anew from images/")
    with _watched(containers):
        yield containers
    client.close()


@contextmanager
def _watched(containers: Containers) -> Iterator[None]:
    """Write down what is started, and keep a container that has ended until its exit status is known.

    KFP's local runner asks for containers that remove themselves, waits for them, and takes one that is gone for one
    that succeeded: against podman that is every one.
    """
    run, made = ContainerCollection.run, []

    def watched(self: ContainerCollection, image: str, command: list[str], **options: Any) -> Container:
        kept = run(self, image=image, command=command, **(options | {"auto_remove": False}))
        if isinstance(kept, Container):
            containers.started.append(command)
            made.append(kept.id)
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContainerCollection, "run", watched)
        yield
    for id in made:
        containers.client.containers.get(id).remove(force=True)


def _code() -> Iterator[bytes]:
    for path in sorted(path for folder in _CODE for path in (TREE / folder).rglob("*.py")):
        yield path.relative_to(TREE).as_posix().encode() + path.read_bytes()
