"""The history of a released model is the truth, released.json its newest record, and gc leaves alone what it names."""

from pathlib import Path

import pytest

from tests.releases import given, history
from unecho.components.config import resolve
from unecho.components.failure import Beaten, Fatal
from unecho.components.run import Plan, Run
from unecho.components.run.gc import Manifests, leftovers
from unecho.components.run.released import ReleasedModel, config_digest, released_models
from unecho.components.store import Store
from unecho.components.store.base import Buffer

LATER = float("inf")


@pytest.fixture(params=["directory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """On both kinds of store."""
    return str(tmp_path) if request.param == "directory" else str(request.getfixturevalue("s3_root"))


def test_the_highest_number_is_what_is_released_and_released_json_is_that_record(root: str) -> None:
    model = history("ab", root)
    assert [release.run for release in model.history()] == ["a", "b"]
    current = model.current()
    assert current is not None
    assert (current.number, current.run) == (2, "b")
    assert model.store.get("models/dogs/released.json") == model.store.get("models/dogs/history/000002.json")
    assert [other.name for other in released_models(model.store)] == ["dogs"]


def test_of_two_records_of_one_number_the_first_stands_and_the_second_is_told_whose_it_is(root: str) -> None:
    model = history("a", root)
    model.append(given(Run(model.store, "b"), 2, by="nightly job"))
    before = {stat.key: stat.etag for stat in model.store.list("models/")}
    with pytest.raises(Beaten, match=r"nightly job has promoted run b, which is number 2 now\. Nothing was changed"):
        model.append(given(Run(model.store, "c"), 2, attempt="f" * 8))
    assert {stat.key: stat.etag for stat in model.store.list("models/")} == before


def test_numbers_are_compared_as_numbers(tmp_path: Path) -> None:
    run = Run.at(str(tmp_path), "a")
    model = ReleasedModel(run.store, "dogs")
    for number in (999_999, 1_000_000):
        model.append(given(run, number))
    assert model.numbers() == [999_999, 1_000_000]
    current = model.current()
    assert current is not None
    assert current.number == 1_000_000


@pytest.mark.parametrize("pointer", [None, b"", b"half a rec", "older"])
def test_released_json_that_is_missing_cut_off_or_older_is_mended(pointer: bytes | str | None, root: str) -> None:
    model = history("ab", root)
    if pointer is None:
        model.store.delete([model.pointer])
    else:
        model.store.put(model.pointer, model.store.get(model.key(1)) if isinstance(pointer, str) else pointer)
    assert model.is_behind()
    model.mend()
    assert not model.is_behind()
    assert model.store.get(model.pointer) == model.store.get(model.key(2))


def test_a_slow_writer_of_an_older_record_puts_right_what_it_has_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its two writes another job has promoted: its own, which comes last, is the older one."""
    model = history("a", str(tmp_path))
    quick = ReleasedModel(Run.at(str(tmp_path), "a").store, "dogs")
    put, waiting = model.store.put, ["once"]

    def slow(key: str, data: Buffer | Path) -> None:
        if waiting and waiting.pop():
            quick.append(given(Run(quick.store, "c"), 3))
        put(key, data)

    monkeypatch.setattr(model.store, "put", slow)
    record = given(Run(quick.store, "b"), 2)
    model.append(record)
    assert [release.run for release in model.history()] == ["a", "b", "c"]
    assert model.store.get(model.pointer) == model.store.get(model.key(3))


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        (b'"number": 2', b'"number": 1', "altered: it says that it is dogs 1"),
        (b'"replaces": 1', b'"replaces": 2', "altered: it names a record that is later than itself"),
        (b'"run": "b"', b'"run": 7', "altered: run: Input should be a valid string"),
    ],
)
def test_a_record_that_was_altered_is_one_line(was: bytes, now: bytes, says: str, tmp_path: Path) -> None:
    model = history("ab", str(tmp_path))
    data = model.store.get(model.key(2))
    assert was in data
    model.store.put(model.key(2), data.replace(was, now))
    with pytest.raises(Fatal, match=says) as raised:
        model.current()
    assert str(raised.value).startswith(f"file://{tmp_path}/models/dogs/history/000002.json: ")


def left(store: Store) -> set[str]:
    return {one.stat.key for one in leftovers(Manifests(store).read(), LATER)}


def test_gc_leaves_alone_what_a_released_model_or_its_history_names_whatever_became_of_the_run(root: str) -> None:
    """The runs here have no record at all: only the history speaks for their objects."""
    model = history("ab", root)
    lost = given(Run(model.store, "c")).objects
    assert left(model.store) == {ref.key for ref in lost.values()}, "what nobody has released goes"
    model.store.delete([model.pointer])
    assert left(model.store) == {ref.key for ref in lost.values()}, "the history is enough"
    model.store.put(model.pointer, model.store.get(model.key(2)))
    model.store.delete([model.key(2)])
    assert left(model.store) == {ref.key for ref in lost.values()}, "and so is released.json"


def test_gc_stops_where_nobody_knows_what_a_history_names(tmp_path: Path) -> None:
    model = history("a", str(tmp_path))
    model.store.put(model.key(1), b"{}")
    with pytest.raises(Fatal, match=r"models/dogs/history/000001\.json: altered: model: Field required"):
        left(model.store)


def test_files_of_somebody_else_below_models_are_neither_read_nor_left_over(tmp_path: Path) -> None:
    model = history("a", str(tmp_path))
    for key in ("models/notes.json", "models/dogs/history/1.json", "models/My Base/released.json", "models/x/y.json"):
        model.store.put(key, b"mine")
    assert model.numbers() == [1]
    assert [other.name for other in released_models(model.store)] == ["dogs"]
    assert left(model.store) == set()


def test_the_digest_of_a_configuration_is_of_the_method_and_of_what_its_files_hold() -> None:
    def digest(*settings: str, **plan: dict[str, str]) -> str:
        return config_digest(Plan(revision=0, config=resolve("tiny", "iet-agc+", settings=settings), **plan))

    plain = digest()
    assert digest("execution.keep_rounds=5") == plain, "where and how it runs is no part of the method"
    assert digest("data.source=/elsewhere") == plain, "the data set has a digest of its own"
    assert digest("train.learning_rate=0.5") != plain
    field = "evaluate.inception_weights"
    here, there = (digest(f"{field}={place}", files={field: "1" * 64}) for place in ("a.pt", "b.pt"))
    assert here == there
    assert here != digest(f"{field}=a.pt", files={field: "2" * 64})
