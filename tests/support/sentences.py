"""Every sentence of an error of the project: where it is made, and which test provokes it.

`tests/provocations.yaml` names for each place in the product that makes a `ScenestyleError` a test
that provokes it, or `none: ` and, if there is one, the reason. Whenever such a test runs, `tests/conftest.py` checks
that it still does, and what the sentence says. `pytest --write-provocations` brings the file up to
date with what the tests that ran have provoked.
"""

import ast
import builtins
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

import yaml

from scenestyle.files import locked

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests/provocations.yaml"
PRODUCT = ("scenestyle", "engine", "tasks", "flows", "cli")

_HEAD = 60
_PASSED_ON = {"engine/runner.py _reproduce: :"}
"""places that repeat what a stage's own fault or DVC said"""
_ERRORS = [
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
]
_PYTHON = re.compile(
    rf"\b({'|'.join(_ERRORS)}|NoneType|Traceback|\w+Error)\b|<class '|<function |object at 0x|\[Errno"
)


@dataclass(frozen=True)
class Site:
    """A call in the product that makes an error."""

    file: str
    """relative to the root"""
    first: int
    last: int
    """lines"""
    key: str
    """file, function and first words: what stays when lines move"""


@cache
def modules() -> dict[str, ast.Module]:
    """File, relative to the root -> its syntax tree, of the whole product."""
    files = (path for room in PRODUCT for path in sorted((ROOT / room).rglob("*.py")))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in files}


@cache
def error_classes() -> frozenset[str]:
    """Names of `ScenestyleError` and all that derive from it."""
    names = {"ScenestyleError"}
    classes = [
        node
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    while True:
        more = {c.name for c in classes if any(ast.unparse(base) in names for base in c.bases)}
        if more <= names:
            return frozenset(names)
        names |= more


@cache
def sites() -> dict[str, list[Site]]:
    """File -> the places in it that make an error."""
    found = {file: list(_sites(file, tree)) for file, tree in modules().items()}
    return {file: inside for file, inside in found.items() if inside}


def _sites(file: str, tree: ast.Module) -> Iterator[Site]:
    taken: set[str] = set()
    for function, call in _calls(tree, "module"):
        words = " ".join(" ".join(_literals(call)).split())[:_HEAD]
        key = stem = f"{file} {function}: {words}".strip()
        number = 1
        while key in taken:
            number += 1
            key = f"{stem} #{number}"
        taken.add(key)
        yield Site(file, call.lineno, call.end_lineno or call.lineno, key)


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = child.name
        if isinstance(child, ast.Call) and ast.unparse(child.func) in error_classes():
            yield inside, child
        yield from _calls(child, inside)


def _literals(call: ast.Call) -> Iterator[str]:
    """The fixed words of a message, in their order."""
    strings = [
        node
        for argument in call.args
        for node in ast.walk(argument)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    for node in sorted(strings, key=lambda each: (each.lineno, each.col_offset)):
        yield str(node.value)


def site_of(frame: FrameType | None) -> Site | None:
    """The place in the product where an error is being made; none if a test makes it."""
    while frame is not None and frame.f_code.co_name == "__init__":
        frame = frame.f_back
    if frame is None:
        return None
    try:
        file = str(Path(frame.f_code.co_filename).relative_to(ROOT))
    except ValueError:
        return None
    around = [s for s in sites().get(file, ()) if s.first <= frame.f_lineno <= s.last]
    return min(around, key=lambda site: site.last - site.first, default=None)


def faults_of(sentence: str) -> list[str]:
    """What does not belong into a sentence for people: Python's names, paths of the installation."""
    found = [match[0] for match in _PYTHON.finditer(sentence)]
    return found + [place for place in (sys.prefix, "site-packages") if place in sentence]


@dataclass
class Provocations:
    """The table, and what the tests of this run provoke."""

    table: dict[str, str] = field(default_factory=dict)
    """key of a site -> test, or `none: REASON`"""
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    """test -> key -> sentence"""

    @classmethod
    def read(cls) -> "Provocations":
        """From the file."""
        text = TABLE.read_text("utf-8") if TABLE.exists() else ""
        return cls(yaml.safe_load(text) or {})

    def of(self, test: str) -> set[str]:
        """What the table says that a test provokes."""
        return {key for key, named in self.table.items() if named == test}

    def check_sentences(self, test: str) -> None:
        """Raise if a sentence that a test has provoked is not for people."""
        for key, sentence in self.seen.get(test, {}).items():
            if key in _PASSED_ON:
                continue
            assert not (faults := faults_of(sentence)), f"{key} says {faults}: {sentence}"

    def check_table(self, test: str) -> None:
        """Raise if a test that has passed does not provoke what the table says."""
        lost = self.of(test) - self.seen.get(test, {}).keys()
        assert not lost, (
            f"{TABLE.name} says that this test provokes {sorted(lost)}, and it does not. Bring the "
            "file up to date: pytest --write-provocations"
        )

    def write(self) -> None:
        """Bring the file up to date: places that are gone go, new ones get a test that ran."""
        keys = [site.key for inside in sites().values() for site in inside]
        with locked(TABLE):  # processes of one run, each with its tests
            table = Provocations.read().table
            kept = {key: self._best(key, table.get(key, "none: ")) for key in keys}
            text = yaml.safe_dump(kept, sort_keys=True, width=10_000, allow_unicode=True)
            TABLE.write_text(text, encoding="utf-8")

    def _best(self, key: str, named: str) -> str:
        """The test to name for a place: the one named so far, unless it ran and failed to."""
        tests = sorted(test for test, seen in self.seen.items() if key in seen)
        lost = named.startswith("none: ") or (named in self.seen and named not in tests)
        return tests[0] if tests and lost else named


def words_of_messages() -> Iterable[tuple[Site, ast.Call]]:
    """Every site with its call."""
    for file, tree in modules().items():
        calls = [call for _, call in _calls(tree, "module")]
        yield from zip(sites().get(file, ()), calls, strict=True)
