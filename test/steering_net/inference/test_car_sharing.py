# SPDX-License-Identifier: Apache-2.0
"""Which steering node steers which car: the shares, and what nodes do as others come and go."""

from collections import Counter

import pytest

from steering_net.inference.car_sharing import LEASE_S, PERIOD_S, CarSharing, owners

NODES = ['a', 'b', 'c', 'd', 'e']


@pytest.mark.parametrize('cars', [1, 2, 3, 8, 16, 32])
@pytest.mark.parametrize('nodes', [1, 2, 3, 5])
def test_every_car_has_an_owner_and_shares_are_equal(cars, nodes):
    owned = Counter(dict.fromkeys(NODES[:nodes], 0))
    owned.update(owners(cars, NODES[:nodes]))
    assert owned.total() == cars
    assert max(owned.values()) - min(owned.values()) <= 1


def test_the_order_in_which_nodes_are_heard_makes_no_difference():
    assert owners(16, NODES) == owners(16, reversed(NODES))


@pytest.mark.parametrize('gone', NODES)
def test_few_cars_of_living_nodes_move_when_a_node_goes(gone):
    before, after = owners(32, NODES), owners(32, set(NODES) - {gone})
    moved = [car for car in range(32) if before[car] not in (gone, after[car])]
    assert len(moved) < 8, 'with car number modulo nodes it would be 19'


class Node:
    """A node that shares, without ROS: it holds cars and steers them one period later."""

    def __init__(self, name, cars, started_s):
        self.name = name
        self.held, self.steered = set(), set()
        self.sharing = CarSharing(name, cars, started_s)

    def turn(self, now_s):
        changes = self.sharing.changes(now_s, self.held)
        self.steered = set(self.held) - set(changes.release)
        self.held = (self.held | set(changes.take)) - set(changes.release)


class Group:
    """Nodes that hear each other; `steered` has the set of steered cars after each period."""

    def __init__(self, cars):
        self.cars, self.now_s, self.nodes = cars, 100.0, {}

    def start(self, name):
        self.nodes[name] = Node(name, self.cars, self.now_s)

    def run(self, seconds, *, stopped=()):
        steered = []
        for _ in range(round(seconds / PERIOD_S)):
            self.now_s += PERIOD_S
            awake = [node for node in self.nodes.values() if node.name not in stopped]
            for node in awake:
                node.turn(self.now_s)
            for node in awake:
                for other in awake:
                    other.sharing.hear(self.now_s, node.name, frozenset(node.steered))
            steered.append(Counter(car for node in awake for car in node.steered))
        return steered

    @property
    def shares(self):
        return sorted(len(node.steered) for node in self.nodes.values())


def test_two_nodes_that_start_together_never_steer_the_same_car():
    group = Group(8)
    group.start('a')
    group.start('b')
    steered = group.run(2.0)
    assert all(count == 1 for turn in steered for count in turn.values())
    assert set(steered[-1]) == set(range(8))
    assert group.shares == [4, 4]


def test_a_car_that_moves_to_a_newcomer_is_steered_all_the_time():
    group = Group(8)
    group.start('a')
    group.run(1.0)
    group.start('b')
    steered = group.run(2.0)
    assert all(set(turn) == set(range(8)) for turn in steered)
    assert group.shares == [4, 4]
    assert max(steered[-1].values()) == 1


def test_the_cars_of_a_dead_node_are_steered_again_soon_after_its_lease():
    group = Group(8)
    for name in ('a', 'b', 'c'):
        group.start(name)
    group.run(2.0)
    del group.nodes['b']
    steered = group.run(1.0)
    assert set(steered[0]) < set(range(8)), 'the dead node had cars'
    is_whole = [set(turn) == set(range(8)) for turn in steered]
    assert is_whole.index(True) * PERIOD_S <= LEASE_S + 2 * PERIOD_S
    assert all(is_whole[is_whole.index(True) :])


def test_a_node_that_was_stopped_listens_before_it_takes_cars():
    group = Group(4)
    group.start('a')
    group.start('b')
    group.run(2.0)
    group.run(2.0, stopped=('b',))
    assert len(group.nodes['a'].steered) == 4
    held = set(group.nodes['b'].held)
    group.run(PERIOD_S)
    assert group.nodes['b'].held == held, 'it would think that it is alone'
    group.run(2 * LEASE_S)
    assert group.shares == [2, 2]


def test_a_car_is_kept_until_its_new_owner_steers_it():
    sharing = CarSharing('a', 2, 0.0)
    owned_by_b = owners(2, ['a', 'b']).index('b')
    sharing.hear(0.35, 'b', frozenset())
    assert sharing.changes(LEASE_S, {0, 1}).release == []
    sharing.hear(0.45, 'b', frozenset({owned_by_b}))
    assert sharing.changes(0.5, {0, 1}).release == [owned_by_b]
