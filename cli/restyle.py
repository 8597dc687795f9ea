"""`scenestyle restyle`."""

from cli.console import LAYOUT, SceneId, StyleId, say
from scenestyle.params import load_params, lookup
from scenestyle.project.params_file import add_entry, edit_entry


def restyle(scene: SceneId, style: StyleId) -> None:
    """Ask for a scene in a style; `dvc repro` or the flow then makes it.

    Example: scenestyle restyle fern watercolor

    Args:
        scene: Id of a scene in params.yaml.
        style: Id of a style in params.yaml.
    """
    params = load_params(LAYOUT.params)
    lookup("scene", scene, params.scenes)
    lookup("style", style, params.styles)
    edit = f"{scene}-{style}"
    if edit in params.edits:
        say(f"Scene {scene} in style {style} is asked for already. Make it by either of")
    else:
        add_entry(LAYOUT.params, "edits", edit, edit_entry(scene, style))
        say(f"Asked for scene {scene} in style {style}. Make it by either of")
    say(f"  dvc repro evaluate@{edit}")
    say(f"  python -m flows.stylize_scene --scene {scene} --style {style}")
