"""unecho pull: the released model, the report and the event files for TensorBoard, out of the store."""

import hashlib
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from rich.console import Console

from ...components.failure import Fatal
from ...components.report.sampling import sampling_lines
from ...components.run import Run
from ...components.run.address import tracking_prefix
from ...components.store import ObjectRef, SequentialReader, Store
from ..finished import finished_report
from ..units import size
from ..whole_file import whole_file

_WHAT: Final[Mapping[str, Callable[[str], bool]]] = {
    "model": lambda name: name.startswith("model/"),
    "report": lambda name: name in ("report.html", "report.json"),
    "shared": lambda name: name == "shared.html",
}
_TRACKING: Final = "tracking"
"""Of the run, and not of its report: there before the run has ended."""
_READ_AHEAD = 64 << 20
"""Bytes asked of the store at once: it fetches them in parallel."""


def main(argv: Sequence[str]) -> None:
    """Write what is asked for below a directory: whole files, their digests checked."""
    arguments = parser().parse_args(argv)
    run, folder = Run.parse(arguments.run), arguments.dir
    files = _of_report(run, folder, [what for what in arguments.what if what != _TRACKING])
    files |= {_path(folder, name): ref for name, ref in _tracking(run)} if _TRACKING in arguments.what else {}
    if not files:
        raise Fatal(f"{run.url}: it has no event files: start it again with execution.tensorboard=true")
    there = {path for path, ref in files.items() if _is_there(path, ref, arguments.force)}
    for path, ref in files.items():
        if path not in there:
            _write(run.store, ref, path)
    _show(run, folder, files)


def parser() -> ArgumentParser:
    """The command's options."""
    options = ArgumentParser(
        prog="unecho pull",
        description="Write a finished run's model to DIR/model (a diffusers folder), its report to DIR, and its event "
        "files for TensorBoard to DIR/tracking.",
    )
    options.add_argument("run", metavar="RUN", help="ROOT/runs/NAME")
    options.add_argument("dir", metavar="DIR", type=Path, help="made if it is not there")
    options.add_argument(
        "--what",
        type=_what,
        default="model,report,tracking",
        metavar="WHAT,...",
        help=f"of {', '.join([*_WHAT, _TRACKING])}: shared is the page without training images; tracking alone is "
        "there before the run has ended (default: %(default)s)",
    )
    options.add_argument("--force", action="store_true", help="overwrite files that differ")
    return options


def _what(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in (*_WHAT, _TRACKING):
            raise ArgumentTypeError(f"'{name}' is not one of {', '.join([*_WHAT, _TRACKING])}")
    return names


def _of_report(run: Run, folder: Path, wanted: Sequence[str]) -> dict[Path, ObjectRef]:
    """What the report of a finished run names, of these kinds; a run that has not ended has none of any."""
    if not wanted:
        return {}
    report = finished_report(run, "pull")
    kinds = [_WHAT[what] for what in wanted]
    files = {_path(folder, name): ref for name, ref in report.objects.items() if any(of(name) for of in kinds)}
    if not files:
        held = ", ".join(what for what, of in _WHAT.items() if any(of(name) for name in report.objects))
        raise Fatal(f"{run.url}: --what {','.join(wanted)}: it holds none: it released no model (of {held})")
    return files


def _tracking(run: Run) -> Iterator[tuple[str, ObjectRef]]:
    """The event files; no record names them, so their digests are those of what is read."""
    prefix = tracking_prefix(run)
    for stat in run.store.list(prefix):
        data = run.store.get(stat.key)
        ref = ObjectRef(key=stat.key, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        yield f"{_TRACKING}/{stat.key.removeprefix(prefix)}", ref


def _path(folder: Path, name: str) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in name.split("/"):
        raise Fatal(f"report: it names '{name}', which is no name of a file below a directory")
    return folder / name


def _is_there(path: Path, ref: ObjectRef, force: bool) -> bool:
    """Whether the file is written already.

    Raises:
        Fatal: another one is in its place.
    """
    try:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == ref.sha256
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}: choose another DIR") from None
    if not same and not force:
        raise Fatal(f"{path}: a different file is there: choose another DIR, or --force to overwrite it")
    return same


def _write(store: Store, ref: ObjectRef, path: Path) -> None:
    """Write an object to a file, which is there whole or not at all."""
    try:
        with whole_file(path) as file:
            reader = SequentialReader.open(store, ref, _READ_AHEAD)
            for start in range(0, ref.size, _READ_AHEAD):
                file.write(reader.read(min(_READ_AHEAD, ref.size - start)))
            reader.finish()
    except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise Fatal(f"{path}: {error.strerror}: choose another DIR") from None


def _show(run: Run, folder: Path, files: dict[Path, ObjectRef]) -> None:
    console = Console(highlight=False, markup=False)
    events = [ref.size for path, ref in files.items() if path.is_relative_to(folder / _TRACKING)]
    for path, ref in files.items():
        if not path.is_relative_to(folder / _TRACKING):
            console.print(f"{size(ref.size):>10}  {path}", soft_wrap=True)
    if events:
        console.print(f"{size(sum(events)):>10}  {folder / _TRACKING}, {len(events)} files", soft_wrap=True)
    if folder / "model/model_index.json" in files:
        console.print()
        for line in sampling_lines(str(folder / "model"), run.config()):
            console.print(line, soft_wrap=True)
