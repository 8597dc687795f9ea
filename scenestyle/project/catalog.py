"""Catalogs: a table with one row per capture and the styles that it is wanted in.

| column | what it holds |
|---|---|
| `scene` | id of the scene |
| `source` | folder of photos, posed dataset or video, or its URL; empty: `data/scenes/ID` |
| `caption` | what the capture shows; may be empty for a scene that params.yaml has |
| `styles` | ids of styles, or sentences, with `;` between them |
| `STAGE.PARAMETER` | a parameter of this row, as `train_nerf.iterations`; empty: the stage's |
| `style.OPTION` | a parameter of the style that each of its sentences becomes, as `strength` |

The file is CSV or xlsx, as `scenestyle.project.table` reads it. Names of columns may have any case;
only `scene` and `styles` must be there. What params.yaml has besides the rows and columns of a
catalog stays.
"""

import difflib
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from scenestyle.errors import CatalogError
from scenestyle.params import (
    EDIT_STAGES,
    SCENE_STAGES,
    Style,
    block_of,
    list_faults,
    params_faults,
)
from scenestyle.project.params_file import Changes, edit_entry, merged, scene_entry
from scenestyle.project.remote import Capture, capture_at
from scenestyle.project.table import Table, read_table

_REQUIRED, _OPTIONAL = ("scene", "styles"), ("source", "caption")
_STYLE_OPTIONS = tuple(field.name for field in fields(Style) if field.name != "prompt")
_STAGE_PARAMETERS = {
    stage: {field.name for field in fields(block_of(stage))}
    for stage in (*SCENE_STAGES, *EDIT_STAGES)
}
_COLUMNS = {
    *_REQUIRED,
    *_OPTIONAL,
    *(f"style.{option}" for option in _STYLE_OPTIONS),
    *(f"{stage}.{name}" for stage, names in _STAGE_PARAMETERS.items() for name in names),
}
_WORDS_IN_ID = 4


@dataclass(frozen=True)
class Wanted:
    """A scene in a style, asked for by a row."""

    row: int
    """its number in the catalog, from 1; the headline does not count, empty rows do"""
    scene: str
    """id of the scene"""
    style: str
    """id of the style"""

    @property
    def edit(self) -> str:
        """Key in `edits`."""
        return f"{self.scene}-{self.style}"


@dataclass(frozen=True)
class Catalog:
    """A catalog without faults."""

    sources: Mapping[str, Capture | None]
    """scene -> where its capture comes from; none: it lies in its place"""
    wanted: tuple[Wanted, ...]
    """every edit, in the order of the file"""
    changes: Changes
    """what params.yaml must say"""
    notes: tuple[str, ...] = ()
    """what was assumed about the file; for people"""

    def changes_for(self, scenes: Container[str]) -> Changes:
        """What params.yaml must say about some of the scenes and their edits."""
        edits = {
            key: values
            for key, values in self.changes["edits"].items()
            if values["scene"] in scenes
        }
        styles = {values["style"] for values in edits.values()}
        return {
            "scenes": _among(self.changes["scenes"], scenes),
            "styles": _among(self.changes["styles"], styles),
            "edits": edits,
        }


def read_catalog(path: Path, raw: Mapping[str, Any]) -> Catalog:
    """Read and check a catalog against the valid, parsed params.yaml that it will change.

    Raises:
        CatalogError: If the file cannot be read as a table, or listing every fault of every row.
    """
    table = read_table(path, _COLUMNS)
    faults = [*_column_faults(table.columns)]
    if faults or not table.rows:
        raise CatalogError(list_faults(str(path), faults or ["it has no rows."]))
    rows = [_Row(number, cells, raw, path, table) for number, cells in table.rows]
    conflicts = _conflicts(rows, raw)
    faults = [
        f"row {row.number} ({row.scene}): {fault}"
        for row in rows
        for fault in (*row.faults(), *conflicts[row.number])
    ]
    if faults:
        raise CatalogError(list_faults(str(path), faults))
    changes: dict[str, dict[str, Any]] = {"scenes": {}, "styles": {}, "edits": {}}
    for row in rows:
        for block, entries in row.changes().items():
            for key, values in entries.items():
                changes[block].setdefault(key, {}).update(values)
    return Catalog(
        sources={row.scene: row.source for row in rows},
        wanted=tuple(Wanted(row.number, row.scene, style) for row in rows for style in row.styles),
        changes=changes,
        notes=table.notes,
    )


class _Row:
    """One line of the table, and what it asks of params.yaml."""

    def __init__(
        self,
        number: int,
        cells: Mapping[str, str],
        raw: Mapping[str, Any],
        path: Path,
        table: Table,
    ) -> None:
        self.number, self._cells, self._raw, self._table = number, cells, raw, table
        self.scene = cells["scene"]
        source = cells.get("source")
        self.source = capture_at(source, path.parent) if source else None

    def of_the_scene(self) -> dict[str, str]:
        """The cells on which all rows of a scene must agree."""
        stages = tuple(f"{stage}." for stage in SCENE_STAGES)
        return {
            column: cell
            for column, cell in self._cells.items()
            if column in _OPTIONAL or column.startswith(stages)
        }

    @property
    def styles(self) -> list[str]:
        """Ids of the styles that are asked for."""
        return [*self._entries_of_styles]

    def changes(self) -> Changes:
        caption = self._cells.get("caption")
        return {
            "scenes": {
                self.scene: {
                    **({} if self.scene in self._raw["scenes"] else scene_entry("")),
                    **({"caption": caption} if caption else {}),
                    **self._overrides("scenes", self.scene, SCENE_STAGES),
                }
            },
            "styles": {
                style: values
                for style, values in self._entries_of_styles.items()
                if style not in self._raw["styles"] and values is not None
            },
            "edits": {
                (key := f"{self.scene}-{style}"): {
                    **edit_entry(self.scene, style),
                    **_among(self._raw["edits"].get(key, {}), EDIT_STAGES),
                    **self._overrides("edits", key, EDIT_STAGES),
                }
                for style in self.styles
            },
        }

    def faults(self) -> Iterator[str]:
        """What is wrong with the row by itself."""
        changes = self.changes()
        known = {
            "scenes": _among(self._raw["scenes"], [self.scene]),
            "styles": _among(self._raw["styles"], [*self.styles, *self._similar_styles()]),
            "edits": {},
        }
        yield from _readable(params_faults(merged({**self._raw, **known}, changes)))
        if not self.styles:
            yield "styles: empty; name styles or write sentences, with ';' between them"
        if len(self._styles()) != len(self.styles):
            yield "styles: the same one twice"
        if self._style_options() and not any(map(_is_sentence, self._styles())):
            yield (
                "style.*: options are for sentences, and the row only names styles; "
                "change these in params.yaml"
            )

    def _styles(self) -> list[str]:
        return [part.strip() for part in self._cells["styles"].split(";") if part.strip()]

    def _similar_styles(self) -> list[str]:
        """To be suggested where a name is misspelt."""
        known = [str(style) for style in self._raw["styles"]]
        return [
            close
            for style, values in self._entries_of_styles.items()
            if values is None and style not in self._raw["styles"]
            for close in difflib.get_close_matches(style, known, n=1)
        ]

    def _style_options(self) -> dict[str, Any]:
        cells = {option: self._cells.get(f"style.{option}") for option in _STYLE_OPTIONS}
        return {option: self._value(cell) for option, cell in cells.items() if cell}

    @cached_property
    def _entries_of_styles(self) -> dict[str, dict[str, Any] | None]:
        """Id -> the style of a sentence, or none where the row names one."""
        entries: dict[str, dict[str, Any] | None] = {}
        for style in self._styles():
            if not _is_sentence(style):
                entries[style] = None
            else:
                values = {"prompt": style, **self._style_options()}
                entries[_style_id(values, self._raw["styles"])] = values
        return entries

    def _overrides(self, block: str, key: str, stages: Sequence[str]) -> dict[str, Any]:
        """Per stage that a column speaks of: what the entry then has of its own."""
        before = self._raw[block].get(key, {})
        overrides = {}
        for stage in stages:
            columns = {
                column.split(".", 1)[1]: cell
                for column, cell in self._cells.items()
                if column.startswith(f"{stage}.")
            }
            if columns:
                kept = {k: v for k, v in before.get(stage, {}).items() if k not in columns}
                given = {name: self._value(cell) for name, cell in columns.items() if cell}
                overrides[stage] = {**kept, **given}
        return overrides

    def _value(self, cell: str) -> Any:
        """The value of a cell, which spreadsheets may have printed `0,5`, `3000.0` or `TRUE`."""
        if self._table.decimal_comma and re.fullmatch(r"-?\d+,\d+", cell):
            cell = cell.replace(",", ".")
        if re.fullmatch(r"-?\d+\.0+", cell):
            cell = cell.partition(".")[0]
        try:
            return json.loads(cell.lower() if cell.lower() in ("true", "false") else cell)
        except json.JSONDecodeError:
            return cell


def _column_faults(columns: Sequence[str]) -> Iterator[str]:
    for column in _REQUIRED:
        if column not in columns:
            yield f"there is no column {column!r}; found: {', '.join(columns)}"
    for column in columns:
        if column in (*_REQUIRED, *_OPTIONAL):
            continue
        stage, _, parameter = column.partition(".")
        known = _STYLE_OPTIONS if stage == "style" else _STAGE_PARAMETERS.get(stage, ())
        if not known:
            stages = ", ".join(f"{stage}.PARAMETER" for stage in _STAGE_PARAMETERS)
            allowed = ", ".join((*_REQUIRED, *_OPTIONAL, "style.OPTION"))
            yield f"unknown column {column!r}; known: {allowed}, {stages}"
        elif parameter not in known:
            yield f"unknown column {column!r}; {stage} has: {', '.join(sorted(known))}"


def _conflicts(rows: Sequence[_Row], raw: Mapping[str, Any]) -> Mapping[int, list[str]]:
    """Number of a row -> what it says otherwise than an earlier one, or than params.yaml."""
    faults: dict[int, list[str]] = defaultdict(list)
    earlier: dict[str, list[_Row]] = defaultdict(list)
    spelt = {str(scene).lower(): (str(scene), "params.yaml") for scene in raw["scenes"]}
    for row in rows:
        for other in earlier[row.scene]:
            theirs = other.of_the_scene()
            for column, cell in row.of_the_scene().items():
                if cell != theirs[column]:
                    faults[row.number].append(
                        f"{column} is {cell!r}, but {theirs[column]!r} in row {other.number}"
                    )
            for style in set(row.styles) & set(other.styles):
                faults[row.number].append(
                    f"style {style!r} is asked for in row {other.number} already"
                )
        earlier[row.scene].append(row)
        scene, where = spelt.setdefault(row.scene.lower(), (row.scene, f"row {row.number}"))
        if scene != row.scene:
            faults[row.number].append(
                f"{where} has {scene!r}; some disks take both for the same folder, so use one "
                "spelling or two names"
            )
    return faults


def _readable(faults: Sequence[str]) -> Iterator[str]:
    """Without the place in params.yaml, where the row itself says it."""
    for fault in dict.fromkeys(faults):
        yield re.sub(r"^(scenes|edits|styles)\.[^.: ]*[.:] ?", "", fault)


def _is_sentence(style: str) -> bool:
    return re.search(r"\s", style) is not None


def _style_id(values: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """The style of these values, if there is one, else a name made of its first words."""
    for name, style in known.items():
        if style == values:
            return name
    words = re.findall(r"[a-z0-9]+", str(values["prompt"]).replace("{caption}", "").lower())
    digest = hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=3)
    return "_".join([*words[:_WORDS_IN_ID], digest.hexdigest()])[-64:]


def _among(mapping: Mapping[str, Any], keys: Container[str]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key in keys}
