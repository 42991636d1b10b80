"""Reports beside each other: what compares, what does not and is said so, at 80 columns whatever their number."""

from typing import Any

import pytest

from tests.report.kept import kept, without_floor
from unecho.components.measures.alignment_figures import Aligned, Alignment, Drift
from unecho.components.measures.captions import Captions
from unecho.components.measures.descriptor_figures import DescriptorFigures, Similarities
from unecho.components.measures.intervals import Mean, Share
from unecho.components.measures.verdict import Measure, beside_floor, judged
from unecho.components.report.figures import Figures
from unecho.components.report.tables import aligned
from unecho.pipelines.comparison.beside import Finished, Section, differences, labelled, remarks, sections
from unecho.pipelines.comparison.beside_tables import narrow_tables, run_table, whole_tables

REPORT = kept(2)
DECIDING = ("mq_aware_0.1", "second_nearest_aware")


def changed(figures: Figures = REPORT, provenance: dict[str, Any] | None = None, **fields: Any) -> Figures:
    """The report with other fields of its configuration, such as evaluate={"margin": 0.1}."""
    config = figures.config | {name: figures.config.get(name, {}) | tree for name, tree in fields.items()}
    source = figures.provenance.model_copy(update=provenance or {})
    return figures.model_copy(update={"config": config, "provenance": source})


def echoing() -> Figures:
    """Of 400 images 100 are below MQ < 0.1 where 4 of 400 real ones are, and 80 are far nearer to one where none is."""
    figures = [
        beside_floor("second_nearest", True, 1 / 3, Share.counted(80, 400), Share.counted(0, 400)),
        beside_floor("mq", False, 0.1, Share.counted(400, 400), Share.counted(4, 400)),
        beside_floor("mq", True, 0.1, Share.counted(100, 400), Share.counted(4, 400)),
    ]
    return REPORT.model_copy(update={"memorization": judged(figures, DECIDING, 0.02)})


def beside(*figures: Figures) -> tuple[list[Finished], list[Section]]:
    runs = labelled([(f"/root/runs/r{number}", one) for number, one in enumerate(figures)])
    return runs, sections(runs)


def cells(every: list[Section], title: str) -> list[tuple[str, ...]]:
    section = next(section for section in every if section.title == title)
    return [(line.name, *line.cells) for line in section.lines]


def test_what_decides_stands_first_with_interval_floor_and_verdict() -> None:
    runs, every = beside(echoing(), echoing())
    assert [section.title for section in every] == [
        "Memorization that decides, in %",
        "Memorization, shown and not judged, in %",
        "Quality on pixels",
    ]
    # Wilson: (0.25 + 1.92/400 +- 1.96 * sqrt(0.25 * 0.75/400 + 0.96/160,000)) / (1 + 3.84/400), and so on
    assert cells(every, "Memorization that decides, in %") == [
        ("MQ < 0.1 aware", "25.0 [21.0, 29.5]", "25.0 [21.0, 29.5]"),
        ("floor", "1.0 [0.4, 2.5]", "1.0 [0.4, 2.5]"),
        ("verdict", "echo", "echo"),
        ("near/2nd < 0.33 aware", "20.0 [16.4, 24.2]", "20.0 [16.4, 24.2]"),
        ("floor", "0.0 [0.0, 1.0]", "0.0 [0.0, 1.0]"),
        ("verdict", "echo", "echo"),
    ]
    assert cells(every, "Memorization, shown and not judged, in %")[0][1] == "100 [99.0, 100]"
    assert remarks(runs, every) == []
    assert differences(runs) == {}


def test_runs_on_different_data_sets_are_said_so_and_no_figure_of_theirs_compares() -> None:
    runs, every = beside(REPORT, changed(provenance={"dataset": "0123456789abcdef" * 4}))
    assert all("; not comparable (data set)" in section.title for section in every)
    said = remarks(runs, every)
    assert said == ["data set differs: 35b6f11e1e64 (A); 0123456789ab (B): what rests on it is not comparable"]
    assert [row[-1] for row in run_table(runs).rows] == ["35b6f11e1e64", "0123456789ab"]


def test_a_share_compares_beside_another_margin_and_its_verdict_does_not() -> None:
    runs, every = beside(REPORT, changed(evaluate={"margin": 0.1}))
    rows = [name for name, *_ in cells(every, "Memorization that decides, in %")]
    assert rows[:3] == ["MQ < 0.1 aware", "floor", "verdict, not comparable"]
    assert remarks(runs, every) == ["evaluate.margin differs: 0.02 (A); 0.1 (B): what rests on it is not comparable"]
    assert differences(runs) == {"evaluate.margin": {"0.02": ["A"], "0.1": ["B"]}}


def test_a_share_compares_beside_other_held_out_images_and_its_floor_and_quality_do_not() -> None:
    runs, every = beside(REPORT, changed(audit={"model": "/m", "held_out": "/real"}))
    assert "held-out images differ: " in remarks(runs, every)[0]
    rows = [name for name, *_ in cells(every, "Memorization that decides, in %")]
    assert rows[:3] == ["MQ < 0.1 aware", "floor, not comparable", "verdict, not comparable"]
    names = [name for name, *_ in cells(every, "Quality on pixels")]
    assert names == ["Frechet to training set"]
    rest = cells(every, "Quality on pixels; not comparable (held-out images)")
    assert [name for name, *_ in rest][:2] == ["Frechet", "real images"]


@pytest.mark.parametrize(
    ("other", "name", "measures"),
    [
        ({"neighbours": 20}, "evaluate.neighbours", {"MQ", "extracted"}),
        ({"transforms": 2}, "ways to mirror and shift", {"aware"}),
        ({"version": 1}, "version of the report", {"aware"}),
    ],
)
def test_measures_that_were_taken_otherwise_do_not_compare(
    other: dict[str, Any], name: str, measures: set[str]
) -> None:
    _, every = beside(REPORT, REPORT.model_copy(update=other))
    memorization = [section for section in every if section.title.startswith("Memorization")]
    apart = [s for s in memorization if "not comparable" in s.title]
    assert apart
    assert all(name in section.title for section in apart)
    for section in memorization:
        for block in section.blocks:
            concerned = any(word in block[0].name for word in measures)
            assert concerned == (section in apart), block[0].name


def test_reconstructions_move_every_floor_and_of_the_shares_the_augmentation_aware_ones() -> None:
    ceiling = {"ceiling": Share.counted(40, 100)}
    figures = [m.model_copy(update=ceiling if m.measure != "extraction" else {}) for m in REPORT.memorization]
    _, every = beside(REPORT, REPORT.model_copy(update={"memorization": figures}))
    unlike = {(b[0].name, line.name.partition(",")[0]): line.unlike for s in every for b in s.blocks for line in b}
    assert unlike["MQ < 0.2 plain", "MQ < 0.2 plain"] == []
    assert unlike["MQ < 0.2 plain", "floor"] == ["reconstructions"]
    assert unlike["MQ < 0.2 aware", "MQ < 0.2 aware"] == unlike["MQ < 0.2 aware", "floor"] == ["reconstructions"]
    assert unlike["extracted < 0.1 aware", "floor"] == []


def described(digest: str, transform: str = "sscd") -> Figures:
    """The report with figures on a copy descriptor."""
    largest = Similarities(
        images=400, median=0.3, high=0.6, high_low=0.55, high_high=0.7, above=Share.counted(100, 400)
    )
    descriptor = DescriptorFigures(
        file="sscd",
        digest=digest,
        transform=transform,
        size=288,
        mean=[0.5],
        std=[0.5],
        threshold=0.5,
        generated=largest,
    )
    kinds: list[Measure] = ["descriptor", "descriptor_second", "descriptor_whole", "descriptor_template"]
    own = [beside_floor(kind, True, 0.5, Share.counted(100, 400), Share.counted(4, 400)) for kind in kinds]
    memorization = judged([*own, *REPORT.memorization], (*DECIDING, "descriptor"), 0.02)
    return REPORT.model_copy(update={"memorization": memorization, "descriptor": descriptor})


def test_figures_on_a_descriptor_compare_where_its_file_and_its_transform_are_the_same() -> None:
    first = described("a" * 64)
    for other, apart in ((first, False), (described("b" * 64), True), (described("a" * 64, "dcr"), True)):
        _, every = beside(first, other)
        section = next(s for s in every for block in s.blocks if block[0].name == "similarity > 0.5")
        assert ("not comparable" in section.title) is apart
    _, every = beside(first, REPORT)
    assert ("similarity > 0.5", "25.0 [21.0, 29.5]", "-") in {row for s in every for row in cells(every, s.title)}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_descriptors_figures_fit_80_columns(count: int) -> None:
    runs, every = beside(*(described(str(number) * 64) for number in range(count)))
    for table in narrow_tables(runs, every):
        assert max(len(line) for line in aligned(table)) <= 80


def test_quality_compares_by_what_each_figure_depends_on() -> None:
    assert REPORT.quality is not None
    fewer = REPORT.model_copy(update={"quality": REPORT.quality.model_copy(update={"images": 16, "sets": 2})})
    _, every = beside(REPORT, fewer)
    alike = [name for name, *_ in cells(every, "Quality on pixels")]
    assert alike[0] == "kernel"  # it is unbiased, whatever the number of images
    assert "precision, %" in alike
    (apart,) = [section for section in every if "not comparable" in section.title]
    assert [block[0].name for block in apart.blocks] == ["Frechet", "Frechet, all generated"]


def test_an_audit_without_a_floor_has_dashes_and_the_distance_that_it_shares() -> None:
    runs, every = beside(REPORT, without_floor(REPORT))
    assert cells(every, "Memorization that decides, in %")[:3] == [
        ("MQ < 0.1 aware", "0.0 [0.0, 10.7]", "0.0 [0.0, 10.7]"),
        ("floor", "1.6 [0.3, 8.3]", "-"),
        ("verdict", "unclear", "-"),
    ]
    quality = {name: row for name, *row in cells(every, "Quality on pixels")}
    assert quality["Frechet to training set"][1] == "1.25"
    assert quality["precision, %"][1] == "-"
    assert runs[1].about["audit of"] == "model s3://models/mine"
    assert "none held out" in runs[1].about["images"]


def test_settings_of_training_are_those_of_runs_that_trained_and_of_their_audits() -> None:
    given = changed(without_floor(REPORT), sample={"steps": 9}, train={"batch_size": 7})
    again = changed(audit={"run": "/root/runs/r0"}, train={"batch_size": 8})
    old = changed(evaluate={"only_here": 3})
    runs, _ = beside(REPORT, given, again, old)
    assert differences(runs) == {
        "sample.steps": {"5": ["A", "C", "D"], "9": ["B"]},
        "train.batch_size": {"16": ["A", "D"], "8": ["C"]},
    }
    empty, _ = beside(REPORT.model_copy(update={"config": REPORT.config | {"preset": ""}}), REPORT)
    assert differences(empty) == {"preset": {"none": ["A"], "tiny": ["B"]}}


def test_two_audits_without_a_floor_have_no_line_of_floors() -> None:
    _, every = beside(without_floor(REPORT), without_floor(REPORT))
    names = [line.name for section in every for line in section.lines]
    assert "floor" not in names
    assert "-" not in [
        cell for section in every for line in section.lines for cell in line.cells if line.name != "verdict"
    ]


def test_features_that_some_run_lacks_are_left_out_by_name() -> None:
    assert REPORT.quality is not None
    onnx = REPORT.quality.model_copy(update={"features": "onnx", "digest": "f" * 64})
    runs, every = beside(REPORT.model_copy(update={"further_quality": [onnx]}), REPORT)
    assert [section.title for section in every if section.title.startswith("Quality")] == ["Quality on pixels"]
    assert remarks(runs, every) == ["quality on onnx is left out: not every report has it (A)"]


def asked(digest: str = "f" * 64, captions: Captions = "held_out", base: str = "b" * 64) -> Figures:
    """A report on a text-to-image model, with quality on images of `captions`."""
    near = Mean(mean=0.3, low=0.28, high=0.32, of=100)
    sets = [Aligned(captions=captions, generated=near), Aligned(captions="general", generated=near, base=near)]
    assert REPORT.quality is not None
    found = changed(provenance={"base_sha256": base}, model={"family": "latents"}, sample={"general_prompts": "/g.txt"})
    return found.model_copy(
        update={
            "alignment": Alignment(model="clip", digest=digest, sets=sets, real=near),
            "drift": [Drift(features="pixels", frechet_name="Frechet distance (pixels)", frechet=1, pairs=near)],
            "quality": REPORT.quality.model_copy(update={"captions": captions}),
        }
    )


def test_alignment_stands_beside_the_base_models_and_real_images_and_drift_below_it() -> None:
    runs, every = beside(asked(), asked(), changed(model={"family": "latents"}))
    assert cells(every, "Text alignment") == [
        ("held-out captions", "0.300 ± 0.020", "0.300 ± 0.020", "-"),
        ("real images", "0.300 ± 0.020", "0.300 ± 0.020", "-"),
        ("general prompts", "0.300 ± 0.020", "0.300 ± 0.020", "-"),
        ("base model", "0.300 ± 0.020", "0.300 ± 0.020", "-"),
    ]
    assert cells(every, "Drift from the base model on general prompts") == [
        ("on pixels", "0.300 ± 0.020", "0.300 ± 0.020", "-")
    ]
    assert max(len(line) for table in narrow_tables(runs, every) for line in aligned(table)) <= 80


def test_quality_on_other_captions_and_alignment_by_another_model_do_not_compare() -> None:
    # an older report is of what the run's own images were asked for
    runs, every = beside(asked(), changed(model={"family": "latents"}))
    assert "Quality on pixels; not comparable (images of quality)" in [section.title for section in every]
    assert remarks(runs, every)[0].startswith("images of quality differ: held-out captions (A); training captions (B)")
    _, every = beside(asked(), asked(digest="e" * 64, base="c" * 64))
    titles = [section.title for section in every]
    assert "Text alignment; not comparable (file of the text-image model)" in titles
    assert "Drift from the base model on general prompts; not comparable (base model)" in titles


def test_reports_of_version_1_have_no_say_in_what_decides_beside_later_ones() -> None:
    _, every = beside(kept(1), REPORT)
    names = [line.name for section in every if "that decides" in section.title for line in section.lines]
    assert [name for name in names if name not in ("floor", "verdict")] == ["MQ < 0.1 aware", "near/2nd < 0.33 aware"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 30])
def test_any_number_of_runs_fits_80_columns_with_every_figure(count: int) -> None:
    runs, every = beside(echoing(), *[changed(sample={"steps": 5 + n}) for n in range(1, count)])
    tables = narrow_tables(runs, every)
    assert max(len(line) for table in tables for line in aligned(table)) <= 80
    narrow, whole = (
        sorted(cell for table in some for row in (table.header, *table.rows) for cell in row[1:])
        for some in (tables, whole_tables(runs, every))
    )
    assert narrow == whole
    if count <= 3:
        assert tables[0].header == ["", *"ABC"[:count]]
    else:
        assert all([row[0] for row in table.rows] == [run.label for run in runs] for table in tables)
        assert all(table.header[1] not in ("floor", "verdict", "real images") for table in tables)


def test_figures_that_are_too_long_for_three_columns_are_columns_themselves() -> None:
    assert REPORT.quality is not None
    long = REPORT.quality.model_copy(update={"kernel": -1.23456e-5, "kernel_std": 1.2345e-5})
    runs, every = beside(*[REPORT.model_copy(update={"quality": long})] * 3)
    tables = narrow_tables(runs, every)
    assert max(len(line) for table in tables for line in aligned(table)) <= 80
    assert "-1.23e-05 ± 1.2e-05" in [
        row[column] for table in tables for row in table.rows for column in range(len(row))
    ]
    assert [table.header[1] for table in tables] == ["A", "A", "Frechet", "kernel", "precision, %"]


def test_letters_go_on_after_z() -> None:
    assert [run.label for run in labelled([("", REPORT)] * 54)][24:28] == ["Y", "Z", "AA", "AB"]
    assert labelled([("", REPORT)] * 54)[53].label == "BB"
