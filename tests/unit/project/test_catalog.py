from pathlib import Path
from typing import Any

import pytest
import yaml

from scenestyle.errors import CatalogError
from scenestyle.params import parse_params
from scenestyle.project.catalog import Catalog, read_catalog
from scenestyle.project.params_file import merged
from tests.support.toy_project import PARAMS

RAW = yaml.safe_load(PARAMS)


def read(tmp_path: Path, text: str, raw: dict[str, Any] = RAW) -> Catalog:
    path = tmp_path / "catalog.csv"
    path.write_text(text, encoding="utf-8")
    return read_catalog(path, raw)


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(CatalogError) as error:
        read(tmp_path, text)
    headline, *lines = str(error.value).splitlines()
    assert headline.startswith(f"{tmp_path / 'catalog.csv'}")
    return [line.removeprefix("  - ") for line in lines] or [headline]


def test_rows_become_entries(tmp_path: Path) -> None:
    catalog = read(
        tmp_path,
        "scene,source,caption,styles,train_nerf.iterations,stylize_views.seed,style.strength\n"
        'fern,photos/fern,"a fern, small",ink; a fern of glass,50,,0.4\n'
        "garden,,,pen,,7,\n",
    )
    glass = catalog.wanted[1].style
    assert [(w.row, w.edit) for w in catalog.wanted] == [
        (1, "fern-ink"),
        (1, f"fern-{glass}"),
        (2, "garden-pen"),
    ]
    assert glass.startswith("a_fern_of_glass_")
    assert catalog.sources == {"fern": Path("photos/fern"), "garden": None}
    params = parse_params(merged(RAW, catalog.changes))
    assert params.scenes["fern"].caption == "a fern, small"
    assert params.scenes["fern"].train_nerf == {"iterations": 50}
    assert params.scenes["garden"] == parse_params(RAW).scenes["garden"]
    assert params.styles[glass].prompt == "a fern of glass"
    assert params.styles[glass].strength == 0.4
    assert params.edits["garden-pen"].stylize_views == {"seed": 7}


def test_a_catalog_that_is_taken_over_has_nothing_to_change(tmp_path: Path) -> None:
    text = "scene,caption,styles,train_nerf.seed\ngarden,a park,pen; pen of {caption},4\n"
    raw = merged(RAW, read(tmp_path, text).changes)
    again = read(tmp_path, text, raw)
    assert merged(raw, again.changes) == raw
    assert again.changes["styles"] == {}


def test_an_empty_cell_takes_back_and_what_has_no_column_stays(tmp_path: Path) -> None:
    raw = merged(RAW, {"scenes": {"garden": {"train_nerf": {"iterations": 5, "seed": 4}}}})
    changed = merged(
        raw, read(tmp_path, "scene,styles,train_nerf.seed\ngarden,oil,\n", raw).changes
    )
    assert changed["scenes"]["garden"]["train_nerf"] == {"iterations": 5}
    assert changed["scenes"]["garden"]["caption"] == "a garden"


def test_a_sentence_that_params_have_keeps_its_name(tmp_path: Path) -> None:
    catalog = read(tmp_path, "scene,styles\ngarden,ink drawing of {caption}\n")
    assert [w.style for w in catalog.wanted] == ["ink"]


def test_other_sentences_and_options_are_other_styles(tmp_path: Path) -> None:
    ids = {
        read(tmp_path, f"scene,styles,style.seed\ngarden,{sentence},{seed}\n").wanted[0].style
        for sentence in ("made of glass and so on and on", "made of glass and so on and off")
        for seed in ("", "1")
    }
    assert len(ids) == 4


def test_rows_of_scenes_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    catalog = read(tmp_path, "scene,caption,styles\nfern,a fern,of glass\nmoss,moss,ink\n")
    changes = catalog.changes_for({"moss"})
    assert [list(changes[block]) for block in ("scenes", "styles", "edits")] == [
        ["moss"],
        [],
        ["moss-ink"],
    ]


def test_every_fault_of_every_row_is_reported_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "scene,source,caption,styles,train_nerf.iterations,style.strength\n"
        "gar-den,,x,oyl; of {captin} glass,-5,7\n"
        "fern,a,a fern,ink,,0.5\n"
        "fern,b,a fern,ink; ink,,\n"
        "new,,,,,\n",
    )
    for words in (
        "row 1 (gar-den): scene name 'gar-den' is not allowed",
        "row 1 (gar-den): unknown style 'oyl'; ",
        "row 1 (gar-den): prompt: only {caption} may stand in braces",
        "row 1 (gar-den): strength: ",
        "row 1 (gar-den): train_nerf.iterations: must be above 0 (got -5)",
        "row 2 (fern): style.*: options are for sentences",
        "row 3 (fern): source is 'b', but 'a' in row 2",
        "row 3 (fern): style 'ink' is asked for in row 2 already",
        "row 3 (fern): styles: the same one twice",
        "row 4 (new): styles: empty",
        "row 4 (new): caption: ",
    ):
        assert any(fault.startswith(words) for fault in found), (words, found)
    assert len(found) == 11


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("scene,styles\n", "no rows"),
        ("scene\ngarden\n", "no column 'styles'"),
        ("scene,styles,colour\ngarden,oil,red\n", "unknown column 'colour'"),
        ("scene,styles,train_nerf.itrations\ngarden,oil,3\n", "train_nerf has: "),
        ("scene,styles,style.prompt\ngarden,oil,3\n", "style has: "),
        ("scene,styles\ngarden,oil,3\n", "cannot be read"),
        ('scene,styles\n"garden,oil\n', "cannot be read"),
    ],
)
def test_a_file_of_another_form_is_refused(text: str, words: str, tmp_path: Path) -> None:
    assert words in " ".join(faults(tmp_path, text))


def test_a_missing_file_and_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="does not exist"):
        read_catalog(tmp_path / "nothing.csv", RAW)
    (tmp_path / "latin.csv").write_bytes("scene,styles\ngarden,ö l\n".encode("latin-1"))
    with pytest.raises(CatalogError, match="UTF-8"):
        read_catalog(tmp_path / "latin.csv", RAW)


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbf scene ,styles\r\n garden , oil ;ink \r\n\r\n")
    catalog = read_catalog(tmp_path / "c.csv", RAW)
    assert [w.edit for w in catalog.wanted] == ["garden-oil", "garden-ink"]
