"""Rounds between which proxies are not averaged: what each begins with."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.runs import finish, tiny
from unecho.components.run import BeginRecord, ModelRecord, ProxyRecord, Run
from unecho.components.run.tensors import load_state, state_bytes
from unecho.components.train import step
from unecho.components.train.slot import Slot

NAMES = ("raw.safetensors", "ema.safetensors")


def test_a_proxy_begins_with_the_average_in_every_other_round_and_with_its_own_weights_in_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_with: list[tuple[str, str]] = []
    previewed: list[str] = []
    init, preview_strip = Slot.__init__, step.preview_strip

    def sha256(weights: dict[str, torch.Tensor]) -> str:
        return hashlib.sha256(state_bytes(weights)).hexdigest()

    def spied_init(slot, config, network, raw, ema, augment_next, device):
        begun_with.append((sha256(raw), sha256(ema)))
        init(slot, config, network, raw, ema, augment_next, device)

    def spied_strip(family, config, base, weights, prompts, device):
        previewed.append(sha256(weights))
        return preview_strip(family, config, base, weights, prompts, device)

    monkeypatch.setattr(Slot, "__init__", spied_init)
    monkeypatch.setattr(step, "preview_strip", spied_strip)
    run = Run.at(str(tmp_path), "a")
    config = tiny("iet.rounds=5", "iet.average_every=2", "iet.local_epochs=2")
    finish(run, config)

    models = [run.load(ModelRecord, round) for round in range(6)]
    proxies = {(round, k): run.load(ProxyRecord, round, k) for round in range(5) for k in range(2)}
    expected = []
    for round in range(5):
        for k in range(2):
            source = models[round] if round in (0, 2, 4) else proxies[round - 1, k]
            expected.append(tuple(source.objects[name].sha256 for name in NAMES))
    assert begun_with == expected
    assert previewed == [model.objects["ema.safetensors"].sha256 for model in models[:5]], "always of the average"

    # every round has its mean; of the last one the weights are kept
    for name in NAMES:
        mean = load_state(run.store, models[5].objects[name])
        first, second = (load_state(run.store, proxies[4, k].objects[name]) for k in range(2))
        for tensor in mean:
            half = (first[tensor].double().numpy() + second[tensor].double().numpy()) / 2
            np.testing.assert_allclose(mean[tensor].numpy(), half, rtol=1e-6, atol=1e-7)

    # what round 4 began with was kept until it had begun, what is older than two rounds was not
    retired = run.load(BeginRecord, 4).retired
    assert not set(retired) & {ref.key for k in range(2) for ref in proxies[3, k].objects.values()}
    assert {proxies[2, k].objects["raw.safetensors"].key for k in range(2)} <= set(retired)


def test_averaging_every_round_is_what_it_was_before(tmp_path: Path) -> None:
    given, left_out = (Run.at(str(tmp_path), name) for name in "ab")
    finish(given, tiny("iet.average_every=1", "msr.every=1"))
    finish(left_out, tiny())
    assert given.load(ModelRecord, 3).objects["raw.safetensors"].sha256 == (
        left_out.load(ModelRecord, 3).objects["raw.safetensors"].sha256
    )
