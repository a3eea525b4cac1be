# SPDX-License-Identifier: Apache-2.0
"""The helpers of the tests do what the tests rely on."""

import fcntl
import logging
import socket
import threading

from helpers.log import Log
from helpers.machine import Machine
from helpers.network import own_domain_id, own_port
from helpers.waiting import wait_for


def test_own_port_is_given_to_nobody_else_and_a_server_can_listen_on_it():
    port = own_port()
    assert port not in {own_port() for _ in range(50)}
    with (
        socket.create_server(('127.0.0.1', port)) as server,
        socket.create_connection(('127.0.0.1', port)),
    ):
        server.accept()[0].close()


def test_own_domain_is_given_once():
    domains = [own_domain_id() for _ in range(5)]
    assert len(set(domains)) == 5
    assert all(1 <= domain <= 101 for domain in domains)


def test_log_is_kept_of_loggers_that_hand_nothing_on():
    logger = logging.getLogger('sim_bridge.test_of_the_log')
    try:
        for logger.propagate in (True, False):
            with Log() as kept:
                logger.info('not kept')
                logger.warning('%s is kept', 1)
            logger.warning('too late')
            assert kept.messages == ['1 is kept']
    finally:
        logger.propagate = True


def test_groups_of_tests_never_run_beside_each_other_and_the_one_that_waits_comes_next():
    machines = [Machine('of this test') for _ in range(4)]
    order = []

    def use(machine, name, real_time):
        machine.join(real_time=real_time)
        order.append(name)

    words = [('first', False), ('second', False), ('real time', True), ('late', False)]
    first, second, real_time, late = (
        threading.Thread(target=use, args=(machine, *word))
        for machine, word in zip(machines, words, strict=True)
    )
    try:
        first.start()
        first.join(10.0)
        second.start()
        second.join(10.0)
        real_time.start()
        wait_for(lambda: waits_for_the_machine(machines[2]))
        late.start()
        machines[0].join(real_time=False)
        machines[0].leave()
        late.join(0.2)
        assert order == ['first', 'second']
        machines[1].leave()
        real_time.join(10.0)
        late.join(0.2)
        assert order == ['first', 'second', 'real time']
        machines[2].leave()
        late.join(10.0)
        assert order == ['first', 'second', 'real time', 'late']
    finally:
        for machine in machines:
            machine.leave()
            machine.close()


def waits_for_the_machine(machine):
    """Whether this one holds the gate."""
    with open(machine._gate.name, 'wb') as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
