"""scikit-learn's digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from unecho.components.failure import Fatal


def test_are_those_of_scikit_learn_with_16_levels_spread_over_255(prepare) -> None:
    done = prepare("digits", "data.held_out=0")
    digits = load_digits()
    assert (done.images()[:, 0] == np.rint(digits.images / 16 * 255)).all()
    assert (done.dataset.labels == digits.target).all()
    assert done.dataset.label_names == list("0123456789")
    assert (done.record.samples, done.record.channels, done.record.resolution) == (1797, 1, 8)
    assert done.dataset.name(12) == "digits#12"


def test_a_directory_called_digits_is_reached_by_its_layout_or_its_path(prepare, tree, noise, monkeypatch) -> None:
    source = tree({"a.png": noise(1)[0]}, name="digits")
    monkeypatch.chdir(source.parent)
    assert prepare("digits", "data.layout=images", "data.held_out=0").record.samples == 1
    assert prepare("./digits", "data.held_out=0").record.samples == 1


def test_another_source_has_no_such_layout(prepare) -> None:
    with pytest.raises(Fatal, match=r"data\.layout: digits is scikit-learn's own: set data\.source=digits, not 'here'"):
        prepare("here", "data.layout=digits")
