"""How a command ends: memory that does not suffice, and bugs whose texts hold secrets."""

import re
import sys

import pytest

from tests.runs import tiny
from unecho.components import steps
from unecho.components.failure import Fatal, status_of
from unecho.components.log import redacted
from unecho.components.plan.step import plan
from unecho.components.run import ModelRecord, Run
from unecho.components.run.failures import failures, kept_failure

TOKEN = "canary-of-a-token"


class OutOfMemoryError(RuntimeError):
    """As torch.cuda names it."""


DEVICE = OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB")
ARRAY = MemoryError("Unable to allocate 1.50 TiB for an array with shape (1, 2)")
ACCELERATOR = RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at ...")
DRIVER = RuntimeError("CUDA driver error: out of memory")
CUBLAS = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
CUDNN = RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")
CUSOLVER = RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`")
TRITON = RuntimeError("Triton Error [CUDA]: out of memory")
TORCH = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to ...")


class CompilerFailed(RuntimeError):
    """As torch's compiler wraps what fails in it."""

    def __init__(self, inner: Exception) -> None:
        super().__init__(f"backend='inductor' raised: {type(inner).__name__}")
        self.inner_exception = inner


def raised_from(cause: Exception) -> Exception:
    error = RuntimeError("the batch could not be made")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("step", "address", "field"),
    [("train", (0, 1), "train.batch_size is 8"), ("sample", (None, 0), "sample.batch_size is 16"),
     ("evaluate", (None, None), "sample.count is 32")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (DEVICE, "the device's memory does not suffice (Tried to allocate 20.00 GiB)"),
        (ARRAY, "this machine's memory does not suffice (Unable to allocate 1.50 TiB)"),
        (MemoryError(), "this machine's memory does not suffice"),
        (TORCH, "this machine's memory does not suffice"),
        *(
            (error, "the device's memory does not suffice")
            for error in (ACCELERATOR, DRIVER, CUBLAS, CUDNN, CUSOLVER, TRITON)
        ),
        (CompilerFailed(DEVICE), "the device's memory does not suffice (Tried to allocate 20.00 GiB)"),
        (raised_from(CompilerFailed(ARRAY)), "this machine's memory does not suffice (Unable to allocate 1.50 TiB)"),
    ],
)
def test_memory_that_does_not_suffice_names_the_field_to_lower_and_is_not_tried_again(
    step: str,
    address: tuple[int | None, int | None],
    field: str,
    error: Exception,
    cause: str,
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run.at(str(tmp_path), "a")
    plan(run, tiny("train.batch_size=8", "sample.batch_size=16", "sample.count=32"))
    run.commit(ModelRecord(round=3), 3)  # the last, without which nothing is sampled

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(steps, step, fails)
    capsys.readouterr()
    assert status_of(lambda: steps.run_step(step, run, *address)) == 2
    elsewhere = ", or set execution.device=cpu" if step == "evaluate" and "device's" in cause else ""
    assert capsys.readouterr().err == f"unecho: {cause}: {field}: lower it{elsewhere}\n"


def test_what_a_pod_lacked_is_kept_where_engines_that_lose_its_exit_status_read_it(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.at(str(tmp_path), "a")
    plan(run, tiny("train.batch_size=8"))

    def fails(*_: object) -> None:
        raise CUBLAS

    monkeypatch.setattr(steps, "train", fails)
    with pytest.raises(Fatal), kept_failure(run, "train", 0, 1):
        steps.run_step("train", run, 0, 1)
    assert [str(failure) for failure in failures(run)] == [
        "train 0 1: the device's memory does not suffice: train.batch_size is 8: lower it"
    ]


def test_memory_of_a_step_without_such_a_field_and_of_no_step_is_one_line_too(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(steps, "aggregate", fails)
    run = Run.at(str(tmp_path), "a")
    for work in (lambda: steps.run_step("aggregate", run, 0), fails):
        assert status_of(work) == 2
        assert capsys.readouterr().err == "unecho: this machine's memory does not suffice: give it more\n"


@pytest.mark.parametrize(
    "text",
    [
        "shapes differ",
        "CUDA error: device-side assert triggered",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "out of resource: shared memory, Required: 262144, Hardware limit: 232448",
    ],
)
def test_an_error_that_is_not_about_memory_stays_what_it_is(
    text: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(steps, "train", fails)
    with pytest.raises(RuntimeError, match=re.escape(text)):
        steps.run_step("train", Run.at(str(tmp_path), "a"), 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        f"Invalid header value b'{TOKEN}\\n'",
        f"Invalid header value b'AWS4-HMAC-SHA256 Credential=k\\n{TOKEN}/20250101/us-east-1/s3/aws4_request'",
        f"{{'Authorization': 'Bearer {TOKEN}'}}",
        f"GET https://host/key?X-Amz-Signature={TOKEN}&X-Amz-Date=1",
        f"x-amz-security-token: {TOKEN}",
        f"POST https://sts/?WebIdentityToken={TOKEN} failed",
        f"http://user:{TOKEN}@proxy:3128 does not answer",
        f"no quotes around {TOKEN} at all",
    ],
)
def test_a_bug_is_told_without_the_secret_that_its_text_holds(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", f" {TOKEN}\n")

    def fails() -> None:
        raise ValueError(text)

    assert status_of(fails) == 1
    people = capsys.readouterr().err
    assert "Traceback" in people
    monkeypatch.setenv("UNECHO_LOG", "json")
    assert status_of(fails) == 1
    for said in (people, capsys.readouterr().err, redacted(text)):
        assert TOKEN not in said
        assert "***" in said


def test_lines_without_secrets_stay_as_they_are() -> None:
    for line in ("s3://bucket/a@b: no such object", "check AWS_SECRET_ACCESS_KEY", "field x: use y:z, not a@b"):
        assert redacted(line) == line


def test_a_line_of_a_user_error_holds_no_secret_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", TOKEN)

    def fails() -> None:
        raise Fatal(f"something answered: {TOKEN}")

    assert status_of(fails) == 2
    assert capsys.readouterr().err == "unecho: something answered: ***\n"
    assert sys.exc_info() == (None, None, None)
