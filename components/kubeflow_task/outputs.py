"""What each step hands to Kubeflow: lists to loop over, and what the UI shows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, Field

from ..config import RunConfig
from ..data.manifest import manifest_key
from ..run import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    EncodingRecord,
    Look,
    ModelRecord,
    PackRecord,
    Plan,
    Record,
    ReportRecord,
    Run,
    SamplesRecord,
    SelectionRecord,
    WatchRecord,
)
from ..run.released import Release
from ..run.state import ended_rounds
from ..store import Store, fetch, parsed

Kind = Literal["text", "list", "metrics", "html", "markdown", "model", "dataset"]


@dataclass(frozen=True)
class Output:
    """An output of a step's task; `text` and `list` are parameters, the others artifacts with a file each.

    Attributes:
        help: one line for the user.
    """

    name: str
    kind: Kind
    help: str

    @property
    def is_parameter(self) -> bool:
        return self.kind in ("text", "list")


class Given(BaseModel):
    """What a step gives as an artifact.

    Attributes:
        metadata: shown beside it in the UI.
        data: its file.
    """

    metadata: Mapping[str, float | int | str] = Field(default_factory=dict)
    data: bytes


_FIRST_PAGE: Final = 10
"""Rows of metrics that the UI shows at first, in the order of their names."""
DECISION: Final = "Output"
"""Of begin. KFP's local runner finds what a condition reads from a task of its own pipeline under this name only; any
other name would cost a nested pipeline, which is one driver pod more a round."""
_RUN: Final = Output("run", "text", "the run's address, ROOT/runs/NAME")
_PACKS: Final = Output("packs", "list", "indexes of pack that are left to do")
_PARTS: Final = Output("parts", "list", "indexes of sample that are left to do")
_MEASURED: Final = (
    Output("metrics", "metrics", "memorization beside its floor, and quality"),
    Output("report", "html", "the report as a page, without training images"),
    Output("summary", "markdown", "the report's figures as tables"),
)

OUTPUTS: Final[Mapping[str, tuple[Output, ...]]] = {
    "plan": (
        _RUN,
        _PACKS,
        Output("encodings", "list", "indexes of encode that are left to do"),
        Output("rounds", "list", "rounds that are left to do"),
        Output("shards", "list", "indexes of train, of each such round"),
        _PARTS,
    ),
    "prepare": (Output("dataset", "dataset", "the data set's place, digest and sizes"),),
    "begin": (Output(DECISION, "text", "whether the round starts: go or stop"),),
    "watch": (Output("metrics", "metrics", "what the look at the model has found"),),
    "aggregate": (Output("metrics", "metrics", "loss, skip rate and visits of the round"),),
    "redistribute": (Output("metrics", "metrics", "samples that have moved after the round"),),
    "select": (Output("metrics", "metrics", "which round's model is released, and what the look at it has found"),),
    "evaluate": (*_MEASURED, Output("model", "model", "the released model's place and digest")),
}
"""By step; the others give nothing but their record."""
AUDIT_OUTPUTS: Final[Mapping[str, tuple[Output, ...]]] = {
    "plan": (_RUN, _PACKS, _PARTS),
    "prepare": OUTPUTS["prepare"],
    "evaluate": _MEASURED,
}
"""Of the steps of an audit, which trains and releases nothing."""
WHOLE_AUDIT: Final = (Output("verdict", "text", "at_or_below, above, unclear or undecided"), *_MEASURED)
"""Of an audit that is one task."""
WHOLE_RETRAIN: Final = (
    Output("outcome", "text", "promoted, or unchanged where nothing has changed since the release"),
    Output("folder", "text", "address of the model that is released now, a diffusers folder"),
    Output("gate", "markdown", "the checks of the policy as a table"),
    *_MEASURED[:2],
)
"""Of a retraining that is one task. One whose gate is not passed fails, and gives nothing."""


def given(step: str, run: Run, record: Record) -> dict[str, Any]:
    """What a step gives, by the name of the output: a `Given` for an artifact, else the parameter's value."""
    give = _GIVE.get(step)
    return give(run, record) if give else {}


def given_release(store: Store, release: Release) -> dict[str, Any]:
    """What a retraining gives of the model that is released now, by the name of the output; whose report stays for as
    long as its record does, whatever becomes of the run.
    """
    from ..report.figures import Figures

    report = release.objects["report.json"]
    figures = parsed(store, report.key, fetch(store, report), Figures)
    return {
        "folder": store.address(release.folder),
        "metrics": _metrics(figures.first_metrics(_FIRST_PAGE), release.headline),
        "report": Given(data=fetch(store, release.objects["shared.html"])),
    }


def _plan(run: Run, record: Record) -> dict[str, Any]:
    """Lists of what is left to do: even to find that a round is done costs its pods. All shards, of each such round."""
    config = cast(Plan, record).config
    ended = ended_rounds(run)
    model = run.find(ModelRecord, ended)
    rounds = [] if model and model.stop else list(range(ended, config.rounds))
    released = None if rounds else run.find_released(config, ended)
    return {
        "run": run.url,
        "packs": _packs(run, config),
        "encodings": [k for k in range(config.encodings) if run.find(EncodingRecord, k) is None],
        "rounds": rounds,
        "shards": list(range(config.sizes()["shards"])),
        "parts": [
            k for k in range(config.sizes()["parts"]) if released is None or not run.find(SamplesRecord, released, k)
        ],
    }


def _packs(run: Run, config: RunConfig) -> list[int]:
    if not config.packs or run.find(DatasetRecord):
        return []
    return [k for k in range(config.packs) if run.find(PackRecord, config.packs, k) is None]


def _prepare(run: Run, record: Record) -> dict[str, Any]:
    packed = cast(DatasetRecord, record)
    fields = ("digest", "samples", "train_samples", "held_out_samples", "channels", "resolution")
    metadata = {"place": run.store.address(manifest_key(packed.digest))} | {
        name: getattr(packed, name) for name in fields
    }
    # not the manifest itself: its notes may name images
    return {"dataset": Given(metadata=metadata, data=json.dumps(metadata, indent=1).encode())}


def _begin(run: Run, record: Record) -> dict[str, Any]:
    return {DECISION: cast(BeginRecord, record).decision}


def _watch(run: Run, record: Record) -> dict[str, Any]:
    watched = cast(WatchRecord, record)
    return {"metrics": _look({"round": watched.round}, watched.look)}


def _select(run: Run, record: Record) -> dict[str, Any]:
    selection = cast(SelectionRecord, record)
    return {"metrics": _look({"released": selection.chosen, "round": selection.round}, selection.look)}


def _look(counted: dict[str, int], look: Look | None) -> Given:
    """What the watch has found: what speaks, beside its floor, first."""
    if look is None:
        return _metrics(counted)
    above = {"above_floor": int(look.verdict == "above")}
    first = {look.speaks: look.share} | ({} if look.floor is None else {f"{look.speaks}_floor": look.floor})
    return _metrics(counted | above | first, counted | above | look.metrics)


def _aggregate(run: Run, record: Record) -> dict[str, Any]:
    figures = cast(ModelRecord, record).figures
    if figures is None:
        return {"metrics": _metrics({})}
    return {
        "metrics": _metrics(
            {
                "round": figures.round,
                "loss": figures.loss,
                "skip_rate": figures.skip_rate,
                "augmented_share": figures.augmented / figures.visits if figures.visits else 0.0,
                "visits": figures.visits,
            }
        )
    }


def _redistribute(run: Run, record: Record) -> dict[str, Any]:
    after = cast(Assignment, record)
    return {"metrics": _metrics({"round": after.round - 1, "moved": after.moved})}


def _evaluate(run: Run, record: Record) -> dict[str, Any]:
    from ..report.figures import load_figures  # it loads more than other steps need
    from ..report.summary import summary

    report = cast(ReportRecord, record)
    figures = load_figures(run, report)
    counted = {} if figures.provenance.subject else {"rounds": report.round}
    first = figures.first_metrics(_FIRST_PAGE - len(counted))
    return {
        "verdict": figures.headline.decided,
        "metrics": _metrics(first | counted, report.headline | counted),
        "report": Given(data=fetch(run.store, report.objects["shared.html"])),
        "summary": Given(data=summary(run, report).encode()),
        **({"model": _released(run, report, report.model_folder)} if report.model_folder else {}),
    }


def _released(run: Run, report: ReportRecord, folder: str) -> Given:
    names = (f"model/unet/diffusion_pytorch_model.safetensors{end}" for end in ("", ".index.json"))  # one file, or many
    weights = next(report.objects[name] for name in names if name in report.objects)
    model: dict[str, int | str] = {
        "place": run.store.address(folder),
        "digest": weights.sha256,
        "rounds": report.round,
        "run": run.url,
    }
    data = json.dumps(model | report.model_dump(mode="json"), indent=1, ensure_ascii=False).encode()
    return Given(metadata=model, data=data)


def _metrics(shown: Mapping[str, float], whole: Mapping[str, float] | None = None) -> Given:
    """Metrics, and the same in a file: the UI looks metadata up by the task's name alone, and so shows the last round's
    in every round; a file it shows for the task that wrote it.

    Args:
        whole: what the file says, where that is more.
    """
    figures = whole or shown
    width = max(map(len, figures), default=0)
    lines = [
        f"{name:<{width}}  {value if isinstance(value, int) else f'{value:.6g}'}" for name, value in figures.items()
    ]
    return Given(metadata=shown, data="\n".join([*lines, ""]).encode())


_GIVE: Final[Mapping[str, Callable[[Run, Record], dict[str, Any]]]] = {
    "plan": _plan,
    "prepare": _prepare,
    "begin": _begin,
    "watch": _watch,
    "aggregate": _aggregate,
    "redistribute": _redistribute,
    "select": _select,
    "evaluate": _evaluate,
}
