"""Change values in params.yaml and leave every other byte as it is."""

import copy
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from yaml import CollectionNode, MappingNode, Node, ScalarNode

from scenestyle import yaml_text
from scenestyle.errors import ParamsError
from scenestyle.files import locked, write_whole
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, parse_params, read_params

Values = Mapping[str, Any]
Changes = Mapping[str, Mapping[str, Values]]
"""block -> id -> values of the entry"""


def add_entry(path: Path, block: str, key: str, values: Values) -> None:
    """Add an entry at the end of a block; the file changes as a whole or not at all.

    Raises:
        ParamsError: If the key is there already, or the new file would have faults.
    """
    with _one_writer(path):
        if key in read_raw(path)[block]:
            raise ParamsError(
                f"{block}.{key} is in {path} already; change it there, or choose another name."
            )
        _update(path, {block: {key: values}})


def update(path: Path, changes: Changes) -> bool:
    """Add or change entries; the file changes as a whole or not at all.

    Returns:
        Whether there was anything to change.

    Raises:
        ParamsError: If the new file would have faults.
    """
    with _one_writer(path):
        return _update(path, changes)


def read_raw(path: Path) -> dict[str, Any]:
    """Parsed YAML of a params.yaml, checked.

    Raises:
        ParamsError: Listing every fault of the file.
    """
    return read_params(path)[1]


def scene_entry(caption: str) -> dict[str, Any]:
    """A new scene, with no parameters of its own."""
    return {"caption": caption, **{stage: {} for stage in SCENE_STAGES}}


def edit_entry(scene: str, style: str) -> dict[str, Any]:
    """A new edit, with no parameters of its own."""
    return {"scene": scene, "style": style, **{stage: {} for stage in EDIT_STAGES}}


def merged(raw: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """Parsed YAML with entries added and values of entries replaced; `raw` stays as it is."""
    result = copy.deepcopy(dict(raw))
    for block, entries in changes.items():
        for key, values in entries.items():
            result[block].setdefault(key, {}).update(values)
    return result


def with_value(text: str, path: Sequence[str], value: object) -> str:
    """`text` of a valid params.yaml with `value` at `path`, whose parents must exist.

    A new key goes to the end of its mapping. An old value is replaced where it stands, remarks
    behind it stay.
    """
    *parents, key = path
    return _Text(text).with_values([(parents, {key: value})])


def _one_writer(path: Path) -> AbstractContextManager[None]:
    """Lock against other commands; on the file's folder, since the file itself is replaced."""
    return locked(path.resolve().parent)


def _update(path: Path, changes: Changes) -> bool:
    path = path.resolve()  # a link stays one
    old = yaml_text.read_text(path)
    raw = yaml_text.parse(old, str(path))
    line_end = "\r\n" if "\r\n" in old else "\n"
    edits: list[tuple[Sequence[str], Values]] = []
    for block, entries in changes.items():
        for key, values in entries.items():
            changed = {
                name: value
                for name, value in values.items()
                if key in raw[block]
                and (name not in raw[block][key] or raw[block][key][name] != value)
            }
            if changed:
                edits.append(((block, key), changed))
        edits.append(((block,), {key: v for key, v in entries.items() if key not in raw[block]}))
    new = _Text(old.replace("\r\n", "\n")).with_values(edits)
    parse_params(yaml_text.parse(new, str(path)), source=f"{path} would have", text=new)
    new = new.replace("\n", line_end)
    if new == old:
        return False
    write_whole(path, new)
    return True


class _Text:
    """A text of YAML, parsed once for any number of changes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._root = yaml.compose(text, Loader=yaml.CSafeLoader)  # libyaml: in C
        self._lines = text.splitlines(keepends=True)
        self._starts = [0, *itertools.accumulate(map(len, self._lines))]

    def with_values(self, edits: Iterable[tuple[Sequence[str], Values]]) -> str:
        """The text with values put into mappings, everything else as it is.

        Args:
            edits: Path of a mapping, and its new and changed values; inner mappings before those
                that contain them.
        """
        members: dict[tuple[str, ...], dict[str, tuple[ScalarNode, Node]]] = {}

        def members_of(path: tuple[str, ...]) -> dict[str, tuple[ScalarNode, Node]]:
            if path not in members:
                mapping = members_of(path[:-1])[path[-1]][1] if path else self._root
                members[path] = {name.value: (name, value) for name, value in mapping.value}
            return members[path]

        spans: list[tuple[int, int, str]] = []
        for path, values in edits:
            known = members_of(tuple(path))
            spans += [
                self._replaced(*known[key], value) for key, value in values.items() if key in known
            ]
            if new := {key: value for key, value in values.items() if key not in known}:
                mapping = members_of(tuple(path[:-1]))[path[-1]][1] if path else self._root
                spans.append(self._inserted(mapping, new))
        parts, end = [], 0
        for start, stop, text in sorted(spans, key=lambda span: span[0]):  # equal ones: as given
            parts += [self._text[end:start], text]
            end = stop
        return "".join([*parts, self._text[end:]])

    def _replaced(self, name: Node, old: Node, value: object) -> tuple[int, int, str]:
        start = self._text.index(":", name.end_mark.index) + 1
        end = old.end_mark.index
        if _ends_with_a_line(old):
            last = self._line_after(old, name.start_mark.column) - 1
            end = self._starts[last] + len(self._lines[last].rstrip("\n"))
        return start, end, f" {_flow(value)}"

    def _inserted(self, mapping: Node, values: Values) -> tuple[int, int, str]:
        entries = [f"{_scalar(key)}: {_flow(value)}" for key, value in values.items()]
        if isinstance(mapping, CollectionNode) and mapping.flow_style:
            end = mapping.end_mark.index - 1
            return end, end, f"{', ' if mapping.value else ''}{', '.join(entries)}"
        column = mapping.value[0][0].start_mark.column
        position = self._line_after(mapping, column)
        end = self._starts[position]
        begin = "" if self._lines[position - 1].endswith("\n") else "\n"
        return end, end, begin + "".join(f"{' ' * column}{entry}\n" for entry in entries)

    def _line_after(self, node: Node, column: int) -> int:
        """Index of the line after a block's last entry; comments behind it belong to the next."""
        while isinstance(node, CollectionNode) and not node.flow_style:
            node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
        end = node.end_mark  # of a block scalar: the start of the next line
        position = min(end.line + (end.column > 0), len(self._lines))
        while re.match(rf"\s*$| {{0,{column}}}#", self._lines[position - 1]):
            position -= 1
        return position


def _ends_with_a_line(node: Node) -> bool:
    """Whether the parser ends this node at what follows it: block collections and scalars."""
    if isinstance(node, CollectionNode):
        return not node.flow_style
    return isinstance(node, ScalarNode) and node.style in ("|", ">")


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        members = (f"{_scalar(name)}: {_flow(member)}" for name, member in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(member) for member in value)}]"
    return _scalar(value)


def _scalar(value: object) -> str:
    """Written so that YAML 1.1 (PyYAML) and 1.2 (DVC) agree: plain only if a word in both."""
    is_word = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w-]*", value, re.ASCII)
    if is_word and yaml.safe_load(str(value)) == value:
        return str(value)
    return json.dumps(value, ensure_ascii=False)
