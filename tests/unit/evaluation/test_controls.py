from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import read_json, read_rgb, write_json, write_rgb
from scenestyle.errors import ArtifactError
from scenestyle.evaluation.controls import refit_psnr, restyle_alone
from scenestyle.params import Sharing, Style, StylizeViews
from tasks import stylize_views
from tests.support.tiny_diffusion import tiny_pipeline, write_tiny_views
from tests.support.tiny_field import SOURCE_STEPS, write_tiny_source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A field of eight views, two of them held out."""
    root = tmp_path_factory.mktemp("source")
    write_tiny_source(root)
    return root


def test_a_refit_of_the_photos_is_the_source_field_again(source: Path, tmp_path: Path) -> None:
    nerf = source / "nerf"
    recorded = read_json(nerf / "metrics.json")

    found = refit_psnr(nerf, nerf / "images", iterations=SOURCE_STEPS, work=tmp_path)

    assert len(found) == 2
    assert found.mean() == recorded["heldout_psnr"]
    assert set(found) < set(recorded["psnr_by_view"].values())


def test_pictures_that_contradict_each_other_are_predicted_badly(
    source: Path, tmp_path: Path
) -> None:
    """The same pictures, and each in a tint of its own."""
    generator = np.random.default_rng(0)
    for file in sorted((source / "views" / "rgb").iterdir()):
        tint = generator.choice([-0.3, 0.3], size=3)
        picture = 0.4 * read_rgb(file) + 0.3
        for name, pixels in (("agreeing", picture), ("contradicting", picture + tint)):
            write_rgb(tmp_path / name / file.name, pixels.astype(np.float32))

    agreeing, contradicting = (
        refit_psnr(
            source / "nerf", tmp_path / name, iterations=40, work=tmp_path / f"work_{name}"
        ).mean()
        for name in ("agreeing", "contradicting")
    )

    assert agreeing > contradicting + 6
    # Nothing predicts an independent tint of +-0.3 per channel better than its mean does.
    assert contradicting < -20 * np.log10(0.25)


def test_a_finished_refit_is_not_trained_again(source: Path, tmp_path: Path) -> None:
    first = refit_psnr(source / "nerf", source / "stylized" / "rgb", iterations=5, work=tmp_path)
    (tmp_path / "run" / "nerfstudio_models").rename(tmp_path / "away")

    again = refit_psnr(source / "nerf", source / "stylized" / "rgb", iterations=5, work=tmp_path)

    assert first.tolist() == again.tolist()
    assert not (tmp_path / "run" / "nerfstudio_models").exists()


@pytest.fixture(scope="module")
def stylized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside `views`: the same restyled in company (`shared`) and each alone (`alone`)."""
    root = tmp_path_factory.mktemp("stylized")
    write_tiny_views(root / "views", num_views=3)
    tiny_pipeline().save_pretrained(root / "model")
    ways: tuple[tuple[str, Sharing], ...] = (("shared", "full"), ("alone", "none"))
    for name, sharing in ways:
        params = StylizeViews(
            model=str(root / "model"), sharing=sharing, num_inference_steps=2, image_side=64, seed=1
        )
        (root / name).mkdir()
        stylize_views.run(
            root / "views",
            root / name,
            params,
            caption="a red ball",
            style=Style(prompt="a pencil sketch of {caption}", seed=2),
            work=root / "work",
        )
    return root


def pictures(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.png")}


def test_the_control_differs_from_the_result_in_sharing_alone(
    stylized: Path, tmp_path: Path
) -> None:
    out = tmp_path / "unshared" / "rgb"

    restyle_alone(stylized / "views", stylized / "shared", out)

    assert pictures(out) == pictures(stylized / "alone" / "rgb")
    assert pictures(out) != pictures(stylized / "shared" / "rgb")


def test_a_killed_control_goes_on_to_the_same_bytes(stylized: Path, tmp_path: Path) -> None:
    out = tmp_path / "unshared" / "rgb"
    restyle_alone(stylized / "views", stylized / "shared", out)
    first = pictures(out)
    (out / "view_1.png").unlink()

    restyle_alone(stylized / "views", stylized / "shared", out)

    assert pictures(out) == first


def test_other_weights_than_those_of_the_result_are_refused(stylized: Path, tmp_path: Path) -> None:
    manifest = read_json(stylized / "shared" / "manifest.json")
    write_json(tmp_path / "manifest.json", {**manifest, "sources": {"base": "an older model"}})

    with pytest.raises(ArtifactError, match=r"an older model.*Rerun stylize_views"):
        restyle_alone(stylized / "views", tmp_path, tmp_path / "unshared" / "rgb")


def test_a_result_that_does_not_say_how_it_was_made_is_refused(
    stylized: Path, tmp_path: Path
) -> None:
    manifest = read_json(stylized / "shared" / "manifest.json")
    write_json(
        tmp_path / "manifest.json",
        {name: value for name, value in manifest.items() if name != "params"},
    )

    with pytest.raises(ArtifactError, match=r"earlier version.*Rerun stylize_views"):
        restyle_alone(stylized / "views", tmp_path, tmp_path / "unshared" / "rgb")
