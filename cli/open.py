"""`scenestyle open`."""

import webbrowser

from cli.console import LAYOUT, SceneId, StyleId, say
from scenestyle.errors import ArtifactError
from scenestyle.params import edit_key, load_params


def open_result(scene: SceneId, style: StyleId) -> None:
    """Open the report of a restyled scene in the browser, and say what else can look at it.

    Example: scenestyle open fern watercolor

    Args:
        scene: Id of a scene in params.yaml.
        style: Id of a style in params.yaml, in which the scene is made already.
    """
    edit = edit_key(load_params(LAYOUT.params), scene, style)
    report = (LAYOUT.result(scene, style) / "report.html").resolve()
    if not report.is_file():
        raise ArtifactError(f"{report}: not made yet. Run: dvc repro evaluate@{edit}")
    say(
        f"report: {report}",
        f"walk through it: cd {LAYOUT.finetuned(scene, style).resolve()} && "
        "ns-viewer --load-config config.yml --viewer.websocket-host 127.0.0.1",
        f"for other programs: scenestyle export {scene} {style} --format ply",
    )
    if not webbrowser.open(report.as_uri()):
        say("There is no browser here; open the report by its path.")
