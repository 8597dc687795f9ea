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
        "new,,,,,\n"
        "Garden,,x,ink,,\n",
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
        "row 5 (Garden): params.yaml has 'garden'; some disks take both for the same folder",
    ):
        assert any(fault.startswith(words) for fault in found), (words, found)
    assert len(found) == 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("scene,styles\n", "no rows"),
        ("scene\ngarden\n", "no column 'styles'"),
        ("scene,styles,colour\ngarden,oil,red\n", "unknown column 'colour'"),
        ("scene,styles,train_nerf.itrations\ngarden,oil,3\n", "train_nerf has: "),
        ("scene,styles,style.prompt\ngarden,oil,3\n", "style has: "),
        ("scene,styles\ngarden,oil,3\n", "row 1: '3' stands in no named column"),
        ('scene,styles\n"garden,oil\n', "cannot be read"),
    ],
)
def test_a_file_of_another_form_is_refused(text: str, words: str, tmp_path: Path) -> None:
    assert words in " ".join(faults(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="does not exist"):
        read_catalog(tmp_path / "nothing.csv", RAW)


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_bytes(b"\xef\xbb\xbf scene ,styles\r\n garden , oil ;ink \r\n\r\n")
    catalog = read_catalog(tmp_path / "c.csv", RAW)
    assert [w.edit for w in catalog.wanted] == ["garden-oil", "garden-ink"]


def test_numbers_and_truths_are_read_as_spreadsheets_print_them(tmp_path: Path) -> None:
    catalog = read(
        tmp_path,
        "Scene;Styles;TRAIN_NERF.Iterations;finetune_nerf.freeze_geometry;style.strength\n"
        'garden;"ink; of glass";3000.0;TRUE;0,5\n',
    )
    assert catalog.changes["scenes"]["garden"]["train_nerf"] == {"iterations": 3000}
    assert catalog.changes["edits"]["garden-ink"]["finetune_nerf"] == {"freeze_geometry": True}
    assert [style["strength"] for style in catalog.changes["styles"].values()] == [0.5]
    parse_params(merged(RAW, catalog.changes))


def test_a_path_may_begin_at_home_or_beside_the_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "moss").mkdir()
    catalog = read(
        tmp_path,
        "scene,source,caption,styles\n"
        "a,~/fern,x,ink\nb,moss,x,ink\nc,elsewhere,x,ink\nd,s3://bucket/fern,x,ink\n"
        "e,file:///my%20photos/fern,x,ink\n",
    )
    assert catalog.sources == {
        "a": tmp_path / "home/fern",
        "b": tmp_path / "moss",
        "c": Path("elsewhere"),
        "d": "s3://bucket/fern",
        "e": Path("/my photos/fern"),
    }


def test_empty_rows_count_and_are_left_out(tmp_path: Path) -> None:
    catalog = read(tmp_path, "scene,styles,,\n,,,\ngarden,oil,,\n,,,\n")
    assert [(w.row, w.edit) for w in catalog.wanted] == [(2, "garden-oil")]
