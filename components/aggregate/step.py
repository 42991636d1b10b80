"""The proxies of a round become one model."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from safetensors.torch import load

from ..config.fields import Stop
from ..diffusion.adapters import average_products
from ..diffusion.device import set_numerics
from ..method.average import average
from ..progress import Progress
from ..run import ModelRecord, ProxyRecord, RoundFigures, Run, WatchRecord, ran_with
from ..run.tensors import load_state, state_bytes
from ..store import SequentialReader
from ..store.base import Buffer

_WEIGHTS = ("raw.safetensors", "ema.safetensors")
_THREADS = 16
"""At most so many read records, and open proxies, at once."""
_FIRST_READ = 256 << 10
"""Bytes that are asked for with a proxy's header."""


def aggregate(run: Run, round: int, progress: Progress) -> ModelRecord:
    """Commit model `round` + 1, with the round's figures and, if a rule says so, the reason to stop.

    Raises:
        Fatal: a proxy is missing, altered, or of another shape than the first.
    """
    if found := run.find(ModelRecord, round + 1):
        return found
    started = time.time()
    config = run.config()
    set_numerics(config)
    model = run.load(ModelRecord, round)
    with ThreadPoolExecutor(_THREADS) as threads:
        proxies = list(threads.map(partial(run.load, ProxyRecord, round), range(config.iet.shards)))
    objects, samples = {"network.json": model.objects["network.json"]}, [proxy.samples for proxy in proxies]
    by_products, error = config.lora.enabled and config.lora.average == "svd", 0.0
    for done, name in enumerate(_WEIGHTS, start=1):
        refs = [proxy.objects[name] for proxy in proxies]
        with ThreadPoolExecutor(_THREADS) as threads:
            files = list(threads.map(lambda ref: SequentialReader.open(run.store, ref, _FIRST_READ), refs))
        mean: Buffer = average(files, samples)
        if by_products:  # the mean of factors is not that of their products
            of_each = [load_state(run.store, ref) for ref in refs]
            products, cut = average_products(of_each, samples)
            mean, error = state_bytes(load(bytes(mean)) | products), max(error, cut)
        objects[name] = run.put(ModelRecord, (round + 1,), name, mean)
        del mean
        progress.update(done, len(_WEIGHTS), "weights")
    figures = total(round, [p.figures for p in proxies])
    watched = run.load(WatchRecord, round) if config.stop.echo else None
    record = ModelRecord(
        round=round + 1,
        stop=stop_reason(config.stop, figures, model.figures, watched),
        figures=figures,
        average_error=error if by_products else None,
        objects=objects,
        ran_with=ran_with(started),
    )
    return run.commit(record, round + 1)


def total(round: int, proxies: Sequence[RoundFigures]) -> RoundFigures:
    """A round's figures over all its proxies; the loss is the mean over all visits."""
    visits = sum(p.visits for p in proxies)
    return RoundFigures(
        round=round,
        visits=visits,
        skips=sum(p.skips for p in proxies),
        augmented=sum(p.augmented for p in proxies),
        lost=sum(p.lost for p in proxies),
        steps=sum(p.steps for p in proxies),
        loss=sum(p.loss * p.visits for p in proxies) / max(visits, 1),
    )


def stop_reason(
    rules: Stop, now: RoundFigures, before: RoundFigures | None, watched: WatchRecord | None = None
) -> str | None:
    """Why no further round shall start, or None.

    Args:
        now: the round that has just ended.
        before: the round before it, if there was one.
        watched: the model that this round started from.
    """
    if rules.echo and watched and (look := watched.look) and look.verdict == "above":
        return (
            f"stop.echo: model {watched.round}'s {look.speaks} is {look.share:.1%} of {look.images} images, "
            f"above its floor {look.floor:.1%}"
        )
    if rules.skip_rate_above is not None and now.skip_rate > rules.skip_rate_above:
        return (
            f"stop.skip_rate_above: round {now.round} skipped {now.skip_rate:.1%}, "
            f"more than {rules.skip_rate_above:.1%}"
        )
    if rules.loss_plateau is not None and before is not None and now.loss >= (1 - rules.loss_plateau) * before.loss:
        return (
            f"stop.loss_plateau: round {now.round}'s loss {now.loss:.4g} is not {rules.loss_plateau:.1%} below "
            f"{before.loss:.4g}"
        )
    return None
