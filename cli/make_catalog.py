"""`scenestyle make-catalog`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cli.console import LAYOUT, given, say
from scenestyle.errors import CatalogError
from scenestyle.files import write_whole
from scenestyle.params import load_params, lookup
from scenestyle.project.captures import catalog_text, find_captures

_SHOWN = 10

Folder = Positional[Annotated[Path, arg(metavar="FOLDER")]]
CatalogFile = Positional[Annotated[Path, arg(metavar="FILE")]]
Styles = Positional[Annotated[tuple[str, ...], arg(metavar="STYLE ...", help_behavior_hint="")]]


def make_catalog(folder: Folder, file: CatalogFile, styles: Styles) -> None:
    """Write a catalog with a row for each capture in a folder.

    Each sub-folder with photos or a posed dataset, and each video, becomes a scene. Its caption is
    its name in words, to be edited with any editor or spreadsheet.

    Example: scenestyle make-catalog ~/captures nights.csv watercolor "made of glass"

    Args:
        folder: Holds the captures; it is only read.
        file: The catalog, a CSV file that is not there yet.
        styles: Ids of styles or sentences, in which every capture is wanted.
    """
    folder, file = given(folder), given(file)
    params = load_params(LAYOUT.params)
    for style in styles:
        if len(style.split()) == 1:
            lookup("style", style, params.styles)
    if not styles:
        raise CatalogError("no style is named. Give ids of styles or sentences after the file.")
    if file.exists():
        raise CatalogError(f"{file} exists already. Choose another name, or remove it first.")
    found = find_captures(folder)
    if not found.taken:
        reasons = "\n".join(
            f"  - {name}: {why}" for name, why in [*found.left_out.items()][:_SHOWN]
        )
        raise CatalogError(
            f"{folder} holds no captures{':' if reasons else '.'}\n{reasons}".strip()
        )
    write_whole(file, catalog_text(found.taken, styles))
    say(f"{file}: {len(found.taken)} scenes, each in {len(styles)} styles.")
    if found.left_out:
        say(f"Left out {len(found.left_out)}:")
        say(*(f"  - {name}: {why}" for name, why in [*found.left_out.items()][:_SHOWN]))
        if (more := len(found.left_out) - _SHOWN) > 0:
            say(f"  and {more} more")
    say("Captions are the captures' names; write there what they show.")
    say(f"Next: python -m flows.stylize_catalog --catalog {file}")
