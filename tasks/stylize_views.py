"""Restyle all views of a scene as one picture. Reads rendered views, writes one PNG per view."""

import logging
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from engine.stage import stage_main
from scenestyle.artifacts import write_json, write_rgb
from scenestyle.diffusion.inputs import evenly_spaced, read_rendered_views
from scenestyle.diffusion.restyle import Restyler
from scenestyle.params import Style, StylizeViews
from scenestyle.viz.contact_sheet import contact_sheet

_VIEWS_ON_SHEET = 8

logger = logging.getLogger("stylize_views")  # not `__main__`


def run(
    views: Path, out: Path, params: StylizeViews, *, caption: str, style: Style, work: Path
) -> dict[str, object]:
    """Write `rgb/NAME.png` per view, `contact_sheet.png` (before over after) and `manifest.json`.

    What the model predicted is kept in `work`, so that a killed run goes on after the last group of
    views that was finished.

    Raises:
        ArtifactError: If the views are incomplete.
        WeightsError: If the model's weights are missing or damaged.
        ParamsError: If strength leaves no step to run, or memory does not hold the smallest group.
    """
    started = time.perf_counter()
    restyler = Restyler.load(read_rendered_views(views), params, [style])
    before, model, plan = restyler.views, restyler.model, restyler.plan
    warnings = restyler.warnings([style])
    settings = restyler.settings(caption, style)
    logger.info(restyler.outlook(settings))
    after = restyler.restyle(settings, work=work)
    redrawn = restyler.edges_redrawn(settings)
    for name, picture in zip(before.names, after, strict=True):
        write_rgb(out / "rgb" / f"{name}.png", picture)

    shown = evenly_spaced(len(after), _VIEWS_ON_SHEET)
    sheet = contact_sheet(
        [[pictures[index] for index in shown] for pictures in (before.rgb, after)],
        row_labels=["rendered", settings.prompt],
        column_labels=[before.names[index] for index in shown],
    )
    write_rgb(out / "contact_sheet.png", sheet)

    figures = {"num_views": len(after), "seconds": round(time.perf_counter() - started, 1)}
    write_json(
        out / "manifest.json",
        {
            **figures,
            "warnings": warnings,
            "redrawn_edges": redrawn,
            "model": params.model,
            "sources": dict(model.sources),
            "licences": dict(model.licences),
            "controls": [asdict(control) for control in model.controls],
            "device": str(model.device),
            "params": asdict(params),
            "settings": {
                **asdict(settings),
                "sharing": plan.sharing,
                "references": [before.names[index] for index in plan.groups[0]]
                if plan.sharing == "references"
                else [],
            },
            "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
        },
    )
    return figures


def main() -> None:
    """Run as a stage program."""
    stage_main(run)


if __name__ == "__main__":
    main()
