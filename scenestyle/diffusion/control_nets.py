"""The ControlNets of a pipeline, one or several, and which of them a user chose."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from scenestyle.diffusion.architectures import configuration
from scenestyle.diffusion.seams import replaced
from scenestyle.diffusion.weights import warnings_hidden
from scenestyle.errors import WeightsError, reason
from scenestyle.params import Control, ControlKind

if TYPE_CHECKING:
    from torch import Tensor

CONTROLS_FILE = "controls.json"
"""in a diffusers folder: what its ControlNets see, in their order; without it there is one, for
depth"""
UNION_MODES: Mapping[ControlKind, int] = {"depth": 1, "canny": 3, "lineart": 3, "tile": 6}
"""numbers by which a ControlNet Union knows what it is shown; those of the first one have no 6"""

_CONTROLS_EXAMPLE = '["depth", "tile"]'
_UNION = "ControlNetUnionModel"


@dataclass(frozen=True)
class ChosenControl:
    """A control, and where its network lies."""

    control: Control
    folder: Path
    """diffusers folder of a ControlNet or ControlNet Union; of Z-Image's also its file"""
    variant: str | None = None
    """infix of the weight files' names, such as `fp16`"""

    @property
    def is_union(self) -> bool:
        """Whether the network sees several kinds of images at a time."""
        return self.folder.is_dir() and _sees_several(self.folder)

    @property
    def num_kinds(self) -> int:
        """Kinds of images that a union knows."""
        return _configuration(self.folder).get("num_control_type", 6)


def control_nets(pipeline: Any) -> list[Any]:
    """The ControlNets of a pipeline: those of its `MultiControlNetModel`, its only one, or none."""
    if not hasattr(pipeline, "controlnet"):
        return []
    return list(getattr(pipeline.controlnet, "nets", [pipeline.controlnet]))


def is_union(controlnet: Any) -> bool:
    """Whether a pipeline's ControlNet is one that sees several kinds of images."""
    return type(controlnet).__name__ == _UNION


@contextmanager
def rows_apart(controlnet: Any) -> Iterator[None]:
    """Within the block a ControlNet Union treats every row of a batch as if it were alone.

    The layers that weigh its conditions take a batch for a sequence, so that views would see each
    other, and how would depend on the groups. One row alone attends to itself, and so do the two
    equal halves of guidance, which is all that the model was made for. Nothing happens to others.
    """

    def alone(layer: Any, x: "Tensor") -> "Tensor":
        rows = x.reshape(1, -1, x.shape[-1])
        return layer.attn(rows, rows, rows, need_weights=False)[0].reshape(x.shape)

    with ExitStack() as stand_ins:
        for layer in controlnet.transformer_layes if is_union(controlnet) else ():
            stand_ins.enter_context(replaced(layer, "attention", partial(alone, layer)))
        yield


def held_controls(folder: Path) -> dict[ControlKind, Path]:
    """What the ControlNets in a diffusers folder see, and where they lie, in their order.

    Raises:
        WeightsError: If the folder does not say it, or not of each.
    """
    listed = [folder / "controlnet", *(folder / f"controlnet_{n}" for n in range(1, 16))]
    nets = [each for each in listed if each.is_dir()]
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    if "controlnet" not in index or not nets:
        return {}
    if _sees_several(nets[0]):
        return dict.fromkeys(UNION_MODES, nets[0])
    file = folder / CONTROLS_FILE
    said: Any = ["depth"]
    if file.is_file():
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsError(
                f"{file} is not valid JSON ({reason(error)}); wanted: {_CONTROLS_EXAMPLE}"
            ) from error
    known = get_args(ControlKind)
    is_list = isinstance(said, list) and all(each in known for each in said)
    if not is_list or len(said) != len(nets) or len(set(said)) != len(nets):
        raise WeightsError(
            f"{folder} holds {len(nets)} ControlNet(s), and {said} is said of what they see. "
            f"{CONTROLS_FILE} there has to list it, each of {', '.join(known)} at most once, in "
            f"the order of the ControlNets: {_CONTROLS_EXAMPLE}"
        )
    return dict(zip(said, nets, strict=True))


def _configuration(folder: Path) -> Mapping[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        raise WeightsError(
            f"stylize_views.controls: {folder} is no diffusers folder of a ControlNet: it has no "
            "config.json."
        )
    return json.loads(file.read_text(encoding="utf-8"))


def _sees_several(folder: Path) -> bool:
    configuration = _configuration(folder)
    # The class has another name where it was published first.
    return "Union" in str(configuration.get("_class_name")) or "num_control_type" in configuration


def counting(controls: Sequence[Control]) -> list[Control]:
    """The controls that have an influence; the first where none has, since a pipeline needs one."""
    return [control for control in controls if control.scale] or list(controls[:1])


def load_nets(chosen: Sequence[ChosenControl], options: Mapping[str, Any]) -> Any:
    """One ControlNet, several in one, or a ControlNet Union.

    Args:
        chosen: At least one.
        options: Of `from_pretrained`.

    Raises:
        WeightsError: If networks do not go together, or do not see what they are to be shown.
    """
    import diffusers

    if faults := _faults(chosen):
        raise WeightsError(f"stylize_views.controls: {'; '.join(faults)}.")
    nets = [
        getattr(diffusers, _UNION if each.is_union else "ControlNetModel").from_pretrained(
            each.folder, variant=each.variant, **options
        )
        for each in chosen[: 1 if chosen[0].is_union else None]
    ]
    return nets[0] if len(nets) == 1 else diffusers.MultiControlNetModel(nets)


def load_flow_net(chosen: Sequence[ChosenControl], options: Mapping[str, Any]) -> Any:
    """Z-Image's ControlNet, from a diffusers folder or, configured as published, from one file.

    Args:
        chosen: One; it sees several kinds of images, but one at a time.
        options: Of `from_pretrained`.

    Raises:
        WeightsError: If several are chosen, or a ControlNet of another kind.
    """
    import diffusers

    if len(chosen) > 1:
        raise WeightsError(
            "stylize_views.controls: Z-Image takes one control, and "
            f"{', '.join(each.control.kind for each in chosen)} are asked for. Leave one."
        )
    path, wanted = chosen[0].folder, "ZImageControlNetModel"
    kind = getattr(diffusers, wanted)
    if path.is_file():
        config = configuration("z-image") / "controlnet"
        own = {name: value for name, value in options.items() if name != "use_safetensors"}
        return kind.from_single_file(str(path), config=str(config), **own)
    if (name := _configuration(path).get("_class_name")) != wanted:
        raise WeightsError(
            f"stylize_views.controls: {path} holds a {name}; Z-Image takes a {wanted}. Name "
            "one of these, or set controls: null."
        )
    with warnings_hidden():  # of the transformer's first layers, which a pipeline saves with it
        return kind.from_pretrained(path, **options)


def _faults(chosen: Sequence[ChosenControl]) -> list[str]:
    folders = [each.folder for each in chosen]
    if any(each.is_union for each in chosen):
        if len(set(folders)) > 1:
            named = ", ".join(str(folder) for folder in dict.fromkeys(folders))
            return [
                f"a ControlNet Union takes all controls or none, and there are {named}; give the "
                "union's weights to each, or ordinary ControlNets"
            ]
        return [
            f"{each.folder} knows {each.num_kinds} kinds of images, {each.control.kind} is not "
            "among them; take a larger union (ProMax), or an ordinary ControlNet"
            for each in chosen
            if UNION_MODES[each.control.kind] >= each.num_kinds
        ]
    return [
        f"{folder} is an ordinary ControlNet, which sees one kind of image, and is named "
        f"{folders.count(folder)} times; name it once"
        for folder in dict.fromkeys(folders)
        if folders.count(folder) > 1
    ]
