import numpy as np
import pytest

from scenestyle.diffusion.weights import EMBEDDED_FOLDER
from scenestyle.metrics.structure import edge_correlation
from training import scorecard
from training.contact_sheet import Drawn
from training.exported import load_autoencoder
from training.photos.collect import Photograph
from training.scorecard import PROMPTS, example, model_code, score, train_classifier

KINDS = ("render", "photo")


@pytest.fixture(scope="module")
def held_out():
    return [example(7, index) for index in range(2)]


@pytest.fixture(scope="module")
def classify():
    return train_classifier([example(11, index) for index in range(9)])


@pytest.mark.parametrize("look", [None, 0, 1])
def test_the_filters_themselves_get_full_marks(held_out, classify, look):
    by_photo = {each.photo.tobytes(): each for each in held_out}

    def draw(photo, disparity, prompts):
        each = by_photo[photo.tobytes()]
        np.testing.assert_array_equal(disparity, each.disparity)
        pictures = [each.wanted(style, look) for style in PROMPTS]
        return [*(Drawn(picture, look) for picture in pictures), Drawn(photo, look)]

    scores, identity = score(held_out, classify, draw, code=list)
    assert identity == 0
    for each in scores.values():
        assert each.recognised == each.coded_recognised == each.filter_recognised
        assert each.edges == pytest.approx(1, abs=1e-3)
        assert each.colour == 0
        assert each.look == pytest.approx(1 if look is not None else np.nan, nan_ok=True)
    assert np.mean([each.recognised for each in scores.values()]) >= 0.9


def test_an_unchanged_photograph_is_recognised_as_no_style(held_out, classify):
    scores, identity = score(
        held_out, classify, lambda photo, _, prompts: [Drawn(photo)] * len(prompts), code=list
    )
    assert identity == 0
    assert np.mean([each.recognised for each in scores.values()]) <= 0.1


def test_the_table_has_a_row_per_style(held_out, classify):
    scores, identity = score(
        held_out, classify, lambda photo, _, prompts: [Drawn(1 - photo)] * len(prompts), code=list
    )
    text = scorecard.report(scores, identity, len(held_out))
    assert all(f"| {style} |" in text for style in PROMPTS)


@pytest.mark.parametrize("style", PROMPTS)
def test_the_shipped_autoencoder_draws_every_styles_patterns(held_out, style):
    """What it blurs no denoiser can draw: one that had not seen tiles and leads reached 0.86."""
    drawn = [each.styled[style] for each in held_out]
    coded = model_code(load_autoencoder(EMBEDDED_FOLDER))(drawn)
    assert np.mean([edge_correlation(*pair) for pair in zip(coded, drawn, strict=True)]) >= 0.92


def test_content_is_measured_against_the_photograph(held_out, classify):
    """A model that changes nothing keeps all of it; what the filters keep does not depend on the model."""
    kept, _ = score(held_out, classify, lambda photo, _, p: [Drawn(photo)] * len(p), code=list)
    lost, _ = score(
        held_out, classify, lambda photo, _, p: [Drawn(photo * 0 + 0.5)] * len(p), code=list
    )
    for style in PROMPTS:
        assert kept[style].content_edges == pytest.approx(1, abs=1e-3)
        assert kept[style].content_features == pytest.approx(1, abs=1e-3)
        assert lost[style].content_features < 0.9
        assert lost[style].filter_content_edges == kept[style].filter_content_edges < 1
    assert kept["sepia"].filter_content_features > kept["blueprint"].filter_content_features


def test_every_capture_gives_as_many_renders():
    picture = np.zeros((8, 8, 3), np.uint8)
    names = [f"{c}-{kind}-{i}" for c in ("fern", "kitchen") for i in range(5) for kind in KINDS]
    all_of_them = [
        Photograph(name, picture, np.ones((8, 8), np.float32), 8.0, "a toy", held_out=True)
        for name in names
    ]
    chosen = [each.name for each in scorecard._renders(all_of_them, 2)]
    assert chosen == ["fern-render-0", "fern-render-4", "kitchen-render-0", "kitchen-render-4"]
