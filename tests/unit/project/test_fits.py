"""What a user with a GPU of 8, 12, 24 or 80 GB is told fits; half a gigabyte is the driver's."""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.plan import plan_views, weights_gb
from scenestyle.diffusion.presets import INSTRUCT_PIX2PIX, SDXL, Z_IMAGE_TURBO
from scenestyle.params import StylizeViews
from scenestyle.project.fits import advice, fitting, without_weights

EDITS = ("instruct-pix2pix", 512, "none")


@pytest.mark.parametrize(
    ("card", "wanted"),
    [
        (2, []),
        (3, []),
        (4, [EDITS]),
        (8, [("sd15", 512, "none"), EDITS]),
        (12, [("sdxl", 768, "model"), ("sd15", 512, "none"), EDITS]),
        (
            24,
            [
                ("sdxl", 1024, "none"),
                ("z-image-turbo", 768, "model"),
                ("sd15", 512, "none"),
                EDITS,
            ],
        ),
    ],
)
def test_cards(card: float, wanted: list[tuple[str, int, str]]) -> None:
    found = [(fit.models[0], fit.image_side, fit.plan.offload) for fit in fitting(card - 0.5)]
    assert found == wanted


def test_it_reads_as_a_sentence() -> None:
    said = advice(11.5)
    assert "11.5 GB are free on the GPU: sdxl and sdxl-lightning at 768 pixels (" in said
    assert "views per call, weights swapped); sd15 at 512 pixels (" in said
    assert advice(1.0).endswith("embedded alone fits")


def test_decoding_one_view_takes_more_than_denoising_it_and_is_planned_for() -> None:
    """The decoder's last block: three maps of 256 channels at full resolution."""
    model = without_weights("sdxl", SDXL)
    camera = PinholeCamera(np.eye(4), 1024.0, 1024.0, 512.0, 512.0, 1024, 1024)
    params = StylizeViews(sharing="none")

    plan = plan_views(model, [camera], [(1024, 1024)], params, free=20.0)

    assert plan.peak_gb == pytest.approx(3 * 256 * 1024**2 * 2 / 1e9)
    assert plan.offload == "none"
    tight = plan_views(model, [camera], [(1024, 1024)], params, free=11.0)
    assert tight.offload == "model"


def test_the_weights_are_those_of_the_published_models() -> None:
    """9.4 GB in half precision: 2.567 + 1.251 + 0.084 + 0.123 + 0.695 billion parameters."""
    assert weights_gb(without_weights("sdxl", SDXL), "none") == pytest.approx(9.44, abs=0.01)


def test_z_images_weights_are_those_of_the_published_models() -> None:
    """27.2 GB in half precision: 6.155 + 3.356 + 0.084 + 4.022 billion parameters."""
    model = without_weights("z-image", Z_IMAGE_TURBO)
    assert weights_gb(model, "none") == pytest.approx(27.23, abs=0.01)
    assert weights_gb(model, "model") == pytest.approx(19.19, abs=0.01)


def test_the_weights_of_instruct_pix2pix_are_those_of_sd15_without_a_controlnet() -> None:
    """2.13 GB in half precision: 0.860 + 0.084 + 0.123 billion parameters."""
    model = without_weights("sd15", INSTRUCT_PIX2PIX)
    assert weights_gb(model, "none") == pytest.approx(2.132, abs=0.001)


def test_memory_is_foretold_within_a_fifth_of_what_was_measured_at_true_size() -> None:
    """SDXL with its own autoencoder, which encodes in float32, on the CPU in bfloat16."""
    results = Path(__file__).parents[3] / "benchmarks" / "results"
    text = (results / "true_size_cpu_512px_2cores_2026-11-29.md").read_text(encoding="utf-8")
    table = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line[:1] == "|"]
    rows = [dict(zip(table[0], cells, strict=True)) for cells in table[2:]]
    model = without_weights("sdxl", SDXL)
    vae = deepcopy(model.pipeline.vae).bfloat16()
    vae.register_to_config(force_upcast=True)
    pipeline = SimpleNamespace(**{**vars(model.pipeline), "vae": vae})
    model = replace(model, pipeline=pipeline, device=torch.device("cpu"))
    camera = PinholeCamera(np.eye(4), 512.0, 512.0, 256.0, 256.0, 512, 512)
    assert len(rows) == 3
    for row in rows:
        views, (shared, *_) = int(row["views"]), row["sharing"].split()
        params = (
            StylizeViews(sharing="full")
            if shared == "full"
            else StylizeViews(sharing="references", num_references=int(shared))
        )
        plan = plan_views(model, [camera] * views, [(512, 512)] * views, params, free=20.0)
        assert plan.step_gb == pytest.approx(float(row["a step, GB"]), rel=0.2)
        assert plan.coding_gb == pytest.approx(float(row["encoding and decoding, GB"]), rel=0.2)
