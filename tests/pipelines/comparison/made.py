"""Results made by hand."""

from unecho.components.config import resolve
from unecho.components.measures.intervals import Share
from unecho.components.measures.quality_figures import Quality
from unecho.components.measures.verdict import beside_floor, judged
from unecho.components.report.figures import Figures, Headline, Provenance, Round
from unecho.components.run import Run
from unecho.pipelines.comparison.arms import Arm, Entry
from unecho.pipelines.comparison.results import Result


def share(count: int, of: int = 1000) -> Share:
    return Share.counted(count, of)


def quality(frechet: float, features: str = "pixels") -> Quality:
    return Quality(
        features=features,
        frechet_name=f"Frechet distance ({features})",
        frechet=frechet,
        frechet_real=0.5,
        images=100,
        reference=1000,
        neighbours=3,
        manifold=100,
        precision=share(80, 100),
        precision_real=share(90, 100),
        recall=share(70, 100),
        recall_real=share(95, 100),
        poor=False,
    )


def result(
    arm: str, seed: int, copies: int, frechet: float, train_s: float = 100, floor: int = 20, variant: str | None = None
) -> Result:
    """A run of which `copies` of 1,000 images are below MQ 0.1, where `floor` of 1,000 real ones are."""
    variant = variant or arm
    config = resolve("tiny", variant, settings=(f"seed={seed}",))
    figures = Figures(
        headline=Headline(verdict="unclear", title="", sentence="", quality="", smoke=None),
        memorization=judged(
            [
                beside_floor("mq", True, 0.1, share(copies), share(floor)),
                beside_floor("mq", True, 0.4, share(copies), share(200)),
                beside_floor("mq", False, 0.1, share(copies + 5), share(floor)),
                beside_floor("extraction", True, 0.1, share(copies // 50, 100), share(0), guesses=7),
            ],
            ("mq_aware_0.1",),
            0.02,
        ),
        quality=quality(frechet),
        further_quality=[quality(10 * frechet, "onnx")],
        neighbours=10,
        transforms=18,
        histograms=[],
        pairs=[],
        rounds=[Round(round=0, loss=1, visits=500, skips=50, augmented=100, moved=0)],
        provenance=Provenance(
            run=f"x-{seed}",
            dataset="d" * 64,
            seed=seed,
            code="1",
            torch="2",
            hardware=["a processor"],
            started=None,
            duration_s=None,
            train_images=100,
            held_out_images=1000,
            generated_images=1000,
            rounds=1,
            stopped=None,
            planned_visits=500,
            visits=500,
            skipped_share=0.1,
        ),
        config={},
    )
    run = Run.at("/nowhere", f"x-{Arm(arm, variant).slug}-{seed}")
    return Result(Entry(Arm(arm, variant), seed, run, config), figures, train_s)
