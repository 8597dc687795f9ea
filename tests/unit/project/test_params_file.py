from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
import yaml

from scenestyle.errors import ParamsError
from scenestyle.project.params_file import add_entry, edit_entry, merged, update, with_value
from tests.support.toy_project import PARAMS

TEXTS = [
    "edits: {}\n",
    "edits: {a: {b: 1}} # remark",
    "edits:\n  a: {b: 1}",
    "edits:\n    a: {b: 1,\n      c: 2}  # remark\n\n\nnext: 1\n",
    "edits:\n    a:\n        b: |\n            x\n            # text\n\n    # remark\nnext: 1\n",
    "edits:\n  a:\n    b: long\n      words\n  # remark\nnext: 1",
    "edits:\n  a:\n    b: |\n      x\nnext: 1\n",
    "edits:\n  a:\n    b: >-\n      x\n\n  c: {b: 3}\nnext: 1\n",
    "edits:\n  a:   # remark\n    b: {c: 1}  # remark\n    c:\n      - 1\n  # remark\n  d: {}\n",
]


def test_an_entry_that_is_there_is_not_added_again(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS)
    with pytest.raises(ParamsError, match=r"styles\.oil is in .*params\.yaml already"):
        add_entry(path, "styles", "oil", {"prompt": "oil painting of {caption}"})
    assert path.read_text() == PARAMS


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("key", ["new", "on", "1e5", "123", "null"])
def test_an_entry_is_added_and_nothing_else_changes(text: str, key: str) -> None:
    values = {
        "scene": key,
        "caption": "on: {x} #ü\t'\"😀",
        "seed": 3,
        "own": {"sizes": [1.5, "on"]},
    }
    after = with_value(text, ("edits", key), values)
    wanted = yaml.safe_load(text)
    wanted["edits"][key] = values
    assert yaml.safe_load(after) == wanted
    changes = SequenceMatcher(None, text, after, autojunk=False).get_opcodes()
    assert {kind for kind, *_ in changes} == {"equal", "insert"}


@pytest.mark.parametrize("text", TEXTS[1:])
@pytest.mark.parametrize("path", [("edits", "a"), ("edits", "a", "b"), ("edits", "a", "z")])
@pytest.mark.parametrize("value", [{"x": {}}, "new: words", None, True, 0.5])
def test_a_value_is_replaced_and_remarks_stay(
    text: str, path: tuple[str, ...], value: object
) -> None:
    after = with_value(text, path, value)
    wanted = yaml.safe_load(text)
    parent: dict[str, Any] = wanted
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    assert yaml.safe_load(after) == wanted
    behind = [line for line in text.splitlines() if line.startswith(("next", "  #", "    #"))]
    assert all(line in after.splitlines() for line in behind)


def test_yaml_1_2_reads_an_entry_as_yaml_1_1_does() -> None:
    """DVC reads params.yaml by YAML 1.2, where `1e5` is a number and `on` is a word."""
    from ruamel.yaml import YAML

    for key in ("on", "1e5", "0o7", "null", "fern-ink"):
        text = with_value("edits: {}", ("edits", key), {"scene": key})
        assert YAML(typ="safe").load(text) == yaml.safe_load(text)


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS)
    return path


def test_an_update_is_what_merging_says_and_touches_no_other_line(params: Path) -> None:
    changes = {
        "scenes": {"garden": {"caption": "a park", "train_nerf": {"iterations": 9}}},
        "edits": {"garden-pen": edit_entry("garden", "pen")},
    }
    before = params.read_text()
    wanted = merged(yaml.safe_load(before), changes)
    assert update(params, changes)
    assert yaml.safe_load(params.read_text()) == wanted
    assert not update(params, changes)
    lines, old = params.read_text().splitlines(), before.splitlines()
    assert [line for line in lines if line not in old] == [
        '  garden: {caption: "a park", estimate_poses: {}, train_nerf: {iterations: 9}, render_views: {}}   # mine',
        "  garden-pen: {scene: garden, style: pen, stylize_views: {}, finetune_nerf: {}, evaluate: "
        "{}}",
    ]


def test_a_faulty_update_changes_nothing(params: Path) -> None:
    before = params.read_bytes()
    with pytest.raises(ParamsError, match=r"scenes\.garden\.train_nerf\.iterations"):
        update(params, {"scenes": {"garden": {"train_nerf": {"iterations": -1}}}})
    assert params.read_bytes() == before


def test_writers_at_once_lose_nothing(params: Path) -> None:
    """Without the lock each would write back what it read, and the last would win."""
    names = [f"style{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_entry(params, "styles", name, {"prompt": name}), names))
    assert set(yaml.safe_load(params.read_text())["styles"]) == {"ink", "oil", "pen", *names}
