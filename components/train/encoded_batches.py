"""Batches of encodings: a flagged sample is seen in another of its variants, so no encoder is needed in training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import RunConfig
from ..config.fields import CAPTION_KINDS
from ..data import Dataset
from ..data.encodings import EncodedRows
from ..diffusion.family import Batch, TrainableFamily
from ..method.augment import augmentations, conditions_by_kind, image_variants, rewritten_kinds
from ..run import EncodingRecord, Run
from ..run.tensors import load_state
from .held import AHEAD, Rows, shard_rows
from .order import Order

_NO_CAPTION: Final = 0
"""Number of the empty text."""


@dataclass(frozen=True)
class EncodedShard:
    """A shard's encodings. A sample's variants follow one another among the latents.

    Attributes:
        latents, texts: rows by their places: position * V + variant, and a text's place among the shard's.
        condition: the augmentation of each variant, int64 [n_k, V].
        caption_start, caption_text, variant_text: as in the record, of the shard's samples; texts by their places.
    """

    latents: Rows
    texts: Rows
    condition: Tensor
    caption_start: Tensor
    caption_text: Tensor
    variant_text: Tensor


@contextmanager
def encoded_shard(
    run: Run, config: RunConfig, dataset: Dataset, rows: NDArray[np.int64], device: torch.device
) -> Iterator[EncodedShard]:
    """The encodings of a shard, held or streamed.

    Args:
        rows: the shard's rows in the data set, sorted, int64 [n_k].

    Raises:
        Fatal: a part of the encodings is missing, an object is missing or altered; names it.
    """
    records = [run.load(EncodingRecord, part) for part in range(config.encode.parts)]
    latents = EncodedRows(run.store, [block for record in records for block in record.latents])
    texts = EncodedRows(run.store, [block for record in records for block in record.texts])
    index = load_state(run.store, records[0].objects["index.safetensors"])
    samples = torch.from_numpy(np.searchsorted(dataset.train_rows, rows))
    condition = index["condition"][samples]
    variants = condition.shape[1]
    of_latents = (samples[:, None] * variants + torch.arange(variants)).flatten()
    start, stop = (index["caption_start"][samples + more] for more in (0, 1))
    captions = torch.cat([index["caption_text"][a:b] for a, b in zip(start.tolist(), stop.tolist(), strict=True)])
    rewritten = index["variant_text"][samples]
    of_texts = torch.unique(torch.cat([torch.tensor([_NO_CAPTION]), captions, rewritten.flatten()]))
    with (
        shard_rows(config, latents.rows, of_latents.numpy(), latents.row_bytes, device) as latent_rows,
        shard_rows(config, texts.rows, of_texts.numpy(), texts.row_bytes, device) as text_rows,
    ):
        yield EncodedShard(
            latents=latent_rows,
            texts=text_rows,
            condition=condition,
            caption_start=torch.cat([torch.tensor([0]), (stop - start).cumsum(0)]),
            caption_text=torch.searchsorted(of_texts, captions),
            variant_text=torch.searchsorted(of_texts, rewritten),
        )


@dataclass(frozen=True)
class PickedEncodings:
    """The encodings of one update, on the device.

    Attributes:
        samples: positions in the shard, int64 [B].
        moments: mean and log-variance, [B, 2 C, h, w]; text: states, [B, S].
        condition: the augmentation that each has, by number; int64 [B].
    """

    samples: Tensor
    moments: Tensor
    text: Tensor
    condition: Tensor
    family: TrainableFamily

    def batch(self, flagged: Tensor) -> Batch:
        """A latent of each posterior, drawn at every visit. Which samples are flagged was known when it was read."""
        return Batch(self.family.x0(self.moments), self.condition, self.text.float())


class EncodedBatches:
    """The batches of a shard slot, in order and read ahead.

    What an epoch draws is drawn on the CPU when it begins: the order, and for each sample a variant should it be
    flagged, a flip, a caption, and whether the caption is left out. A sample's flag changes at its visits only, one an
    epoch, so the epoch's are known then.
    """

    def __init__(
        self,
        config: RunConfig,
        shard: int,
        order: Order,
        encoded: EncodedShard,
        family: TrainableFamily,
        device: torch.device,
    ) -> None:
        self._config, self._order, self._encoded, self._family, self._device = config, order, encoded, family, device
        self.steps_per_epoch = order.steps_per_epoch
        self._epoch = -1
        self._kinds = list(dict.fromkeys(config.taa.augmentations)) if config.taa.enabled else []
        self._rewritten = rewritten_kinds(config)
        self._by_kind = conditions_by_kind(augmentations(config.taa))
        # where the variants of a kind begin, among those without flips
        plain = [variant for variant in image_variants(config) if not variant.flip]
        self._flips = 2 if config.train.horizontal_flip else 1
        self._first = {kind: next((i for i, v in enumerate(plain) if v.kind == kind), 0) for kind in self._kinds}
        self._numbers = {kind: sum(v.kind == kind for v in plain) for kind in self._kinds}
        self._of_magnitude = {
            magnitude: [i for i, v in enumerate(plain) if v.kind == "randaugment" and v.magnitude == magnitude]
            for magnitude in dict.fromkeys(v.magnitude for v in plain if v.kind == "randaugment")
        }

    def at(self, step: int, augment_next: Tensor) -> PickedEncodings:
        """The batch of global step `step`.

        Args:
            augment_next: the flags as they are now, bool [n_k].
        """
        if (epoch := self._order.epoch(step)) != self._epoch:
            self._begin(epoch, step, augment_next.cpu())
        while self._expected < min(self._order.end(step), step + AHEAD):
            coming = self._order.positions(self._permutation, self._expected)
            self._encoded.latents.expect(self._latent[coming])
            self._encoded.texts.expect(self._text[coming])
            self._expected += 1
        positions = self._order.positions(self._permutation, step)
        return self._picked(positions, self._latent[positions], self._text[positions], self._condition[positions])

    def again(self, positions: Tensor, magnitude: int | None, generator: torch.Generator) -> PickedEncodings:
        """Samples anew, whatever the order: flips, captions and which are left out are drawn once more.

        Args:
            positions: in the shard, int64 [B], on the CPU.
            magnitude: of the RandAugment that all of them get; None for images as they are.
        """
        count = len(positions)
        which, flip, caption, left_out = torch.rand(4, count, generator=generator, dtype=torch.float64)
        image = torch.zeros(count, dtype=torch.int64)
        if magnitude is not None:
            variants = torch.tensor(self._of_magnitude[magnitude])
            image = variants[(which * len(variants)).long()]
        variant = self._variant(image, flip)
        return self._picked(
            positions,
            positions * self._encoded.condition.shape[1] + variant,
            self._text_or_none(self._captions(positions, caption), left_out),
            self._encoded.condition[positions, variant],
        )

    def _captions(self, positions: Tensor, drawn: Tensor) -> Tensor:
        """A text of each sample: its first caption or any, as `train.captions` says."""
        if self._config.train.captions == "first":
            return self._encoded.caption_text[self._encoded.caption_start[positions]]
        start, stop = (self._encoded.caption_start[positions + more] for more in (0, 1))
        return self._encoded.caption_text[start + (drawn * (stop - start)).long()]

    def _text_or_none(self, text: Tensor, left_out: Tensor) -> Tensor:
        # the places of texts are sorted by number, and the empty one's is 0
        return torch.where(left_out < self._config.train.caption_dropout, _NO_CAPTION, text)

    def _variant(self, image: Tensor, flip: Tensor) -> Tensor:
        """The variant by its number among those without flips, mirrored where that is drawn."""
        return image * self._flips + (flip < 0.5).long() * (self._flips - 1)

    def _picked(self, positions: Tensor, latent: Tensor, text: Tensor, condition: Tensor) -> PickedEncodings:
        return PickedEncodings(
            positions.to(self._device, non_blocking=True),
            self._encoded.latents.take(latent),
            self._encoded.texts.take(text),
            condition.to(self._device, non_blocking=True),
            self._family,
        )

    def _begin(self, epoch: int, step: int, flagged: Tensor) -> None:
        """Draw what each sample of the shard is seen as in this epoch."""
        encoded = self._encoded
        self._epoch, self._expected = epoch, step
        self._permutation = self._order.permutation(epoch)
        count, generator = len(self._permutation), self._order.generator(epoch, "visit")
        kind = torch.randint(max(1, len(self._kinds)), (count,), generator=generator)
        which, flip, caption, left_out = torch.rand(4, count, generator=generator, dtype=torch.float64)

        position = torch.arange(count)
        text = self._captions(position, caption)

        # the augmentation of those that are flagged
        image, condition = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
        for place, name in enumerate(self._kinds):
            mine = flagged & (kind == place)
            if name not in CAPTION_KINDS:
                image[mine] = self._first[name] + (which[mine] * self._numbers[name]).long()
                continue
            if name == "other_caption":  # than the first, where there is one
                start, stop = encoded.caption_start[:-1], encoded.caption_start[1:]
                mine &= stop - start > 1
                other = start + 1 + (caption * (stop - start - 1)).long()
                text[mine] = encoded.caption_text[other[mine]]
            else:
                rewritten = encoded.variant_text[mine, self._rewritten.index(name)]
                number = (which[mine] * rewritten.shape[1]).long()
                text[mine] = rewritten.gather(1, number[:, None])[:, 0]
            condition[mine] = self._by_kind[name][0]
        dropped = left_out < self._config.train.caption_dropout
        condition[dropped] = 0  # there is no caption that was augmented
        variant = self._variant(image, flip)
        of_image = encoded.condition[position, variant]
        self._condition = torch.where(image > 0, of_image, condition)
        self._latent = position * encoded.condition.shape[1] + variant
        self._text = self._text_or_none(text, left_out)
