# SPDX-License-Identifier: Apache-2.0
"""Pieces of road, routes of pieces, and what a world consists of."""

import numpy as np
import pytest

from sim_bridge.simulator.worlds import hills, jungle, pieces
from sim_bridge.simulator.worlds.registry import NAMED, PROCEDURAL
from sim_bridge.simulator.worlds.routes import APART_M, Blocked, Node, route
from sim_bridge.simulator.worlds.world import every

ALL = [
    'S', *(kind + side + rise for kind in 'CB' for side in 'LR' for rise in ('', '+', '-')),
    'HL', 'HR',
]  # fmt: skip


@pytest.mark.parametrize('piece', ALL)
def test_a_piece_leads_to_its_end_without_a_gap(piece: str) -> None:
    end = pieces.end_of(piece)
    points = np.vstack([pieces.points_of(piece), [end.ahead_m, end.left_m, end.rise_m]])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert points[0].tolist() == [0.0, 0.0, 0.0]
    assert 0.85 < steps.min() <= steps.max() < 1.2
    assert pieces.length_of(piece) == pytest.approx(steps.sum())


def test_pieces_in_a_row_are_the_jungle() -> None:
    """The order of the pieces, put together, stays within 0.8 m of the measured line."""
    line = jungle.make().line.points_m
    placed = pieces.place(jungle.PIECES)[:, :2] + line[0, :2] + (jungle.FIRST_M, 0.0)
    away = np.linalg.norm(placed[:, None] - line[None, :, :2], axis=2).min(axis=1)
    assert away.max() < 0.8
    assert sum(map(pieces.length_of, jungle.PIECES)) == pytest.approx(1508.9, rel=0.006)


def test_four_quarter_circles_close() -> None:
    assert np.allclose(pieces.place(['CL'] * 4 + ['S'])[-10], 0.0, atol=1e-9)


@pytest.mark.parametrize(('piece', 'slope'), [('CL+', 0.23), ('BR-', 0.29)])
def test_ramps_are_as_steep_as_in_the_jungle(piece: str, slope: float) -> None:
    points = pieces.points_of(piece)
    steps = np.diff(points, axis=0)
    steepest = np.abs(steps[:, 2]) / np.linalg.norm(steps, axis=1)
    assert steepest.max() == pytest.approx(slope, abs=0.02)


def test_dashes_cover_two_thirds_of_the_centre_line() -> None:
    marks = pieces.dashes(jungle.PIECES, jungle.FIRST_M, jungle.LAP_M, pieces.WHITE).marks
    assert sum(b - a for a, b in marks) == pytest.approx(0.69 * jungle.LAP_M, rel=0.001)
    on_straight = [(a, b) for a, b in marks if 5.0 <= a < 15.0]
    assert [round(b - a, 1) for a, b in on_straight] == [3.4, 3.4]


def test_marks_are_whole_and_even() -> None:
    marks = every((10.0, 20.0), 3.0, 1.0)
    assert len(marks) == 3
    assert np.ptp(np.diff([a for a, _ in marks])) < 1e-9
    assert 10.0 < marks[0][0] < marks[-1][1] < 20.0


@pytest.mark.parametrize('seed', range(5))
def test_a_route_leads_from_start_to_goal(seed: int) -> None:
    start, goal = Node(2, 0, 0), Node(-2, 0, 0)
    rng = np.random.default_rng(seed)
    road = next(filter(None, (route(start, goal, Blocked(), rng) for _ in range(20))))
    end, quarters = np.zeros(2), 0
    for piece in road:
        ahead = pieces.end_of(piece)
        turn = np.array([[0, -1], [1, 0]])
        end = end + np.linalg.matrix_power(turn, quarters % 4) @ (ahead.ahead_m, ahead.left_m)
        quarters += ahead.quarters
    assert np.allclose(end, (-40.0, 0.0))
    assert quarters % 4 == 0


def test_a_route_keeps_off_a_blocked_road() -> None:
    blocked = Blocked()
    wall = np.column_stack([np.full(200, 60.0), np.linspace(-100.0, 100.0, 200)])
    blocked.add_road(wall)
    rng = np.random.default_rng(3)
    start, goal = Node(0, -3, 3), Node(0, 3, 3)
    found = [route(start, goal, blocked, rng) for _ in range(30)]
    roads = [road for road in found if road]
    assert roads
    for road in roads:
        turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
        placed = pieces.place(road)[:, :2] @ turn.T + (0.0, -30.0)
        inside = placed[np.abs(placed[:, 1]) < 95.0]
        assert np.abs(inside[:, 0] - 60.0).min() > APART_M - 5.0


def test_no_route_is_found_to_a_place_that_is_walled_in() -> None:
    blocked = Blocked()
    angle = np.linspace(0.0, 2 * np.pi, 400)
    blocked.add_road(60.0 * np.column_stack([np.cos(angle), np.sin(angle)]))
    rng = np.random.default_rng(0)
    assert route(Node(0, 0, 0), Node(11, 0, 0), blocked, rng) is None


def test_worlds_have_the_names_that_the_registry_gives_them() -> None:
    assert [make().name for make in NAMED.values()] == list(NAMED)
    assert PROCEDURAL['hills'](4).name == 'hills:4'


@pytest.mark.slow
def test_hills_differ_in_look_between_seeds() -> None:
    worlds = [hills.make(seed) for seed in range(6)]
    assert len({world.asphalt for world in worlds}) > 1
    assert len({world.light.azimuth_rad for world in worlds}) == 6
    assert {world.trees.kind for world in worlds} == {'palm', 'conifer'}
