"""Files that later steps need: opened by the plan, frozen by what they hold."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.measures.test_onnx import flatten
from tests.runs import tiny
from unecho.components.config import RunConfig
from unecho.components.failure import Fatal
from unecho.components.initialize.step import initialize
from unecho.components.plan.step import plan
from unecho.components.progress import Silent
from unecho.components.run import Plan, Run
from unecho.components.run.given_files import read_extractor
from unecho.components.steps import run_step
from unecho.pipelines.commands import main

WEIGHTS = np.arange(48, dtype=np.float32).reshape(16, 3)


def model_of(weights: np.ndarray) -> onnx.ModelProto:
    """Flattens [N, 1, 4, 4] and multiplies."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])],
        "extractor",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def inception(path: Path | str) -> RunConfig:
    return tiny("evaluate.features=inception", f"evaluate.inception_weights={path}")


def extractor(path: Path | str) -> RunConfig:
    return tiny("evaluate.features=onnx", f"evaluate.onnx_model={path}")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.at(str(tmp_path / "root"), "a")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("evaluate.features=inception evaluate.inception_weights=/nowhere/w.pth", "'/nowhere/w.pth': no such file"),
        ("evaluate.features=onnx evaluate.onnx_model=/nowhere/m.onnx", "'/nowhere/m.onnx': no such file"),
        ("evaluate.features=onnx evaluate.onnx_model=/tmp", "'/tmp': a directory, a file is needed"),
        ("evaluate.features=onnx evaluate.onnx_model=/dev/null", "'/dev/null': file:///dev/null: a pipe or a device"),
        ("evaluate.descriptor=/nowhere/sscd.pt", "'/nowhere/sscd.pt': no such file"),
        ("evaluate.descriptor=/tmp", "'/tmp': a directory, a file is needed"),
        ("evaluate.descriptor=/etc/passwd", "'/etc/passwd': not a model that onnxruntime loads: "),
        ("model.pretrained=/nowhere", "file:///nowhere/unet/config.json: no such object: give a diffusers folder"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "step plan --run {root}/runs/a", "run --root {root} --name a"])
def test_a_file_that_is_not_there_is_one_line_before_anything_is_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, settings: str, says: str
) -> None:
    sets = [word for setting in settings.split() for word in ("--set", setting)]
    assert main([*command.format(root=tmp_path / "root").split(), "--preset", "tiny", *sets]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("unecho: ")]) == 1
    field = settings.split()[-1].partition("=")[0]
    assert lines[-1].startswith(f"unecho: {field}: {says}")
    assert not (tmp_path / "root").exists()


def test_a_descriptor_that_does_not_go_with_its_transform_is_one_line_before_anything_is_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = flatten(tmp_path / "fixed.onnx", ["n", 3, 32, 32])
    for command in ("plan", f"step plan --run {tmp_path / 'root'}/runs/a"):
        assert main([*command.split(), "--preset", "tiny", "--set", f"evaluate.descriptor={path}"]) == 2
        line = capfd.readouterr().err.splitlines()[-1]
        assert line.startswith(f"unecho: evaluate.descriptor: '{path}': takes images of 32 x 32, ")
        assert "gives 288 x 288" in line
    assert not (tmp_path / "root").exists()


def test_a_descriptor_is_read_by_its_address_and_frozen_by_what_it_holds(run: Run, tmp_path: Path) -> None:
    path = Path(flatten(tmp_path / "own.onnx", ["n", 1, 8, 8]))
    numbers = "evaluate.descriptor_transform=numbers"
    planned = plan(run, tiny(f"evaluate.descriptor={path.as_uri()}", numbers))
    assert planned.files == {"evaluate.descriptor": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert planned.config.evaluate.deciding[-1] == "descriptor"
    moved = path.rename(tmp_path / "moved.onnx")
    assert plan(run, tiny(f"evaluate.descriptor={moved}", numbers)).files == planned.files
    with pytest.raises(Fatal, match=r"another method: evaluate\.deciding: was .*'descriptor'\], now "):
        plan(run, tiny())
    flatten(moved, ["n", 1, "h", "w"])
    with pytest.raises(Fatal, match=r"another method: evaluate\.descriptor: was a file with SHA-256"):
        plan(run, tiny(f"evaluate.descriptor={moved}", numbers))


def test_a_file_that_nothing_reads_is_not_asked_for(run: Run) -> None:
    assert plan(run, tiny("evaluate.inception_weights=/nowhere", "evaluate.onnx_model=/nowhere")).files == {}


def test_a_file_may_move_but_another_content_is_another_method(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pth", tmp_path / "second.pth"
    first.write_bytes(b"weights")
    planned = plan(run, inception(first))
    first.rename(second)
    moved = plan(run, inception(second))
    assert (planned.revision, moved.revision) == (0, 1)
    assert planned.files == moved.files
    assert run.config().evaluate.inception_weights == str(second)
    second.write_bytes(b"others")
    with pytest.raises(Fatal, match=r"another method: evaluate\.inception_weights: was a file with SHA-256"):
        plan(run, inception(second))


def test_a_plan_of_before_such_digests_goes_on_with_the_same_path_alone(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pth", tmp_path / "second.pth"
    for path in (first, second):
        path.write_bytes(b"weights")
    run.commit(Plan(revision=0, config=inception(first)), 0)
    assert plan(run, inception(first)).revision == 0
    with pytest.raises(Fatal, match=r"evaluate\.inception_weights: was .*first\.pth, now .*second\.pth"):
        plan(run, inception(second))


def test_steps_refuse_a_file_that_was_changed_after_the_plan(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "model/unet"
    folder.mkdir(parents=True)
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        (folder / name).write_text("{}")
    plan(run, tiny(f"model.pretrained={tmp_path / 'model'}", "data.source=digits"))
    run_step("prepare", run)
    (folder / "config.json").write_text("{ }")
    with pytest.raises(
        Fatal, match=r"^model\.pretrained: .*unet/config.json holds something else than when the run was planned"
    ):
        initialize(run, Silent())


class TestExternalData:
    @pytest.fixture
    def external(self, tmp_path: Path) -> Path:
        (tmp_path / "models").mkdir()
        path = tmp_path / "models/m.onnx"
        onnx.save(model_of(WEIGHTS), path, save_as_external_data=True, location="m.data", size_threshold=0)
        assert (tmp_path / "models/m.data").stat().st_size >= WEIGHTS.nbytes
        return path

    def test_is_read_with_the_model(self, external: Path) -> None:
        data = read_extractor(str(external))
        assert data is not None
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        x = np.random.default_rng(0).random((2, 1, 4, 4), np.float32)
        assert np.allclose(session.run(None, {"x": x})[0], x.reshape(2, 16) @ WEIGHTS, rtol=1e-5)

    def test_that_is_missing_or_cut_off_is_one_line_at_the_plan(self, run: Run, external: Path) -> None:
        weights = external.with_name("m.data")
        weights.write_bytes(weights.read_bytes()[:-1])
        with pytest.raises(
            Fatal, match=r"^evaluate\.onnx_model: '.*m\.onnx': its weights are in 'm\.data', which has 191 bytes"
        ):
            plan(run, extractor(external))
        weights.unlink()
        with pytest.raises(Fatal, match=r"its weights are in 'm\.data' beside it, and there is no such file"):
            plan(run, extractor(external))

    def test_is_part_of_what_is_frozen(self, run: Run, external: Path) -> None:
        plan(run, extractor(external))
        onnx.save(model_of(WEIGHTS + 1), external, save_as_external_data=True, location="m.data", size_threshold=0)
        with pytest.raises(Fatal, match=r"another method: evaluate\.onnx_model: was a file with SHA-256"):
            plan(run, extractor(external))

    def test_of_a_place_that_is_not_beside_the_model_is_refused(self, run: Run, external: Path) -> None:
        model = onnx.load(external, load_external_data=False)
        for entry in model.graph.initializer[0].external_data:
            if entry.key == "location":
                entry.value = "../secret"
        external.write_bytes(model.SerializeToString())
        with pytest.raises(Fatal, match="which is not beside it: save it as one file"):
            plan(run, extractor(external))

    def test_is_not_looked_for_in_files_that_are_no_models_or_are_whole(self, tmp_path: Path) -> None:
        for data in (b"", b"no model", bytes(range(256)), model_of(WEIGHTS).SerializeToString()):
            (tmp_path / "x").write_bytes(data)
            assert read_extractor(str(tmp_path / "x")) == data
        assert read_extractor(str(tmp_path / "none")) is None
