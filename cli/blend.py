"""`scenestyle blend`."""

import re

from cli.console import LAYOUT, OptionalText, SceneId, Shares, say
from scenestyle.errors import ArtifactError, ParamsError
from scenestyle.files import whole_folder
from scenestyle.params import check_id, edit_key, load_params, stage_params

_SHARE = re.compile(r"([^=]+)=([0-9]*\.?[0-9]+)")


def blend(
    scene: SceneId,
    shares: Shares,
    *,
    name: OptionalText = None,
) -> None:
    """Move a scene between several of its styles: one field that is near to all of them, by weight.

    It is finetuned from the stylized views that are made already; nothing is restyled again.
    Weights need not sum to 1. An interrupted run resumes when the same command is given again.

    Example: scenestyle blend fern watercolor=0.75 winter=0.25

    Args:
        scene: Id of a scene in params.yaml.
        shares: Ids of styles in which the scene is asked for, each with its weight.
        name: Name of the folder in outputs/blends/SCENE; default: made of styles and weights.
    """
    params = load_params(LAYOUT.params)
    weights = parsed_shares(shares)
    edits = [edit_key(params, scene, style) for style in weights]
    folder = name or "_".join(
        f"{style}_{weight:g}".replace(".", "p") for style, weight in weights.items()
    )
    check_id("blend", folder)
    needed = {
        LAYOUT.nerf(scene): f"train_nerf@{scene}",
        LAYOUT.views(scene): f"render_views@{scene}",
    }
    stylized = {LAYOUT.stylized(scene, style): weight for style, weight in weights.items()}
    needed |= dict(zip(stylized, (f"stylize_views@{edit}" for edit in edits), strict=True))
    if missing := [target for path, target in needed.items() if not path.is_dir()]:
        raise ArtifactError(
            f"{len(missing)} inputs are not made yet. Run: dvc repro {' '.join(missing)}"
        )
    out = LAYOUT.blend(scene, folder)
    if out.exists():
        raise ParamsError(f"{out} is there already. Choose another --name, or delete it.")
    work = out.with_name(f".{folder}.work")

    import shutil

    from scenestyle.finetune.finetune import finetune

    work.mkdir(parents=True, exist_ok=True)
    # The parameters of the edit that weighs most stand for all.
    main_style = max(weights, key=lambda style: weights[style])
    finetune_params = stage_params(params, "finetune_nerf", scene, main_style)
    with whole_folder(out) as partial:
        finetune(
            LAYOUT.nerf(scene), LAYOUT.views(scene), stylized, partial, finetune_params, work=work
        )
    shutil.rmtree(work)
    say(
        f"blend: {out.resolve()}",
        f"how a held-out view came about: {out / 'progress.png'}",
        f"walk through it: cd {out} && "
        "ns-viewer --load-config config.yml --viewer.websocket-host 127.0.0.1",
    )


def parsed_shares(shares: tuple[str, ...]) -> dict[str, float]:
    """Styles with their weights, from words like `winter=0.25`.

    Raises:
        ParamsError: If a word has another form, a style comes twice or none is given.
    """
    found: dict[str, float] = {}
    faults = []
    for share in shares:
        parts = _SHARE.fullmatch(share)
        if parts is None:
            faults.append(f"{share!r} is not of the form STYLE=WEIGHT, with a weight above 0")
        elif parts[1] in found:
            faults.append(f"style {parts[1]!r} is given twice")
        else:
            found[parts[1]] = float(parts[2])
    if not shares:
        faults.append("no style is given")
    if faults:
        raise ParamsError(f"{'; '.join(faults)}. Example: scenestyle blend fern oil=0.5 winter=0.5")
    return found
