"""What a person types first, and the list of exact versions."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.support.toy_project import ROOT


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with what `make setup` reads, and no environment yet."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_help_lists_every_target(bare: Path) -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (bare / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    said = make(bare).stdout
    assert all(f"make {target} " in said for target in targets[1].split())


def test_without_python_3_11_it_says_how_to_name_one(bare: Path) -> None:
    done = make(bare, "test", "PYTHON=python-of-nobody")
    assert done.returncode != 0
    assert "no 'python-of-nobody' on PATH" in done.stderr
    assert "make test PYTHON=/path/to/python3.11" in done.stderr
    assert not (bare / ".venv").exists()


def test_another_python_is_refused(bare: Path) -> None:
    other = bare / "python3.9"
    other.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    other.chmod(0o755)
    done = make(bare, "setup", f"PYTHON={other}")
    assert done.returncode != 0
    assert "is Python 3.9.1, wanted Python 3.11" in done.stderr
    assert not (bare / ".venv").exists()


def test_constraints_are_names_and_versions_of_all_that_is_needed() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    fixed = {canonical(line.split("==")[0]) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {canonical(re.split(r"[\[<>=!~; ]", line)[0]) for line in wanted}
    assert names <= fixed
    assert canonical(project["name"]) not in fixed


def test_what_is_installed_runs_on_every_python_3_11() -> None:
    """Debian 12 comes with 3.11.2, and pip finds no way out if a fixed version wants a later one."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    fixed = {canonical(line.split("==")[0]) for line in lines}
    wanted = {
        each.name: each.metadata["Requires-Python"] or ""
        for each in distributions()
        if canonical(each.name) in fixed
    }
    assert len(wanted) > len(fixed) / 2
    assert [name for name, pythons in wanted.items() if "3.11.0" not in SpecifierSet(pythons)] == []


LEFT_OUT = {
    "opencv-python": {"nuscenes-devkit"},  # owns the same folder as opencv-python-headless
    "pyliblzfse": {"viser"},  # comes as source alone; only reads recordings of one app
}
"""what is not installed though a package asks for it: docs/decisions/installed_set.md"""


def test_constraints_hold_all_that_the_packages_ask_for_but_what_is_left_out_on_purpose() -> None:
    fixed = fixed_versions()
    missing: dict[str, set[str]] = {}
    for name in fixed:
        for needed in needed_by(name):
            key = canonical(needed.name)
            if key not in fixed or not needed.specifier.contains(fixed[key], prereleases=True):
                missing.setdefault(key, set()).add(name)
    assert missing == LEFT_OUT


def test_one_package_owns_opencv() -> None:
    owners = {name for name in fixed_versions() if name.startswith("opencv-")}
    assert owners == {"opencv-python-headless"}


def test_an_import_that_is_not_declared_is_found(tmp_path: Path) -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    assert '    "trimesh",\n' in declared
    (tmp_path / "pyproject.toml").write_text(declared.replace('    "trimesh",\n', ""))
    (tmp_path / "scenestyle").mkdir()
    shutil.copy(ROOT / "scenestyle/export.py", tmp_path / "scenestyle")
    done = subprocess.run(
        [sys.executable, "-m", "deptry", "--ignore", "DEP002", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "'trimesh' imported" in done.stderr


def fixed_versions() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonical(name): version for name, version in (line.split("==") for line in lines)}


def needed_by(name: str) -> list[Requirement]:
    """What the installed package asks for without extras, here or on the oldest Python 3.11.

    Nothing where it is not installed.
    """
    try:
        asked = map(Requirement, requires(name) or [])
    except PackageNotFoundError:
        return []
    places = [{"extra": ""}, {"extra": "", "python_full_version": "3.11.0"}]
    return [each for each in asked if each.marker is None or any(map(each.marker.evaluate, places))]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
