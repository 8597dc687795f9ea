"""Judge a restyled scene. Reads all earlier results, writes metrics, orbit, stills, report."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.stage import stage_main
from scenestyle.artifacts import write_json
from scenestyle.evaluation.controls import edit_alone, refit_figures, unshared_figures
from scenestyle.evaluation.measure import (
    by_instruction,
    judge,
    model_fit,
    orbit_links,
    source_psnr,
    summary,
)
from scenestyle.evaluation.pictures import (
    build_report,
    flicker_curves,
    write_curves,
    write_orbit,
    write_stills,
)
from scenestyle.evaluation.renders import Inputs, choose_views, kept_splats, render
from scenestyle.params import Evaluate, Style
from scenestyle.report.report import render_report
from scenestyle.report.verdicts import in_short, read_figures

logger = logging.getLogger("evaluate")  # not `__main__`


def run(
    poses: Path,
    nerf: Path,
    views: Path,
    stylized: Path,
    finetuned: Path,
    out: Path,
    params: Evaluate,
    *,
    caption: str,
    style: Style,
    work: Path,
) -> dict[str, object]:
    """Render a novel path before and after the edit, measure both, and show what came of it.

    Rendered frames are kept in `work`, so that a killed run goes on where it was.

    Raises:
        ArtifactError: If an input lacks files, no view is held out, or the source field is empty.
    """
    started = time.perf_counter()
    inputs = Inputs(poses, nerf, views, stylized, finetuned)
    orbit, steps = render(inputs, params, work)
    rendered = time.perf_counter()
    with ThreadPoolExecutor(max_workers=1) as beside:
        # Its encoder has one thread, so that bytes are equal; metrics are to be had meanwhile.
        video = beside.submit(write_orbit, out / "orbit.mp4", orbit, fps=params.fps)
        links = orbit_links(orbit, tau=params.warp_tau)
        texts = (caption, style.prompt.replace("{caption}", caption))
        described = None if by_instruction(stylized) else texts
        measured, not_computed = judge(orbit, links, steps, described, params)
        measured |= source_psnr(nerf, steps) | model_fit(stylized)
        control = edit_alone(inputs, orbit, steps, work) if params.unshared_control else None
        if control is not None:
            alone, _ = judge(control.orbit, links, control.steps, described, params)
            measured |= unshared_figures(control, alone, params.warp_tau)
        if params.refit_iterations:
            measured |= refit_figures(inputs, control, params.refit_iterations, work)
        figures, intervals = summary(measured, params.seed)
        video.result()
    splats = kept_splats(work)
    if splats:
        figures["gaussians"] = len(splats[1].means)
    judged = time.perf_counter()
    flicker = flicker_curves(orbit, links["short"])
    shown = choose_views(steps, params.num_stills)
    write_stills(out / "stills", shown)
    report = build_report(
        inputs,
        params,
        texts=texts,
        orbit=orbit,
        steps=steps,
        shown=shown,
        splats=splats,
        links=links["short"],
        flicker=flicker,
        video_mp4=(out / "orbit.mp4").read_bytes(),
        figures=read_figures(figures, intervals),
        not_computed=not_computed,
    )
    write_curves(out, flicker, finetuned)
    (out / "report.html").write_text(render_report(report), encoding="utf-8")
    written = time.perf_counter()
    logger.info(
        "rendered in %.1f s, measured in %.1f s, report written in %.1f s",
        rendered - started,
        judged - rendered,
        written - judged,
    )
    figures["seconds"] = round(written - started, 1)
    write_json(out / "metrics.json", figures)
    return {**in_short(read_figures(figures)), "seconds": figures["seconds"]}


def main() -> None:
    """Run as a stage program."""
    stage_main(run)


if __name__ == "__main__":
    main()
