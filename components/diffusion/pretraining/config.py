"""Every setting of a base model that is trained from nothing. The docstring below a field is its help."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from ...config.fields import Data, Numbers, Positive, Section, Share

Widths = Annotated[Numbers, Field(min_length=2)]
Rate = Annotated[float, Field(gt=0, lt=1)]

BASE_DATA: Final[dict[str, Any]] = {
    "resolution": 32,
    "channels": 3,
    "resize": "squash",  # drawings stand to their edges: cutting the centre would take off heads and feet
    "held_out": 0.05,
    "on_bad_image": "skip",
}
"""What a base model asks of its data set where nothing else is said."""


class Tokenizer(Section):
    """Byte pairs of the training captions (CLIPTokenizer)."""

    vocabulary: Annotated[int, Field(ge=515, le=65_536)] = 2048
    """Tokens at most: 512 for bytes, inside and at the end of a word, two that begin and end a caption, the rest
    merges."""
    max_length: Annotated[int, Field(ge=4, le=77)] = 32
    """Tokens of a caption, those that begin and end it included; longer captions are cut."""


class Autoencoder(Section):
    """Pixels to latents and back (AutoencoderKL)."""

    block_out_channels: Widths = (16, 32, 48)
    """Channels a level, highest resolution first; each level after the first halves the resolution."""
    layers_per_block: Annotated[int, Field(ge=1, le=4)] = 1
    """Residual blocks a level."""
    latent_channels: Annotated[int, Field(ge=1, le=32)] = 4
    """Channels of the latents."""
    norm_num_groups: Positive = 8
    """Groups of GroupNorm; must divide every entry of block_out_channels."""
    kl_weight: Annotated[float, Field(ge=0)] = 1e-4
    """Weight of the mean divergence of a latent value from N(0, 1), beside the mean error of a pixel value."""
    steps: Positive = 2000
    """Optimizer steps."""
    batch_size: Positive = 32
    """Images a step."""
    learning_rate: Rate = 1e-3
    """AdamW's, after a warm-up of a twentieth of the steps, falling to 0 by a cosine."""
    ema_decay: Share = 0.995
    """Decay of the moving average of the weights, which is what is kept."""


class TextEncoder(Section):
    """Token ids to states (CLIPTextModel), trained together with the denoiser."""

    hidden_size: Positive = 64
    """Width of the states."""
    num_hidden_layers: Annotated[int, Field(ge=1, le=48)] = 2
    """Transformer layers."""
    num_attention_heads: Positive = 4
    """Attention heads; must divide hidden_size."""


class Denoiser(Section):
    """Noise out of latents under the text states (UNet2DConditionModel), epsilon-prediction."""

    block_out_channels: Widths = (32, 64)
    """Channels a level, each with cross-attention to the text states."""
    layers_per_block: Annotated[int, Field(ge=1, le=4)] = 1
    """Residual blocks a level."""
    attention_heads: Positive = 4
    """Attention heads; must divide every entry of block_out_channels."""
    norm_num_groups: Positive = 8
    """Groups of GroupNorm; must divide every entry of block_out_channels."""
    caption_dropout: Share = 0.1
    """Share of visits with the empty caption: what guidance needs."""
    steps: Positive = 6000
    """Optimizer steps."""
    batch_size: Positive = 32
    """Images a step."""
    learning_rate: Rate = 1e-3
    """AdamW's, after a warm-up of a twentieth of the steps, falling to 0 by a cosine."""
    ema_decay: Share = 0.999
    """Decay of the moving average of the weights, which is what is kept."""


class BaseModelConfig(Section):
    """A base model: its data, its parts, and how long each is trained."""

    data: Data = Data(**BASE_DATA)
    tokenizer: Tokenizer = Tokenizer()
    autoencoder: Autoencoder = Autoencoder()
    text_encoder: TextEncoder = TextEncoder()
    denoiser: Denoiser = Denoiser()
    flip: bool = True
    """Mirror half of the images, drawn anew at every visit."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of weights, order and noise."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 2
    """CPU threads: part of the result, since sums depend on it."""
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds between two checkpoints: not part of the result."""

    @property
    def factor(self) -> int:
        """Pixels a side of a latent."""
        return int(2 ** (len(self.autoencoder.block_out_channels) - 1))

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.data.channels != 3:
            raise ValueError(f"data.channels: {self.data.channels}: a text-to-image pipeline has 3")
        for section, groups, name in (
            ("autoencoder", self.autoencoder.norm_num_groups, "norm_num_groups"),
            ("denoiser", self.denoiser.norm_num_groups, "norm_num_groups"),
            ("denoiser", self.denoiser.attention_heads, "attention_heads"),
        ):
            for width in getattr(self, section).block_out_channels:
                if width % groups:
                    raise ValueError(f"{section}.{name}: {groups} does not divide block_out_channels' {width}")
        if self.text_encoder.hidden_size % self.text_encoder.num_attention_heads:
            raise ValueError(
                f"text_encoder.num_attention_heads: {self.text_encoder.num_attention_heads} does not divide "
                f"hidden_size {self.text_encoder.hidden_size}"
            )
        if isinstance(self.data.resolution, int):
            divisor = max(8, self.factor * 2 ** (len(self.denoiser.block_out_channels) - 1))
            if self.data.resolution % divisor:
                raise ValueError(
                    f"data.resolution: {self.data.resolution}: these levels of autoencoder and denoiser need a "
                    f"multiple of {divisor}"
                )
        else:
            raise ValueError("data.resolution: auto: a base model needs a number, such as 32")
        return self

    def result_fields(self) -> dict[str, Any]:
        """What the result depends on, the data set aside, which has a digest of its own."""
        return self.model_dump(mode="json", exclude={"data", "checkpoint_every_s"})


Size = Literal["small", "tiny"]
SIZES: Final[dict[Size, dict[str, Any]]] = {
    "small": {},
    "tiny": {
        "data": {"resolution": 16, "held_out": 0.2},
        "tokenizer": {"vocabulary": 560, "max_length": 8},
        "autoencoder": {"block_out_channels": (8, 8), "norm_num_groups": 4, "steps": 6, "batch_size": 4},
        "text_encoder": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        "denoiser": {
            "block_out_channels": (8, 16),
            "attention_heads": 2,
            "norm_num_groups": 4,
            "steps": 6,
            "batch_size": 4,
        },
        "threads": 1,
    },
}
"""Fields by the size of a base: `small` for a CPU in half an hour, `tiny` for tests in seconds."""
