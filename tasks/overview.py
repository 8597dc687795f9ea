"""Show all results on one page. Reads the results of all edits, writes the overview.

Not a program of `engine.stage`, which serves one scene and refuses inputs that change meanwhile:
the page belongs to the whole project, and may be made while other flows write their results.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.process import MAY_PASS
from engine.stage import conclusion
from engine.troubles import told
from scenestyle.files import whole_folder
from scenestyle.overview.overview import read_result, render_overview
from scenestyle.params import Params, load_params

PAGE = "index.html"


def run(results: Path, out: Path, params: Params) -> dict[str, object]:
    """Write the page of all scenes in all styles that params.yaml asks for.

    Unlike the other stages it is one for the whole project.

    Args:
        results: Folder with `SCENE/STYLE/` of the stage evaluate; an edit without one is shown as
            missing.
        out: Folder to write `index.html` to, replaced as a whole; the page links to the reports
            from there.
        params: All parameters.

    Returns:
        How many results there are, and how many are missing.

    Raises:
        ArtifactError: If the figures or pictures of a result cannot be read.
    """
    rows = [
        read_result(
            edit.scene,
            edit.style,
            results / edit.scene / edit.style,
            page=out / PAGE,
            prompt=params.styles[edit.style].prompt.replace(
                "{caption}", params.scenes[edit.scene].caption
            ),
        )
        for edit in params.edits.values()
    ]
    with whole_folder(out) as partial:
        (partial / PAGE).write_text(render_overview(rows), encoding="utf-8")
    num_done = sum(row.state == "done" for row in rows)
    return {"results": num_done, "missing": len(rows) - num_done}


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program.

    Returns:
        The exit code: 1 after an error, which is then on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m tasks.overview", description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="folder")
    parser.add_argument("--out", required=True, type=Path, help="folder")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)

    def program() -> None:
        figures = run(options.results, options.out, load_params(Path("params.yaml")))
        logging.getLogger("overview").info("%s", conclusion(options.out, figures))

    return told(program, passing=MAY_PASS)


if __name__ == "__main__":
    raise SystemExit(main())
