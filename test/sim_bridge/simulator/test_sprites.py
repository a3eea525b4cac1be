# SPDX-License-Identifier: Apache-2.0
"""Trees and posts: where they are drawn, and what hides them."""

from functools import cache

import numpy as np

from helpers.lazy import JUNGLE
from sim_bridge.simulator.relief_camera import ReliefCamera
from sim_bridge.simulator.sprites import Sprites


@cache
def camera() -> ReliefCamera:
    """The camera of the jungle; a second to make, so not when tests are collected."""
    return ReliefCamera(JUNGLE)


def sprites() -> Sprites:
    return camera()._sprites


def is_red(image: np.ndarray) -> np.ndarray:
    values = image.astype(int)
    return (values[..., 0] > 60) & (values[..., 0] > 1.6 * values[..., 1])


def test_posts_stand_on_both_sides_of_the_bridge_as_it_comes_into_sight() -> None:
    image = camera().render(JUNGLE.pose(812.0), 812.0)
    red = is_red(image)
    assert red[:100, :150].sum() > 20
    assert red[:100, 170:].sum() > 20
    assert not is_red(camera().render(JUNGLE.pose(110.0), 110.0))[:60].sum() > 200


def test_no_tree_stands_on_the_road_or_the_bridge() -> None:
    trees = sprites()._foot_m[sprites()._kind < 4]
    assert len(trees) > 400
    away = np.linalg.norm(trees[:, None, :2] - JUNGLE.centre_m[None, ::8], axis=2).min(axis=1)
    assert away.min() > 4.75 + 1.0
    bridge = JUNGLE.centre_m[int(815 / JUNGLE.step_m) : int(865 / JUNGLE.step_m)]
    assert np.linalg.norm(trees[:, None, :2] - bridge[None], axis=2).min() > 10.0


def test_sprites_stand_on_the_ground() -> None:
    terrain = camera()._terrain
    trees = sprites()._foot_m[sprites()._kind < 4]
    cells = np.rint((trees[:, :2] - (terrain.x0_m, terrain.y0_m)) / 0.5).astype(int)
    assert np.allclose(terrain.height[cells[:, 1], cells[:, 0]], trees[:, 2])


def test_the_same_world_has_the_same_trees() -> None:
    again = Sprites(JUNGLE, JUNGLE.surface.world, camera()._terrain)
    assert np.array_equal(again._foot_m, sprites()._foot_m)
