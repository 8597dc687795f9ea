"""Every error sentence has a test that provokes it and is for people; `tests/support/sentences.py`."""

import ast
import sys

import pytest

from scenestyle.errors import InputError, ScenestyleError
from tests.support.sentences import (
    ROOT,
    Provocations,
    error_classes,
    faults_of,
    modules,
    site_of,
    sites,
    words_of_messages,
)

_TABLE = Provocations.read().table
_WITHOUT_A_TEST = 0


def test_every_place_that_makes_an_error_is_in_the_table_and_no_other() -> None:
    keys = {site.key for inside in sites().values() for site in inside}
    assert keys == _TABLE.keys(), "bring it up to date: pytest --write-provocations"


def test_the_tests_of_the_table_exist() -> None:
    named = {test for test in _TABLE.values() if not test.startswith("none: ")}
    functions = {
        file: {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        for file in {test.split("::")[0] for test in named}
    }
    lost = [t for t in named if t.split("::")[1].split("[")[0] not in functions[t.split("::")[0]]]
    assert lost == []


def test_places_without_a_test_become_fewer() -> None:
    """Lower the number when you name tests: `pytest --write-provocations` does where they exist."""
    without = [key for key, test in _TABLE.items() if test.startswith("none:")]
    assert len(without) <= _WITHOUT_A_TEST


@pytest.mark.parametrize(
    "sentence",
    [
        "x.json is not readable: KeyError('frames')",
        "expected a dict, got NoneType",
        "[Errno 2] No such file",
        f"{sys.prefix}/lib/python3.11/site-packages/torch/hub.py is damaged",
        "wanted <class 'int'>",
        "InputError: no photos",
    ],
)
def test_what_is_not_for_people_is_found(sentence: str) -> None:
    assert faults_of(sentence)


def test_what_is_for_people_is_let_through() -> None:
    assert faults_of("train_nerf.iterations: must be above 0 (got -5); 3 errors in all") == []


def test_no_message_is_made_of_what_only_python_knows() -> None:
    """Neither the form `KeyError('frames')` of an error nor the name of a type."""
    found = []
    for site, call in words_of_messages():
        for part in (node for argument in call.args for node in ast.walk(argument)):
            if isinstance(part, ast.FormattedValue):
                text = ast.unparse(part.value)
                raw = part.conversion == ord("r") and text in ("error", "cause", "e", "err")
                if raw or "type(" in text or "__name__" in text or "__class__" in text:
                    found.append(f"{site.file}:{site.first} {text}")
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                found += [f"{site.file}:{site.first} {fault}" for fault in faults_of(part.value)]
    assert found == []


def test_an_error_is_known_by_the_place_that_makes_it() -> None:
    assert {"InputError", "StageError", "BusyError"} <= error_classes()
    assert "engine/runner.py" in modules()
    from scenestyle.params import check_id

    places = []
    note = ScenestyleError.__init__

    def look(error: ScenestyleError, *given: object) -> None:
        places.append(site_of(sys._getframe(1)))
        note(error, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScenestyleError, "__init__", look)
        with pytest.raises(ScenestyleError):
            check_id("scene", "../x")
        InputError("made by a test")
    assert [place and (place.file, place.key) for place in places] == [
        ("scenestyle/params.py", "scenestyle/params.py check_id:"),
        None,
    ]
