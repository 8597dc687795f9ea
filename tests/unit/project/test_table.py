import io
from pathlib import Path

import pytest
from openpyxl import Workbook

from scenestyle.errors import CatalogError
from scenestyle.project.table import Table, read_table

LINES = [
    ["Scene", "caption", "styles"],
    ["café", "a café, small", "ink; oil"],
    [],
    ["b", "", "pen"],
]
ROWS = (
    (1, {"scene": "café", "caption": "a café, small", "styles": "ink; oil"}),
    (3, {"scene": "b", "caption": "", "styles": "pen"}),
)


def table(tmp_path: Path, data: bytes, name: str = "t.csv") -> Table:
    (tmp_path / name).write_bytes(data)
    return read_table(tmp_path / name, {"scene", "styles", "caption"})


def text(separator: str, end: str) -> str:
    return "".join(separator.join(f'"{cell}"' for cell in line) + end for line in LINES)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_every_kind_of_csv_says_the_same(
    separator: str, end: str, encoding: str, tmp_path: Path
) -> None:
    found = table(tmp_path, text(separator, end).encode(encoding))
    assert found.columns == ("scene", "caption", "styles")
    assert found.rows == ROWS
    assert found.decimal_comma == (separator != ",")
    assert ["Windows-1252" in note and "café" in note for note in found.notes] == (
        [True] if encoding == "latin-1" else []
    )


def test_a_separator_that_excel_names_is_taken(tmp_path: Path) -> None:
    assert table(tmp_path, b"sep=;\r\nscene;styles\r\na;x,y\r\n").rows == (
        (1, {"scene": "a", "styles": "x,y"}),
    )


def test_a_workbook_says_the_same_as_csv(tmp_path: Path) -> None:
    book = Workbook()
    assert book.active is not None
    for line in LINES:
        book.active.append(line)
    book.create_sheet("more")
    file = io.BytesIO()
    book.save(file)
    found = table(tmp_path, file.getvalue(), "t.xlsx")
    assert found.rows == ROWS
    assert "2 sheets" in found.notes[0]


def test_numbers_and_truths_of_a_workbook_are_texts(tmp_path: Path) -> None:
    book = Workbook()
    assert book.active is not None
    for line in (["scene", "a", "b", "c"], ["x", 3000.0, 0.25, True]):
        book.active.append(line)
    file = io.BytesIO()
    book.save(file)
    ((_, row),) = table(tmp_path, file.getvalue()).rows
    assert row == {"scene": "x", "a": "3000", "b": "0.25", "c": "true"}


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read"):
        read_table(tmp_path, {"scene"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\r\n,,\r\n", "is empty"),
        (b"PK\x03\x04 no workbook", "no intact xlsx file"),
        (b"\xd0\xcf\x11\xe0", "Save it as .xlsx or as CSV UTF-8"),
        (b"scene\n\x81\n", "neither in UTF-8 nor Windows-1252"),
        (b"s\0c\0\xf6\0", "no text in UTF-8 or UTF-16"),
        (b'scene,styles\n"a,b\n', "is not closed"),
        (b"scene,styles\na,b,c\n", "row 1: 'c' stands in no named column"),
        (b"scene,,styles\n\na,b,c\n", "row 2: 'b' stands in no named column"),
        (b"scene,Scene\na,b\n", "column 'scene' is there 2 times"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as error:
        table(tmp_path, data)
    assert words in str(error.value)
