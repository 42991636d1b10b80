"""What each step hands to Kubeflow: lists to loop over, and what the UI shows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, Field

from ..data.manifest import manifest_key
from ..run import (
    Assignment,
    BeginRecord,
    DatasetRecord,
    ModelRecord,
    Plan,
    Record,
    ReportRecord,
    Run,
    SamplesRecord,
)
from ..run.state import ended_rounds
from ..store import fetch

Kind = Literal["text", "list", "metrics", "html", "markdown", "model", "dataset"]


@dataclass(frozen=True)
class Output:
    """An output of a step's task; `text` and `list` are parameters, the others artifacts.

    Attributes:
        has_file: whether the artifact is more than its metadata.
    """

    name: str
    kind: Kind

    @property
    def is_parameter(self) -> bool:
        return self.kind in ("text", "list")

    @property
    def has_file(self) -> bool:
        return self.kind in ("html", "markdown", "model", "dataset")


class Given(BaseModel):
    """What a step gives as an artifact.

    Attributes:
        metadata: shown beside it in the UI; a `system.Metrics` is nothing but this.
        data: its file.
    """

    metadata: Mapping[str, float | int | str] = Field(default_factory=dict)
    data: bytes | None = None


DECISION: Final = "Output"
"""Of begin. KFP's local runner finds what a condition reads from a task of its own pipeline under this name only; any
other name would cost a nested pipeline, which is one driver pod more a round."""

OUTPUTS: Final[Mapping[str, tuple[Output, ...]]] = {
    "plan": (Output("run", "text"), Output("rounds", "list"), Output("shards", "list"), Output("parts", "list")),
    "prepare": (Output("dataset", "dataset"),),
    "begin": (Output(DECISION, "text"),),
    "aggregate": (Output("metrics", "metrics"),),
    "redistribute": (Output("metrics", "metrics"),),
    "evaluate": (
        Output("metrics", "metrics"),
        Output("report", "html"),
        Output("summary", "markdown"),
        Output("model", "model"),
    ),
}
"""By step; the others give nothing but their record."""


def given(step: str, run: Run, record: Record) -> dict[str, Any]:
    """What a step gives, by the name of the output: a `Given` for an artifact, else the parameter's value."""
    give = _GIVE.get(step)
    return give(run, record) if give else {}


def _plan(run: Run, record: Record) -> dict[str, Any]:
    """Lists of what is left to do: even to find that a round is done costs its pods. All shards, of each such round."""
    config = cast(Plan, record).config
    ended = ended_rounds(run)
    model = run.find(ModelRecord, ended)
    rounds = [] if model and model.stop else list(range(ended, config.iet.rounds))
    parts = range(config.sample.parts)
    return {
        "run": run.url,
        "rounds": rounds,
        "shards": list(range(config.iet.shards)),
        "parts": [k for k in parts if rounds or run.find(SamplesRecord, ended, k) is None],
    }


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


def _aggregate(run: Run, record: Record) -> dict[str, Any]:
    figures = cast(ModelRecord, record).figures
    if figures is None:
        return {"metrics": Given()}
    return {
        "metrics": Given(
            metadata={
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
    return {"metrics": Given(metadata={"round": after.round - 1, "moved": after.moved})}


def _evaluate(run: Run, record: Record) -> dict[str, Any]:
    from ..report.summary import summary  # it loads more than other steps need

    report = cast(ReportRecord, record)
    weights = report.objects["model/unet/diffusion_pytorch_model.safetensors"]
    folder = run.store.address(report.model_folder)
    return {
        "metrics": Given(metadata=report.headline | {"rounds": report.round}),
        "report": Given(data=fetch(run.store, report.objects["shared.html"])),
        "summary": Given(data=summary(run, report).encode()),
        "model": Given(
            metadata={"place": folder, "weights_sha256": weights.sha256, "rounds": report.round, "run": run.url},
            data=run.store.get(run.key(ReportRecord, report.round)),
        ),
    }


_GIVE: Final[Mapping[str, Callable[[Run, Record], dict[str, Any]]]] = {
    "plan": _plan,
    "prepare": _prepare,
    "begin": _begin,
    "aggregate": _aggregate,
    "redistribute": _redistribute,
    "evaluate": _evaluate,
}
