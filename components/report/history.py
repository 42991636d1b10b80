"""What the run's records say about how it went."""

import hashlib
from datetime import datetime
from typing import Any

from ..config import RunConfig
from ..config.counts import planned_visits
from ..run import (
    Assignment,
    DatasetRecord,
    ModelRecord,
    Plan,
    ProxyRecord,
    RanWith,
    Run,
    SamplesRecord,
    SelectionRecord,
)
from ..run.copies import whole_digest
from ..run.forgotten import left_out_of, requests_through
from ..run.forgotten_base import started_from_forgotten
from ..run.forgotten_proof import Proof
from ..run.looks import looks_before
from ..run.records import ran_with
from ..store import fetch
from .figures import Forgotten, Provenance, Round, Watched

_MOST_HASHED = 1000


def rounds(run: Run, last: ModelRecord) -> list[Round]:
    """Every round that was trained."""
    history = []
    for number in range(last.round):
        averaged = run.load(ModelRecord, number + 1)
        figures = averaged.figures
        if figures is None:
            continue
        history.append(
            Round(
                round=number,
                loss=figures.loss,
                visits=figures.visits,
                skips=figures.skips,
                augmented=figures.augmented,
                lost=figures.lost,
                steps=figures.steps,
                moved=run.load(Assignment, number).moved,
                average_error=averaged.average_error,
            )
        )
    return history


def watched(run: Run, last: ModelRecord) -> list[Watched]:
    """Every look at a model, that of step `select` included."""
    found = looks_before(run, last.round)
    selection = run.find(SelectionRecord, last.round)
    if selection and selection.look:
        found[last.round] = selection.look
    return [
        Watched(
            model=model,
            verdict=look.verdict,
            figure=look.speaks,
            share=look.share,
            floor=look.floor,
            images=look.images,
            metrics=look.metrics,
        )
        for model, look in found.items()
    ]


def previews(run: Run, last: ModelRecord, most: int) -> dict[int, bytes]:
    """PNG strips of the same noise under the models of up to `most` rounds, the first and the last among them.

    Returns:
        by the number of rounds that the model had; a model without a preview is left out.
    """
    end = last.round
    shown = range(end + 1) if end < most else sorted({round(i * end / (most - 1)) for i in range(most)})
    strips = {}
    for number in shown:
        record = run.find(SamplesRecord, end, 0) if number == end else run.find(ProxyRecord, number, 0)
        ref = record.objects.get("preview.png") if record else None
        if ref is not None:
            strips[number] = fetch(run.store, ref)
    return strips


def provenance(
    run: Run,
    config: RunConfig,
    dataset: DatasetRecord,
    last: ModelRecord,
    released: ModelRecord,
    history: list[Round],
    generated: int,
    started: float,
    device: str | None,
    onnx_provider: str | None = None,
) -> Provenance:
    """Where the figures come from.

    Args:
        last: the model that the rounds have ended with; released: the one that is reported.
        started, device, onnx_provider: of the evaluation.
    """
    here = ran_with(started, device)
    first = run.load(Plan, 0)
    plan, selection = first.ran_with, run.find(SelectionRecord, last.round)
    return Provenance(
        run=run.name,
        subject=_subject(config),
        dataset=dataset.digest,
        base_model=f"{config.model.pretrained} ({first.released})" if first.released else config.model.pretrained,
        base_sha256=whole_digest(first.base) if first.base else None,
        seed=config.seed,
        code=here.code,
        torch=here.torch,
        hardware=_hardware(run, config, last, here),
        onnx_provider=onnx_provider,
        started=plan.started if plan else None,
        duration_s=_since(plan.started, here) if plan else None,
        train_images=dataset.train_samples,
        held_out_images=dataset.held_out_samples,
        generated_images=generated,
        rounds=last.round,
        stopped=last.stop,
        released=released.round,
        selected=selection.reason if selection and config.release.select != "last" else None,
        **({} if config.is_audit else _training(run, config, history)),
    )


def forgotten(run: Run, plan: Plan, dataset: DatasetRecord, proof: Proof | None) -> Forgotten | None:
    """What deletion requests have kept out, and that it is not there.

    Args:
        proof: None where no request applies.
    """
    if proof is None:
        return None
    left_out = left_out_of(run, dataset)
    return Forgotten(
        requests=plan.forgotten,
        samples=len(left_out),
        by=dataset.forgotten,
        hashed=[hashlib.sha256(one.name.encode()).hexdigest()[:16] for one in left_out[:_MOST_HASHED]],
        rows=proof.rows,
        assignments=proof.assignments,
        base=started_from_forgotten(run.store, plan, requests_through(run.store, plan.forgotten)),
    )


def _subject(config: RunConfig) -> str | None:
    kinds = {"run": config.audit.run, "model": config.audit.model, "images": config.audit.images}
    return next((f"{kind} {address}" for kind, address in kinds.items() if address), None)


def _training(run: Run, config: RunConfig, history: list[Round]) -> dict[str, Any]:
    """How much was trained, by the names of `Provenance`."""
    visits = sum(r.visits for r in history)
    return {
        "planned_visits": planned_visits(config, run.load(Assignment, 0).shard_sizes),
        "visits": visits,
        "skipped_share": sum(r.skips for r in history) / visits if visits else 0.0,
        "lost_share": sum(r.lost for r in history) / visits if visits else 0.0,
        "steps": sum(r.steps or 0 for r in history),
    }


def _hardware(run: Run, config: RunConfig, last: ModelRecord, here: RanWith) -> list[str]:
    """Device models of the last round's training and of this step."""
    proxies = [run.find(ProxyRecord, last.round - 1, k) for k in range(config.iet.shards)] if last.round else []
    seen = [p.ran_with for p in proxies if p] + [here]
    return list(dict.fromkeys(ran.device for ran in seen if ran and ran.device))


def _since(started: str, here: RanWith) -> float:
    begun, now = datetime.fromisoformat(started), datetime.fromisoformat(here.started)
    return round((now - begun).total_seconds() + here.seconds, 3)
