"""What a person types first, and the list of exact versions."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
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


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
