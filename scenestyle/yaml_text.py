"""YAML as people write it: numbers as in YAML 1.2, no key twice, and the line of every value."""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, SequenceNode

from scenestyle.errors import ParamsError, reason

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
"""YAML 1.2.2, section 10.3.2; PyYAML follows 1.1, where `1e-2` is a text"""
_SAVE_AS_UTF8 = 'Save it as "UTF-8" (in most editors: Save with Encoding).'


class _Loader(yaml.CSafeLoader):
    """The safe loader in C with the floats of YAML 1.2, as DVC reads them."""


_Loader.yaml_implicit_resolvers = {
    first: [*resolvers] for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first in "-+.0123456789":
    # Behind the integers, which `_FLOAT` takes in as well.
    _Loader.yaml_implicit_resolvers.setdefault(_first, []).append(
        ("tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT.pattern})$"))
    )


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with the line ends that it has.

    Raises:
        ParamsError: If the file does not exist or is saved in another encoding.
    """
    if not path.is_file():
        raise ParamsError(f"{path} does not exist. Run within a project's folder.")
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ParamsError(f"{path} is saved as UTF-16. {_SAVE_AS_UTF8}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ParamsError(
            f"{path}, line {line}: a character is not UTF-8. {_SAVE_AS_UTF8}"
        ) from error


def parse(text: str, source: str) -> Any:
    """The value of a YAML document; plain values only, nothing is executed.

    Raises:
        ParamsError: If it is no YAML, or a key stands twice in one mapping; `source` names the file
            in the message.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            if twice := _keys_that_stand_twice(root):
                raise ParamsError(f"{source}: {'; '.join(twice)}. Keep one of each.")
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ParamsError(f"{source}{where}: not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{source} is not valid YAML: {reason(error)}") from error


def line_of(text: str, path: Sequence[object]) -> int | None:
    """Line of the entry at `path`, from 1, or of the deepest entry on the way that is there.

    Returns:
        The line; none if not even the first key is there.
    """
    node: Node | None = yaml.compose(text, Loader=_Loader)
    line = None
    for key in path:
        entry = _entry(node, str(key))
        if entry is None:
            break
        line, node = entry
    return line


def _entry(node: Node | None, key: str) -> tuple[int, Node] | None:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if name.value == key:
                return name.start_mark.line + 1, value
    if isinstance(node, SequenceNode) and key.isdigit() and int(key) < len(node.value):
        value = node.value[int(key)]
        return value.start_mark.line + 1, value
    return None


def _keys_that_stand_twice(root: Node) -> list[str]:
    """A sentence for each; aliases are visited once, so that they cannot multiply."""
    found, seen, waiting = [], set(), [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            waiting += node.value
        if isinstance(node, MappingNode):
            lines: dict[str, list[int]] = {}
            for name, value in node.value:
                if isinstance(name.value, str) and name.value != "<<":
                    lines.setdefault(name.value, []).append(name.start_mark.line + 1)
                waiting.append(value)
            found += [(each[1], key, each) for key, each in lines.items() if len(each) > 1]
    return [
        f"{key!r} stands twice, in lines {' and '.join(map(str, lines))}"
        for _, key, lines in sorted(found)
    ]
