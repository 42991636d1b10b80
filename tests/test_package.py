"""What is installed is one package, and it runs in whatever folder its user stands in."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("unecho", "components", "pipelines"):
        shutil.copytree(TREE / name, tree / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TREE / name, tree)
    made = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=tree, check=True, capture_output=True, text=True
    )
    return folder / made.stdout.splitlines()[-1]


def test_a_wheel_holds_one_package_with_all_its_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"unecho"}
    for folder in ("components", "pipelines"):
        for path in (TREE / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
                assert f"unecho/{path.relative_to(TREE).as_posix()}" in names
    assert "unecho/py.typed" in names


def test_an_installed_command_runs_in_a_folder_with_pipelines_and_components_of_its_own(
    wheel: Path, tmp_path: Path
) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    zipfile.ZipFile(wheel).extractall(site)
    for name in ("pipelines", "components", "unecho"):
        (here / name).mkdir(parents=True)
        (here / name / "__init__.py").write_text(f"raise SystemExit('{name} of the working directory was imported')")
    command = "import sys; from unecho.pipelines.commands import main; sys.exit(main())"
    options = ["--preset", "tiny", "--variants", "default", "--seeds", "1", "--no-classifier"]
    done = subprocess.run(  # -P: like an installed script, whose first path is its own folder
        [sys.executable, "-P", "-c", command, "compare", *options],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(site), "COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 runs, 0 done before" in done.stdout
    assert (here / "unecho-runs/runs/tiny-default-0/plans/0.json").is_file()
    assert (here / "compare-tiny/compare.html").is_file()
