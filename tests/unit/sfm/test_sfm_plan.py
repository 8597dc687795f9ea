import numpy as np
import pycolmap
import pytest

from scenestyle.sfm.diagnosis import LostPhoto, Partner
from scenestyle.sfm.plan import ground_axes, seen_from_above
from tests.support.synthetic_matches import dataset, views


@pytest.mark.parametrize("spread", [(3.0, 1.0, 0.2), (3.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
def test_ground_axes_are_right_and_forward_of_a_map(spread):
    centres = np.random.default_rng(0).normal(size=(20, 3)) * spread
    up = np.array([0.2, -0.5, 0.8])
    up /= np.linalg.norm(up)
    axes = ground_axes(centres, up)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(np.cross(axes[:, 0], axes[:, 1]), up, atol=1e-9)
    flat = (centres - centres.mean(axis=0)) @ axes
    assert flat[:, 0].std() >= flat[:, 1].std()


def plan_of(model, lost=()):
    names = {view.name.removesuffix(".png"): view.name for view in views(model)}
    return seen_from_above(model, lost, names)


def test_distances_on_the_map_are_those_of_the_world_moved_as_it_may_be(tmp_path):
    model = dataset(tmp_path / "matches.db")

    def distances():
        at = np.array([camera["at"] for camera in plan_of(model)["cameras"]])
        return np.linalg.norm(at[:, None] - at, axis=-1)

    before = distances()
    turn = pycolmap.Rotation3d(np.array([0.1, 0.5, -0.2]))
    model.transform(pycolmap.Sim3d(2.0, turn, np.array([3.0, 4, 5])))
    np.testing.assert_allclose(distances(), 2 * before, rtol=1e-3, atol=1e-3)


def test_a_lost_photo_lies_between_its_partners_nearer_to_the_better(tmp_path):
    model = dataset(tmp_path / "matches.db")
    lost = [
        LostPhoto("x", 9, [Partner("000000.png", 30, True), Partner("000001.png", 10, True)], ""),
        LostPhoto("y", 9, [Partner("z", 30, False)], ""),
    ]
    plan = plan_of(model, lost)
    at = {camera["photo"]: np.array(camera["at"]) for camera in plan["cameras"]}
    near = {entry["photo"]: entry["near"] for entry in plan["lost"]}
    np.testing.assert_allclose(
        near["x"], 0.75 * at["000000.png"] + 0.25 * at["000001.png"], atol=1e-3
    )
    assert near["y"] is None


def test_all_directions_are_at_most_of_length_one(tmp_path):
    looks = [c["looks"] for c in plan_of(dataset(tmp_path / "matches.db"))["cameras"]]
    assert np.linalg.norm(looks, axis=1).max() <= 1 + 1e-4
