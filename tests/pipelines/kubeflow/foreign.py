"""Somebody else's pipeline: images are made, our audit measures them, and a task of theirs reads the verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kfp import compiler, dsl, kubernetes
from kfp.components import load_component_from_file

KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3")
IMAGES: Final = 120
"""Enough for a verdict; every second one is a copy of a training image or of a held-out one, the others are noise."""
_GENERATE: Final = f"""
import io, pathlib, sys
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from unecho.components.store import open_store

store, place = open_store(sys.argv[1]), pathlib.Path(sys.argv[2])
real = (load_digits().images * 15.9375).astype(np.uint8)
noise = np.random.default_rng(0).integers(0, 256, real.shape, dtype=np.uint8)
for k in range({IMAGES}):
    file = io.BytesIO()
    Image.fromarray((real if k % 2 else noise)[k]).save(file, "png")
    store.put(f"made/{{k}}.png", file.getvalue())
place.parent.mkdir(parents=True, exist_ok=True)
place.write_text(f"{{store.url}}/made")
"""
_DECIDE: Final = """
import pathlib, sys

place = pathlib.Path(sys.argv[2])
place.parent.mkdir(parents=True, exist_ok=True)
place.write_text("released" if sys.argv[1] == "at_or_below" else "held back")
"""


def compile_foreign(path: Path, component: Path, image: str, python: str, form: Mapping[str, Any]) -> None:
    """Write the pipeline, whose one parameter is the root.

    Args:
        component: the file of the audit.
        image: of their tasks; python: its interpreter.
        form: of the audit, less its addresses.
    """
    audit = load_component_from_file(str(component))

    @dsl.container_component
    def generate(root: str, images: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
        return dsl.ContainerSpec(image, command=[python, "-c", _GENERATE, root, images])

    @dsl.container_component
    def decide(verdict: str, decision: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
        return dsl.ContainerSpec(image, command=[python, "-c", _DECIDE, verdict, decision])

    @dsl.pipeline(name="foreign")
    def foreign(root: str) -> None:
        made = generate(root=root)
        audited = audit(
            address_root=root,
            address_run_name=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            audit_subject=made.outputs["images"],
            data_source="digits",
            **form,
        )
        audited.set_caching_options(False)
        for task in (made, audited):
            kubernetes.use_secret_as_env(task, secret_name="unecho-s3", secret_key_to_env={key: key for key in KEYS})
        decide(verdict=audited.outputs["verdict"])

    compiler.Compiler().compile(foreign, str(path))
