# SPDX-License-Identifier: Apache-2.0
"""The exchange of networks: what is loaded, taken over and refused, and what parameters say."""

import pytest
from rclpy.parameter import Parameter as RosParameter

from steering_net.errors import ModelError
from steering_net.inference.hot_reload import Outcome, Request
from steering_net.ros.network_swap import NetworkSwap
from steering_net.ros.parameters import Parameter, declare, on_change

PARAMETERS = (
    Parameter('model', 'a', 'A network.', read_only=False),
    Parameter('profile', '', 'A profile.', read_only=False),
)
REFUSED = 'c'


class Loading:
    """A loader that has loaded what was requested as soon as it is asked."""

    def __init__(self):
        self.requested, self._waiting = [], []

    def request(self, request):
        self.requested.append(request)
        self._waiting = [request]

    @property
    def idle(self):
        return not self._waiting

    def poll(self):
        if not self._waiting:
            return None
        request = self._waiting.pop()
        if request.model == REFUSED:
            return Outcome(request, None, 'it is broken')
        return Outcome(request, f'predictor of {request.model}')


class Swapped:
    """A node whose network is exchanged, and the networks that it took over."""

    def __init__(self, node):
        self.node, self.loader, self.taken = node, Loading(), []
        declare(node, PARAMETERS)
        self.swap = NetworkSwap(node, Request('a'), self.loader, self.check, self.take_over)
        on_change(node, PARAMETERS, self.swap.change)

    def check(self, request):
        if request.model == 'missing':
            raise ValueError('there is no missing')

    def take_over(self, request, predictor):
        if request.model == 'uncalibrated':
            raise ModelError('it is not calibrated')
        self.taken.append((request.model, predictor))

    def choose(self, model):
        """Set the parameter; return whether it was accepted."""
        (result,) = self.node.set_parameters([RosParameter('model', value=model)])
        return result.successful

    @property
    def model(self):
        return self.node.get_parameter('model').value


@pytest.fixture
def swapped(ros_node):
    return Swapped(ros_node)


def test_network_that_was_loaded_drives_from_the_next_look_on(swapped):
    assert swapped.choose('b')
    assert (swapped.swap.loading, swapped.taken) == ('b', [])
    swapped.swap._poll()
    assert swapped.taken == [('b', 'predictor of b')]
    assert (swapped.swap.loading, swapped.swap.refused) == ('', '')
    assert swapped.swap._timer.is_canceled()


@pytest.mark.parametrize(
    ('model', 'reason'),
    [(REFUSED, 'it is broken'), ('uncalibrated', 'it is not calibrated')],
)
def test_parameters_name_the_network_that_drives_on_after_a_refusal(swapped, model, reason):
    for name in ('b', model):
        assert swapped.choose(name)
        swapped.swap._poll()
    assert swapped.swap.refused == f'{model}: {reason}'
    assert swapped.model == 'b'
    assert [one.model for one in swapped.loader.requested] == ['b', model], 'b is not loaded again'
    assert swapped.choose('d')
    swapped.swap._poll()
    assert swapped.swap.refused == ''
    assert [one for one, _ in swapped.taken] == ['b', 'd']


def test_network_that_cannot_be_loaded_is_refused_at_once(swapped):
    assert not swapped.choose('missing')
    assert (swapped.model, swapped.loader.requested) == ('a', [])
