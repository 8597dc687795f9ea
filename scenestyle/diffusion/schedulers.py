"""Schedulers by name: how a model goes from noise to image."""

from typing import Any, get_args

from scenestyle.params import Scheduler

_CLASSES: dict[Scheduler, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-trailing": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "ddim": ("DDIMScheduler", {"clip_sample": False}),  # which is for pixels
    "ddim-trailing": (
        "DDIMScheduler",
        {"clip_sample": False, "timestep_spacing": "trailing"},
    ),
    "lcm": ("LCMScheduler", {}),
}
assert set(_CLASSES) == set(get_args(Scheduler))


def set_scheduler(pipeline: Any, name: Scheduler) -> None:
    """Replace the pipeline's scheduler by another one with the same noise schedule.

    `euler` is of Karras et al. 2022, arXiv:2206.00364; `dpm++` of Lu et al. 2022, arXiv:2211.01095;
    `ddim` of Song et al. 2020, arXiv:2010.02502; `lcm` of Luo et al. 2023, arXiv:2310.04378, for
    models distilled to it. The trailing ones begin at the noisiest step, as models distilled to few
    steps ask for (Lin et al. 2024, arXiv:2305.08891, section 3.3).
    """
    import diffusers

    kind, changes = _CLASSES[name]
    pipeline.scheduler = getattr(diffusers, kind).from_config(pipeline.scheduler.config, **changes)
