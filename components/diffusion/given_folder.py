"""A pipeline that is given, by its folder's index and configs: how it is called, its parts, the size of its images."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..failure import Fatal
from .base_folder import read_object

Kind = Literal["unconditional", "text"]
"""Asked for nothing but a number of images, or for prompts."""
ReadConfig = Callable[[str], Mapping[str, Any]]
"""From a component to its config.json."""

_KINDS: Final[dict[str, Kind]] = {
    "DDPMPipeline": "unconditional",
    "DDIMPipeline": "unconditional",
    "StableDiffusionPipeline": "text",
    "StableDiffusionXLPipeline": "text",
}
"""Known without diffusers, which takes seconds to import; others are told by their signature."""
NOT_READ: Final = ("safety_checker", "feature_extractor", "image_encoder", "watermarker")
"""What would censor or mark the images that are measured, and what takes other images."""
_OTHER_IMAGES: Final = {"image", "images", "input_images", "mask_image", "control_image"}
_NETWORKS: Final = ("unet", "transformer")
_DECODERS: Final = ("vae", "vqvae", "movq")
_SUPPORTED: Final = (
    "audited are unconditional pipelines (DDPMPipeline, DDIMPipeline and others that are asked for nothing) and "
    "text-to-image ones (StableDiffusionPipeline, StableDiffusionXLPipeline and others that take a prompt and a size); "
    "of any other, audit images that it has made"
)


@dataclass(frozen=True)
class GivenIndex:
    """What an index says of a pipeline.

    Attributes:
        where: the field that names the folder, and its address: for messages.
        name: the pipeline's class, of diffusers.
        components: library and class of each that is read, by its name.
    """

    where: str
    name: str
    kind: Kind
    components: Mapping[str, tuple[str, str]]


def read_given(where: str, data: bytes) -> GivenIndex:
    """Parse a model_index.json.

    Raises:
        Fatal: it is of a pipeline that cannot be audited, or that needs code of its own; says which can.
    """
    index = read_object(where, "model_index.json", data)
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise Fatal(f"{where}: its class is {json.dumps(name)}, code of its own, which is never run: {_SUPPORTED}")
    kind = _KINDS.get(name) or _kind_by_signature(where, name)
    return GivenIndex(where, name, kind, _components(where, index))


def _kind_by_signature(where: str, name: str) -> Kind:
    """How a pipeline of diffusers is called, by what it must be told and what it may be told."""
    import diffusers

    found = getattr(diffusers, name, None) if name.endswith("Pipeline") else None
    if not (inspect.isclass(found) and issubclass(found, diffusers.DiffusionPipeline)):
        raise Fatal(f"{where}: a {name} is no pipeline of diffusers {diffusers.__version__}: {_SUPPORTED}")
    takes = inspect.signature(found.__call__).parameters
    needed = {n for n, p in takes.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD} - {"self"}
    if "class_labels" in takes:
        raise Fatal(f"{where}: a {name} makes images of a class: {_SUPPORTED}")
    if takes.keys() & _OTHER_IMAGES or any("video" in name or "frames" in name for name in takes):
        raise Fatal(f"{where}: a {name} takes or makes more than single images from nothing or a text: {_SUPPORTED}")
    common = {"generator", "num_inference_steps", "output_type"}
    if takes.keys() >= common | {"batch_size"} and "prompt" not in takes and not needed:
        return "unconditional"
    if takes.keys() >= common | {"prompt", "height", "width", "guidance_scale"} and needed <= {"prompt"}:
        return "text"
    raise Fatal(f"{where}: a {name} cannot be asked for images in a known way: {_SUPPORTED}")


def _components(where: str, index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    components = {}
    for name, entry in index.items():
        match entry:
            case [str(library), str(kind)] if name not in NOT_READ:
                if not (library in ("diffusers", "transformers") or _is_of_diffusers(library)):
                    raise Fatal(
                        f"{where}: its {name} is a {library}.{kind}, code of its own, which is never run: {_SUPPORTED}"
                    )
                components[name] = (library, kind)
    return components


def _is_of_diffusers(library: str) -> bool:
    """Whether it is a folder of diffusers' own pipelines, as an index names what stands there."""
    from diffusers import pipelines

    return inspect.ismodule(getattr(pipelines, library, None))


def given_shape(index: GivenIndex, config_of: ReadConfig, resolution: int | None) -> tuple[int, int]:
    """Channels of its images, and their height and width in pixels.

    Args:
        resolution: for a pipeline whose configs do not say its size.

    Raises:
        Fatal: they are neither grey nor RGB, or not square, or nothing says their size; names the field.
    """
    network, decoder = (_config(index, config_of, names) for names in (_NETWORKS, _DECODERS))
    if network is None:
        raise Fatal(f"{index.where}: a {index.name} without {' or '.join(_NETWORKS)}: {_SUPPORTED}")
    _check_network(index, network, decoder)
    channels = network.get("in_channels", 3) if decoder is None else decoder.get("out_channels", 3)
    if channels not in (1, 3):
        raise Fatal(f"{index.where}: its images have {channels} channels: 1 (grey) or 3 (RGB) can be compared")
    side = _side(index, network, decoder) or resolution
    if side is None:
        raise Fatal(
            f"data.resolution: auto, but the configs of {index.where} do not say how large its images are: set it"
        )
    return channels, side


def _config(index: GivenIndex, config_of: ReadConfig, names: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The config of the first of these components that the pipeline has."""
    return next((config_of(name) for name in names if name in index.components), None)


def _check_network(index: GivenIndex, network: Mapping[str, Any], decoder: Mapping[str, Any] | None) -> None:
    """Whether a network that its pipeline would call so is one that can be."""
    if index.kind == "unconditional" and (network.get("num_class_embeds") or network.get("class_embed_type")):
        raise Fatal(f"{index.where}: its network makes images of a class: {_SUPPORTED}")
    latent = (decoder or {}).get("latent_channels")
    if "unet" in index.components and latent and network.get("in_channels") not in (None, latent):
        raise Fatal(
            f"{index.where}: its UNet takes {network['in_channels']} channels, its decoder's latents have {latent}: an "
            f"inpainting or depth model: {_SUPPORTED}"
        )


def _side(index: GivenIndex, network: Mapping[str, Any], decoder: Mapping[str, Any] | None) -> int | None:
    """Height and width as the pipeline would choose them; None where nothing says it."""
    size = network.get("sample_size")
    if isinstance(size, list | tuple) and size:
        if len({*size}) != 1:
            raise Fatal(f"{index.where}: its images are {'x'.join(map(str, size))}, only square ones are compared")
        size = size[0]
    if not isinstance(size, int):
        return None
    if index.name == "StableDiffusionPipeline" and size < 64 and _before_0_9(network):
        size = 64  # as the pipeline itself takes it: Stable Diffusion 1's first configs say 32
    if decoder is None:
        return size
    levels = decoder.get("block_out_channels") or decoder.get("encoder_block_out_channels")
    return int(size * 2 ** (len(levels) - 1)) if levels else None


def _before_0_9(network: Mapping[str, Any]) -> bool:
    """Whether diffusers saved it before 0.9.0."""
    found = re.match(r"(\d+)\.(\d+)", str(network.get("_diffusers_version", "")))
    return found is not None and (int(found[1]), int(found[2])) < (0, 9)
