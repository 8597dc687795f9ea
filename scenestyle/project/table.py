"""Tables as spreadsheet programs write them: CSV of several kinds, and xlsx."""

import csv
import io
import zipfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenestyle.errors import CatalogError, reason
from scenestyle.params import list_faults

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_WINDOWS = "cp1252"
"""what spreadsheets in western Europe and America write where they do not write UTF-8; contains
Latin-1"""
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Table:
    """Rows of text."""

    columns: tuple[str, ...]
    """names of the columns, small letters"""
    rows: tuple[tuple[int, dict[str, str]], ...]
    """number of each row that is not empty, from 1 below the headline, and its cells by column"""
    decimal_comma: bool
    """whether a number may be written `0,5`"""
    notes: tuple[str, ...]
    """what was assumed about the file; for people"""


def read_table(path: Path, known: Collection[str]) -> Table:
    """Read a CSV file or the first sheet of an xlsx file; empty rows and columns are left out.

    A CSV file may be separated by commas, semicolons or tabs, and be written in UTF-8, UTF-16 with
    its mark, or Windows-1252, which contains Latin-1.

    Args:
        path: The file.
        known: Names of columns, small letters; the separator is what the headline's names stand
            between.

    Raises:
        CatalogError: If it cannot be read, or listing the rows and columns that are off.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CatalogError(f"{path} does not exist. Give the path of a CSV file.") from error
    except OSError as error:
        raise CatalogError(f"{path} cannot be read ({error.strerror}).") from error
    if data.startswith(_OLD_EXCEL) or path.suffix.lower() == ".ods":
        raise CatalogError(f"{path} is an .xls or .ods file. Save it as .xlsx or as CSV UTF-8.")
    if data.startswith(b"PK"):
        lines, notes = _sheet(path, data)
        return _table(path, lines, decimal_comma=True, notes=notes)
    text, notes = _text(path, data)
    separator, text = _separator(text, known)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise CatalogError(
            f"{path} cannot be read as a table separated by {_SEPARATORS[separator]}: "
            f"{reason(error)}. "
            'Often a quotation mark (") is not closed.'
        ) from error
    return _table(path, lines, decimal_comma=separator != ",", notes=notes)


def _text(path: Path, data: bytes) -> tuple[str, list[str]]:
    mark = next((mark for mark in _BYTE_ORDER_MARKS if data.startswith(mark)), b"")
    try:
        return data.decode(_BYTE_ORDER_MARKS.get(mark, "utf-8")), []
    except UnicodeDecodeError as first:
        way_out = "Save it as CSV UTF-8."
        if mark or b"\0" in data:
            raise CatalogError(f"{path} is no text in UTF-8 or UTF-16. {way_out}") from first
        try:
            text = data.decode(_WINDOWS)
        except UnicodeDecodeError:
            raise CatalogError(f"{path} is neither in UTF-8 nor Windows-1252. {way_out}") from first
    odd = next(line for line in text.splitlines() if not line.isascii())
    note = f"{path} is not in UTF-8; read as Windows-1252: {odd!r}. If that is wrong: {way_out}"
    return text, [note]


def _separator(text: str, known: Collection[str]) -> tuple[str, str]:
    """The separator, and the text without the line in which Excel may name it."""
    first, _, rest = text.lstrip("\r\n").partition("\n")
    if first.lower().startswith("sep=") and (named := first[4:].strip("\r") or ",") in _SEPARATORS:
        return named, rest

    def fit(separator: str) -> tuple[int, int]:
        names = [name.strip(' "\r').lower() for name in first.split(separator)]
        return sum(name in known for name in names), len(names)

    return max(_SEPARATORS, key=fit), text


def _sheet(path: Path, data: bytes) -> tuple[list[list[str]], list[str]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        lines = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    except (
        InvalidFileException,
        zipfile.BadZipFile,
        KeyError,
        IndexError,
        ValueError,
        SyntaxError,  # of the XML
    ) as error:
        raise CatalogError(f"{path} is no intact xlsx file. Save it again, or as CSV.") from error
    if (number := len(book.worksheets)) == 1:
        return lines, []
    return lines, [f"{path} has {number} sheets; only the first, {sheet.title!r}, was read"]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(
    path: Path, lines: Iterable[Sequence[str]], *, decimal_comma: bool, notes: Sequence[str]
) -> Table:
    stripped = [[cell.strip() for cell in line] for line in lines]
    filled = [number for number, line in enumerate(stripped) if any(line)]
    if not filled:
        raise CatalogError(f"{path} is empty. Its first line must name the columns.")
    head = [name.lower() for name in stripped[filled[0]]]
    faults = [
        f"column {name!r} is there {head.count(name)} times"
        for name in dict.fromkeys(head)
        if name and head.count(name) > 1
    ]
    rows = []
    for number in filled[1:]:
        line, below = stripped[number], number - filled[0]
        more = [cell for cell in line[len(head) :] if cell]
        nameless = [cell for name, cell in zip(head, line, strict=False) if cell and not name]
        if more or nameless:
            faults.append(
                f"row {below}: {', '.join(map(repr, [*nameless, *more]))} stands in no named "
                "column; put a cell that contains the separator between quotation marks"
            )
        cells = [*line, *[""] * len(head)]
        rows.append((below, {name: cell for name, cell in zip(head, cells, strict=False) if name}))
    if faults:
        raise CatalogError(list_faults(str(path), faults))
    return Table(tuple(filter(None, head)), tuple(rows), decimal_comma, tuple(notes))
