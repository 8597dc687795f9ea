"""Add an entry to a block of params.yaml and leave every other byte as it is."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from yaml import CollectionNode, MappingNode, Node

from scenestyle.errors import ParamsError
from scenestyle.params import parse_params

Block = Literal["scenes", "styles", "edits"]
Scalar = str | int | float


def add_entry(path: Path, block: Block, key: str, values: Mapping[str, Scalar]) -> None:
    """Add `key: {values}` at the end of a block; the file changes as a whole or not at all.

    Raises:
        ParamsError: If the key is there already, or the new file would have faults.
    """
    old = path.read_text(encoding="utf-8")
    if key in yaml.safe_load(old)[block]:
        raise ParamsError(
            f"{block}.{key} is in {path} already; change it there, or choose another name."
        )
    new = with_entry(old, block, key, values)
    parse_params(yaml.safe_load(new), source=f"{path} would have")
    temporary = path.with_name(f"{path.name}.partial")
    temporary.write_text(new, encoding="utf-8")
    temporary.replace(path)


def with_entry(text: str, block: Block, key: str, values: Mapping[str, Scalar]) -> str:
    """`text` of a valid params.yaml with one more entry at the end of a block."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    node = next(value for name, value in root.value if name.value == block)
    fields = ", ".join(f"{name}: {_scalar(value)}" for name, value in values.items())
    entry = f"{_scalar(key)}: {{{fields}}}"
    if node.flow_style:
        end = node.end_mark.index - 1
        return f"{text[:end]}{', ' if node.value else ''}{entry}{text[end:]}"
    column = node.value[0][0].start_mark.column
    lines = text.splitlines(keepends=True)
    position = _line_after(node, lines, column)
    lines[position - 1] = lines[position - 1].rstrip("\n") + "\n"
    return "".join([*lines[:position], f"{' ' * column}{entry}\n", *lines[position:]])


def _line_after(node: Node, lines: list[str], column: int) -> int:
    """Index of the line after a block's last entry; blank lines and remarks behind it belong to what follows."""
    while isinstance(node, CollectionNode) and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, MappingNode) else node.value[-1]
    position = min(node.end_mark.line + 1, len(lines))
    while re.match(rf"\s*$| {{0,{column}}}#", lines[position - 1]):
        position -= 1
    return position


def _scalar(value: Scalar) -> str:
    """Written so that YAML 1.1 (PyYAML) and 1.2 (DVC) read the same: plain only where both see a word."""
    is_word = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w-]*", value, re.ASCII)
    if is_word and yaml.safe_load(str(value)) == value:
        return str(value)
    return json.dumps(value, ensure_ascii=False)
