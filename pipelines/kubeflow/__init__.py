"""The Kubeflow engine: the loop as a KFP pipeline, compiled, uploaded and started."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...components.failure import Fatal


@contextmanager
def needing_kfp() -> Iterator[None]:
    """For imports of what needs the extra `kubeflow`: a missing package is one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise Fatal(f"{error.name} is not installed: pip install 'unecho[kubeflow]'") from None
