"""Models of synthetic matches against the truth, and which of their photos are believed."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest

from scenestyle.geometry import pose_errors
from scenestyle.sfm.mapping import core, incremental, prune, regrown, shared_points
from tests.support.synthetic_matches import dataset, views


def forget(view, model, *, keep):
    """Let a view see but some of its points."""
    seen = [index for index, point in enumerate(view.points2D) if point.has_point3D()]
    for index in seen[keep:]:
        model.delete_observation(view.image_id, index)


def w2c(model):
    rows = [np.vstack([v.cam_from_world().matrix(), [0, 0, 0, 1]]) for v in views(model)]
    return np.stack(rows)


@pytest.fixture
def model(tmp_path):
    return dataset(tmp_path / "matches.db")


@pytest.mark.parametrize("mapping", [incremental, regrown])
def test_the_true_poses_are_found_and_found_again(tmp_path, mapping):
    truth = dataset(tmp_path / "matches.db")
    (tmp_path / "images").mkdir()
    found, again = (
        mapping(tmp_path / "matches.db", tmp_path / "images", 0, work=tmp_path / f"work_{run}")[0]
        for run in range(2)
    )
    errors = pose_errors(np.linalg.inv(w2c(found)), np.linalg.inv(w2c(truth)))
    assert errors.translation_share.max() < 1e-3
    assert errors.rotation_degrees.max() < 0.1
    np.testing.assert_array_equal(w2c(found), w2c(again))
    assert len(core(found)) == 6


def test_no_matches_no_model(tmp_path):
    pycolmap.Database.open(tmp_path / "empty.db").close()
    for mapping in (incremental, regrown):
        assert mapping(tmp_path / "empty.db", tmp_path, 0, work=tmp_path / "work") == []


def test_shared_points_are_counted(model):
    forget(views(model)[0], model, keep=40)
    names, shared = shared_points(model)
    assert names == [f"{number:06d}" for number in range(6)]
    assert (shared == shared.T).all()
    assert shared[0].tolist() == [40] * 6
    assert shared[1].tolist() == [40] + [100] * 5


@pytest.mark.parametrize(("keep", "believed"), [(30, 6), (29, 4)])
def test_photos_that_share_few_points_with_the_others_are_not_in_the_core(model, keep, believed):
    for view in views(model)[:2]:
        forget(view, model, keep=keep)
    assert len(core(model)) == believed


def test_photos_hang_together_by_way_of_others(tmp_path):
    """A chain: each photo sees 50 points, 32 of them also the next, 14 the one after it."""
    model = dataset(tmp_path / "chain.db", num_points=140)
    first = min(model.point3D_ids())
    for number, view in enumerate(views(model)):
        for index, point in enumerate(view.points2D):
            if point.has_point3D() and not 0 <= point.point3D_id - first - 18 * number < 50:
                model.delete_observation(view.image_id, index)
    _, shared = shared_points(model)
    assert np.diagonal(shared, 1).tolist() == [32] * 5
    assert np.diagonal(shared, 2).tolist() == [14] * 4
    assert len(core(model)) == 6


def test_pruning_leaves_the_core_and_its_poses(model):
    lost = views(model)[:2]
    for view in lost:
        forget(view, model, keep=10)
    before = {view.name: view.cam_from_world().matrix() for view in views(model)[2:]}
    kept = core(model)
    prune(model, kept)
    assert {Path(v.name).stem for v in model.images.values() if v.has_pose} == kept
    for view in views(model)[2:]:
        np.testing.assert_array_equal(view.cam_from_world().matrix(), before[view.name])
    assert core(model) == kept


def test_nothing_is_believed_of_a_model_without_points(model):
    for number in list(model.point3D_ids()):
        model.delete_point3D(number)
    assert len(core(model)) == 1
    assert core(pycolmap.Reconstruction()) == frozenset()
