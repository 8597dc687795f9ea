"""Which code each stage depends on: read from the imports, written to dvc.yaml.

    python -m engine.code_deps            # show the stages whose rows in dvc.yaml differ
    python -m engine.code_deps --write    # and correct them

A stage depends on its program and on every module of the library that it imports, directly or not,
now or inside a function. Where that is all of a folder, the folder stands for its files, and brings
the data files in it; other data files (templates, weights) are written by hand and left alone.
`CONTRACTS` decide no bytes and are not listed.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scenestyle.errors import InputError
from scenestyle.project.layout import Layout

if TYPE_CHECKING:
    from grimp import ImportGraph

CONTRACTS = frozenset({"errors", "params", "shapes", "device", "files", "yaml_text", "progress"})
"""Modules of the library that every stage imports and that compute nothing; listed, a new parameter
of one stage would rerun all others."""

_CODE = ("tasks/", "scenestyle/")


def import_graph() -> "ImportGraph":
    """Who imports whom among the stages and in the library.

    Raises:
        InputError: If grimp, which comes with the developers' tools, is not installed.
    """
    try:
        import grimp
    except ImportError as error:
        raise InputError("grimp is not installed. Run: make setup") from error
    return grimp.build_graph(
        "tasks", "scenestyle", exclude_type_checking_imports=True, cache_dir=None
    )


def imported_files(graph: "ImportGraph", stage: str, root: Path) -> set[str]:
    """The Python files whose change can change the results of a stage, relative to the root.

    Args:
        graph: As `import_graph` returns it.
        stage: Such as `train_nerf`.
        root: The project's root folder.
    """
    modules = graph.find_upstream_modules(f"tasks.{stage}")
    library = {
        module
        for module in modules
        if module.startswith("scenestyle.") and module.split(".")[1] not in CONTRACTS
    }
    return {_file_of(module, root) for module in {f"tasks.{stage}", *library}}


def rows(files: Iterable[str], root: Path) -> list[str]:
    """The shortest list of files and whole folders that holds `files` and no other Python file.

    Files that only mark a folder as a package, `__init__.py`, go with any other file of it.
    """
    wanted = set(files)
    folders: dict[str, None] = {}
    for file in sorted(wanted):
        for parent in reversed(Path(file).parents[:-2]):
            if _is_whole(root / parent, wanted, root):
                folders.setdefault(str(parent))
                break
    single = {
        file
        for file in wanted
        if not any(Path(file).is_relative_to(folder) for folder in folders)
        and not file.endswith("__init__.py")
    }
    programs = sorted(file for file in single if file.startswith("tasks/"))
    return [*programs, *sorted({*folders, *single} - {*programs})]


def code_rows(text: str) -> dict[str, list[str]]:
    """Rows of dvc.yaml that name code and data files of the library, by stage."""
    found: dict[str, list[str]] = {}
    for stage, _, row in _deps(text.splitlines()):
        if row.startswith(_CODE):
            found.setdefault(stage, []).append(row)
    return found


def corrected(text: str, wanted: Mapping[str, Sequence[str]]) -> str:
    """dvc.yaml with other code rows; its other lines, comments among them, stay as they are.

    Args:
        text: Content of dvc.yaml.
        wanted: Stage -> its code rows.
    """
    lines = text.splitlines()
    deps = list(_deps(lines))
    first: dict[str, int] = {}
    for stage, number, row in deps:
        if row.startswith(_CODE):
            first.setdefault(stage, number)
    dropped = {number for _, number, row in deps if row.startswith(_CODE)}
    written: list[str] = []
    starts = {number: stage for stage, number in first.items()}
    for number, line in enumerate(lines):
        if number in starts:
            indent = line[: line.index("-")]
            written += [f"{indent}- {row}" for row in wanted[starts[number]]]
        if number not in dropped:
            written.append(line)
    return "\n".join(written) + "\n"


def wanted_rows(root: Path, text: str) -> dict[str, list[str]]:
    """Code rows that a stage's imports ask for, by stage; data files listed by hand stay."""
    graph = import_graph()
    wanted = {}
    for stage, present in code_rows(text).items():
        code = rows(imported_files(graph, stage, root), root)
        data = [
            row
            for row in present
            if (root / row).is_file()
            and not row.endswith(".py")
            and not any(Path(row).is_relative_to(folder) for folder in code)
        ]
        wanted[stage] = [*code, *sorted(data)]
    return wanted


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program.

    Returns:
        The exit code: 1 if rows differ and were not corrected.
    """
    parser = argparse.ArgumentParser(
        prog="python -m engine.code_deps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--write", action="store_true", help="correct dvc.yaml")
    options = parser.parse_args(argv)
    layout = Layout()
    text = layout.graph.read_text(encoding="utf-8")
    present, wanted = code_rows(text), wanted_rows(layout.root, text)
    for stage, listed in present.items():
        for row in [row for row in listed if row not in wanted[stage]]:
            sys.stdout.write(f"{stage}: - {row}\n")
        for row in [row for row in wanted[stage] if row not in listed]:
            sys.stdout.write(f"{stage}: + {row}\n")
    if options.write:
        layout.graph.write_text(corrected(text, wanted), encoding="utf-8")
        return 0
    return int(corrected(text, wanted) != text)


def _deps(lines: Sequence[str]) -> Iterable[tuple[str, int, str]]:
    """Stage, line number and path of every dependency that is written in dvc.yaml."""
    stage, in_deps = "", False
    for number, line in enumerate(lines):
        words = line.strip()
        if line.startswith("  ") and line[2:3].strip() and words.endswith(":"):
            stage = words[:-1]
        if words.endswith(":"):
            in_deps = words == "deps:"
        elif in_deps and words.startswith("- "):
            yield stage, number, words[2:]


def _is_whole(folder: Path, wanted: set[str], root: Path) -> bool:
    files = {str(path.relative_to(root)) for path in folder.rglob("*.py")}
    code = {file for file in files if not file.endswith("__init__.py")}
    return bool(code) and code <= wanted


def _file_of(module: str, root: Path) -> str:
    path = Path(*module.split("."))
    return str(path / "__init__.py") if (root / path).is_dir() else f"{path}.py"


if __name__ == "__main__":
    raise SystemExit(main())
