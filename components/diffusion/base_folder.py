"""A pretrained text-to-image pipeline as a folder: which files count, and whether it is of a kind that trains."""

import json
import posixpath
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from ..failure import Fatal

_ONE: Final = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
COMPONENTS: Final = (*_ONE, "text_encoder_2", "tokenizer_2")
PIPELINES: Final = {"StableDiffusionPipeline": _ONE, "StableDiffusionXLPipeline": COMPONENTS}
"""Classes of diffusers that are fine-tuned, and what they consist of: Stable Diffusion 1.x and 2.x, and XL."""
INDEX: Final = "model_index.json"
RANDOM_TINY: Final = "random-tiny"
"""In place of an address: a pipeline of random weights, see `random_tiny`."""
TOKENIZER_SUFFIXES: Final = (".json", ".txt", ".model")
"""Of the files that a tokenizer is made of, and of configs."""
_WITHOUT_WEIGHTS: Final = ("scheduler", "tokenizer", "feature_extractor", "image_processor", "processor")
_CLASSES: Final = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
_STEMS: Final = ("diffusion_pytorch_model", "model")
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.safetensors")


def wanted_files(where: str, names: Collection[str], components: Collection[str]) -> list[str]:
    """Those of a folder's files that are read, sorted: the index, configs, tokenizers and safetensors weights.

    Weights of full precision are preferred to a half-precision variant (fp16).

    Args:
        where: the field that names the folder, and its address: for messages, as everywhere here.
        names: paths in the folder.
        components: those that its pipeline consists of.

    Raises:
        Fatal: it has no index, lacks a component, or has weights in a pickled form alone; names what is there.
    """
    if not names:
        raise Fatal(f"{where}: no such folder, or nothing of a diffusers pipeline in it")
    if INDEX not in names:
        raise Fatal(f"{where}: no {INDEX} there, so it is no diffusers pipeline; it has {', '.join(sorted(names)[:3])}")
    wanted = [INDEX]
    for component in components:
        here = sorted(name for name in names if posixpath.dirname(name) == component)
        if not here:
            raise Fatal(
                f"{where}: it has no {component}/, of which its pipeline needs {', '.join(sorted(components))}: copy "
                "the whole folder"
            )
        wanted += [name for name in here if name.endswith(TOKENIZER_SUFFIXES) and ".index." not in name]
        if has_weights(component):
            wanted += _weights(where, component, here)
    return sorted(wanted)


def has_weights(component: str) -> bool:
    """Whether a component of that name is a network: pipelines of diffusers name the others so, too."""
    return not component.startswith(_WITHOUT_WEIGHTS)


def _weights(where: str, component: str, here: list[str]) -> list[str]:
    for stem in _STEMS:
        for variant in ("", ".fp16"):
            whole, index = (f"{component}/{stem}{end}" for end in (f"{variant}.safetensors", ".safetensors.index"))
            if whole in here:
                return [whole]
            index += f"{variant}.json"
            if index in here:
                start = f"{component}/{stem}{variant}-"
                return [index, *(name for name in here if name.startswith(start) and _SHARD.fullmatch(name))]
    found = ", ".join(posixpath.basename(name) for name in here) or "nothing"
    raise Fatal(
        f"{where}: {component}/ has no weights as safetensors, it holds {found}: load it once with "
        "diffusers and save it with safe_serialization=True"
    )


def variant_of(folder: Path, component: str) -> str | None:
    """The variant of a component's weights, as `from_pretrained` takes it: fp16 where there is no other, else None."""
    names = [path.name for path in (folder / component).iterdir()]
    plain = any(name.endswith((".safetensors", ".safetensors.index.json")) and ".fp16" not in name for name in names)
    return None if plain else "fp16"


def read_index(where: str, data: bytes) -> dict[str, Any]:
    """The pipeline's index, if it is of a kind that trains.

    Raises:
        Fatal: it is none; names its class, and those that are.
    """
    index = read_object(where, INDEX, data)
    name = str(index.get("_class_name"))
    if name in PIPELINES:
        _check_classes(where, index, PIPELINES[name])
        return index
    known = " or ".join(PIPELINES)
    if "StableDiffusion" in name and name != "StableDiffusion3Pipeline":
        raise Fatal(f"{where}: a {name} is not text-to-image: give the {known} that it was made from")
    if name in ("DDPMPipeline", "DDIMPipeline"):
        raise Fatal(f"{where}: a {name} is not text-to-image: set model.family=pixels, or give a {known}")
    raise Fatal(f"{where}: a {name} cannot be fine-tuned here: give a {known}")


def _check_classes(where: str, index: Mapping[str, Any], components: Collection[str]) -> None:
    for component in components:
        match index.get(component):
            case [str(), str(kind)]:
                if kind != (known := _CLASSES.get(component, kind)):
                    raise Fatal(f"{where}: its {component} is a {kind}: only {known} is supported")
            case other:
                raise Fatal(
                    f"{where}: {INDEX} says {json.dumps(other)} of {component}, not its library "
                    "and class: save the whole pipeline with diffusers"
                )


def read_config(where: str, name: str, data: bytes) -> dict[str, Any]:
    """A component's configuration, less its notes on itself.

    Raises:
        Fatal: not a JSON object; names it.
    """
    return {key: value for key, value in read_object(where, name, data).items() if not key.startswith("_")}


def read_object(where: str, name: str, data: bytes) -> dict[str, Any]:
    """A file of JSON that is an object of fields.

    Raises:
        Fatal: it is not; names it.
    """
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Fatal(f"{where}: {name}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Fatal(f"{where}: {name}: not an object of fields")
    return found
