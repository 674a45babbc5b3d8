"""The source distribution: it has what the tests need, and nothing of what a working day leaves."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from personalize import __version__
from tests import ROOT

PACKAGES = ("cardlib", "personalize", "apdu_scripts")
FOLDERS = (*PACKAGES, "tests", "benchmarks", "docs", ".ci")
FILES = (
    ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md",
    "SECURITY.md", "bootstrap.sh", "conftest.py", "pyproject.toml",
)  # fmt: skip
NEEDED = (
    ".ci/run", "bootstrap.sh", "conftest.py", "docs/index.md", "docs/trust/versioning.md",
    "tests/data/residents.csv", "tests/vectors/scp03.json", "tests/programs/rhcard.py",
    "cardlib/py.typed", "cardlib/layout/codes/occupation.csv", "apdu_scripts/identify.scriptor",
)  # fmt: skip
"""Some of each kind, by name: a folder that is missing here cannot be missing there unseen."""
LEFT_OVER = (
    ".venv/bin/python", "rhcard-demo/keys.json", "rhcard-demo-2/batch/pins.sealed", "keys.json",
    "one.card", "cardlib/__pycache__/apdu.cpython-311.pyc", ".hypothesis/examples/1",
    ".mypy_cache/3.11/x.json", ".ruff_cache/x", "tests/.pytest_cache/README.md", "build/lib/x.py",
    "dist/rhcard-0.0.1.tar.gz", "rhcard.egg-info/PKG-INFO", "residents.csv",
    "tests/programs/node/node_modules/smartcard/index.js",
)  # fmt: skip
MADE_BY_TOOLS = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", "*.py[co]", "*.egg-info", ".*_cache", ".hypothesis",
    "rhcard-demo*", "build", "dist", "node_modules",
)  # fmt: skip


def python(*words: object, cwd: Path, path: Path = ROOT) -> str:
    """What Python prints, with the modules below `path` before all others; it must end well."""
    environment = os.environ | {"PYTHONPATH": str(path), "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_in(folder: Path, *names: str) -> set[str]:
    found = (path for name in names for path in (folder / name).rglob("*"))
    return {path.relative_to(folder).as_posix() for path in found if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every file that belongs to a source distribution, by the tree of this run."""
    clean = tmp_path_factory.mktemp("clean") / "tree"
    shutil.copytree(ROOT, clean, ignore=MADE_BY_TOOLS)
    return files_in(clean, *FOLDERS) | set(FILES)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a tree in which somebody has worked."""
    folder = tmp_path_factory.mktemp("a tree")
    tree = folder / "rhcard"
    shutil.copytree(ROOT, tree, ignore=MADE_BY_TOOLS)
    for name in LEFT_OVER:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("left over")
    python("-m", "hatchling", "build", "-t", "sdist", "-d", folder / "out", cwd=tree, path=tree)
    return folder / "out" / f"rhcard-{__version__}.tar.gz"


@pytest.fixture(scope="module")
def unpacked(archive: Path) -> Path:
    with tarfile.open(archive) as opened:
        if hasattr(tarfile, "data_filter"):  # not in Python 3.11.2 (Debian 12)
            opened.extraction_filter = tarfile.data_filter
        opened.extractall(archive.parent)
    return archive.parent / f"rhcard-{__version__}"


def test_it_has_every_file_of_the_tree_and_nothing_that_was_left_over(
    archive: Path, whole: set[str]
) -> None:
    with tarfile.open(archive) as opened:
        members = {member.name.split("/", 1)[1]: member for member in opened if member.isfile()}
    assert set(NEEDED) <= set(members)
    assert set(members) == whole | {"PKG-INFO"}
    assert members[".ci/run"].mode & 0o111 and members["bootstrap.sh"].mode & 0o111


def test_its_tests_run(unpacked: Path) -> None:
    tests = (
        "tests/listing/test_cases.py",
        "tests/house/test_readme.py",
        "tests/house/test_names.py",
    )
    said = python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, cwd=unpacked, path=unpacked
    )
    assert " passed" in said


def test_a_wheel_made_from_it_has_every_file_of_the_packages(
    unpacked: Path, whole: set[str]
) -> None:
    out = unpacked.parent / "wheel"
    python("-m", "hatchling", "build", "-t", "wheel", "-d", out, cwd=unpacked, path=unpacked)
    (wheel,) = out.iterdir()
    names = set(zipfile.ZipFile(wheel).namelist())
    information = {name for name in names if name.startswith(f"rhcard-{__version__}.dist-info/")}
    assert names - information == {name for name in whole if name.split("/")[0] in PACKAGES}
    assert {name.split("/", 1)[1] for name in information} >= {
        "METADATA", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip


def test_what_is_installed_from_it_runs(archive: Path) -> None:
    target = archive.parent / "installed"
    python(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--disable-pip-version-check", "--target", target, archive, cwd=archive.parent, path=target,
    )  # fmt: skip
    where = "import cardlib, personalize; print(cardlib.__file__, personalize.__file__)"
    said = python("-c", where, cwd=archive.parent, path=target)
    assert said.count(str(target)) == 2
    rhcard = target / "bin" / "rhcard"
    assert __version__ in python(rhcard, "--version", cwd=archive.parent, path=target)
    assert "identify" in python(rhcard, "apdu", "list", cwd=archive.parent, path=target)
