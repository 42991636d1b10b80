"""Text alignment: the cosine of an image and its text, as CLIP scores are defined, beside what zero is."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from tests.tiny_clip import clip_of_colours, colours, model, processor, save, tiny_clip
from unecho.components.diffusion.random_tiny import _tokenizer
from unecho.components.failure import Fatal
from unecho.components.measures.alignment import Fit, fit
from unecho.components.measures.images import InMemory
from unecho.components.measures.intervals import Mean
from unecho.components.measures.text_image import TextImageModel

CPU = torch.device("cpu")


def opened(folder: Path) -> TextImageModel:
    return TextImageModel("evaluate.alignment_model: clip", folder, "0" * 64, CPU)


def fitted(model: TextImageModel, images: np.ndarray, texts: list[str]) -> Fit:
    return fit(model, InMemory(images), lambda positions: [texts[p] for p in positions])


def test_a_score_is_the_cosine_that_the_model_itself_gives() -> None:
    images, texts = colours(3, seed=1, side=24)
    clip = CLIPModel.from_pretrained(tiny_clip())
    for image, text, found in zip(images, texts, fitted(opened(tiny_clip()), images, texts).own, strict=True):
        pixels = processor()(images=torch.from_numpy(image), return_tensors="pt")
        with torch.no_grad():
            logit = clip(**pixels, **_tokenizer()([text], return_tensors="pt")).logits_per_image
            assert found == pytest.approx(float(logit / clip.logit_scale.exp()), abs=1e-5)


def test_matching_pairs_rank_above_shuffled_ones() -> None:
    images, texts = colours(40, seed=1)
    clip = opened(clip_of_colours())
    matching, shuffled = (fitted(clip, images, some) for some in (texts, texts[1:] + texts[:1]))
    assert (matching.own > shuffled.own).all()
    assert matching.mean is not None
    assert matching.unrelated is not None
    assert matching.mean.low > matching.unrelated.high
    assert (matching.own - shuffled.own).mean() > 0.5


def test_grey_images_are_taken_for_three_equal_channels_and_blocks_change_nothing() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (70, 1, 16, 16), np.uint8)
    clip = opened(tiny_clip())
    alone = torch.cat([clip.images(one[None].repeat(3, 1)) for one in grey])
    assert torch.allclose(clip.images(grey), alone, atol=1e-6)


def test_a_long_text_is_cut_at_what_the_model_reads() -> None:
    clip = opened(tiny_clip())
    assert torch.equal(clip.texts(["a" * 14 + "b"]), clip.texts(["a" * 14 + "c"]))
    assert not torch.equal(clip.texts(["ab"]), clip.texts(["ac"]))


class TestFit:
    """Unit vectors by hand: east, north, west."""

    E, N, W = (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)

    def test_own_and_unrelated_by_hand(self) -> None:
        found = Fit(["a", "b", "b"], torch.tensor([self.E, self.N, self.E]), torch.tensor([self.E, self.N, self.N]))
        assert found.own.tolist() == [1, 1, 0]
        # the second's next text is its own; the first has that of the second, the third that of the first
        assert found.unrelated is not None
        assert (found.unrelated.mean, found.unrelated.of) == (0.5, 2)

    def test_nothing_is_unrelated_where_all_texts_are_one(self) -> None:
        assert Fit(["a", "a"], torch.tensor([self.E, self.N]), torch.tensor([self.E, self.E])).unrelated is None

    def test_beside_a_base_the_difference_is_that_of_pairs(self) -> None:
        east = torch.tensor([self.E, self.E])
        mine, base = (
            Fit(["a", "b"], torch.tensor([self.E, self.N]), east),
            Fit(["a", "b"], torch.tensor([self.N, self.W]), east),
        )
        beyond = mine.beyond(base)
        assert beyond == Mean(mean=1, low=1, high=1, of=2)  # 1 - 0 and 0 - -1
        with pytest.raises(ValueError, match="not of the same texts"):
            mine.beyond(Fit(["a", "c"], east, east))


class TestMean:
    def test_of_values_by_hand(self) -> None:
        # variance 2 of 1 and 3, of the mean 1
        assert Mean.of_values([1, 3]) == Mean(mean=2, low=2 - 1.959963984540054, high=2 + 1.959963984540054, of=2)

    def test_repeated_draws_of_a_group_add_no_certainty(self) -> None:
        once, often = Mean.of_values([1.0, 3.0]), Mean.of_values([1.0] * 5 + [3.0] * 5, ["a"] * 5 + ["b"] * 5)
        assert once is not None
        assert often is not None
        assert (often.low, often.high) == pytest.approx((once.low, once.high))
        assert often.of == 10

    def test_one_group_is_taken_for_draws_and_one_value_has_no_interval(self) -> None:
        assert Mean.of_values([1, 3], ["a", "a"]) == Mean.of_values([1, 3])
        assert Mean.of_values([1]) is None

    def test_the_interval_holds_the_mean_in_95_of_100(self) -> None:
        draw = np.random.default_rng(0)
        prompts = [i % 50 for i in range(200)]
        held = 0
        for _ in range(400):
            values = draw.normal(0, 1, 50)[prompts] + draw.normal(0, 0.5, 200)
            found = Mean.of_values(values, prompts)
            held += found is not None and found.low < 0 < found.high
        assert 0.92 < held / 400 < 0.97


class TestWhatDoesNotLoad:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(tiny_clip(), tmp_path / "clip"))

    def refused(self, folder: Path, says: str) -> None:
        with pytest.raises(Fatal, match=f"^evaluate.alignment_model: clip: {says}") as error:
            opened(folder)
        assert "\n" not in str(error.value)

    def test_weights_that_lack_some(self, tmp_path: Path) -> None:
        config = json.loads((tiny_clip() / "config.json").read_text())
        save(model(), tmp_path)
        config["vision_config"]["num_hidden_layers"] = 2
        (tmp_path / "config.json").write_text(json.dumps(config))
        self.refused(tmp_path, re.escape("its weights lack vision_model.encoder.layers.1."))

    def test_a_file_that_is_cut(self, folder: Path) -> None:
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(weights[:1000])
        self.refused(folder, "transformers cannot use it: ")

    def test_a_tokenizer_that_is_none(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")
        self.refused(folder, "transformers cannot use it: ")
