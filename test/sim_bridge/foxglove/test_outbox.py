# SPDX-License-Identifier: Apache-2.0
"""The frames that wait for a viewer: bounded, the oldest message dropped and counted."""

import asyncio

import pytest

from sim_bridge.foxglove.outbox import Outbox, OutboxFullError


def taken(outbox, number):
    """The next frames of an outbox."""

    async def take():
        return [await outbox.get() for _ in range(number)]

    return asyncio.run(take())


def test_messages_leave_in_order():
    outbox = Outbox()
    for frame in (b'a', b'b', b'c'):
        assert not outbox.put_message(frame)
    assert taken(outbox, 3) == [b'a', b'b', b'c']
    assert outbox.dropped == 0


def test_a_full_outbox_drops_its_oldest_messages_and_counts_them():
    outbox = Outbox(messages_at_most=2)
    dropped = [outbox.put_message(b'%d' % number) for number in range(5)]
    assert dropped == [False, False, True, True, True]
    assert outbox.dropped == 3
    assert taken(outbox, 2) == [b'3', b'4']


def test_replies_are_never_dropped_and_go_first():
    outbox = Outbox(messages_at_most=1, replies_at_most=2)
    outbox.put_message(b'old')
    outbox.put_reply(b'reply')
    outbox.put_message(b'new')
    outbox.put_reply(b'another')
    with pytest.raises(OutboxFullError):
        outbox.put_reply(b'too many')
    assert taken(outbox, 3) == [b'reply', b'another', b'new']


def test_a_reader_of_an_empty_outbox_waits():
    async def wait():
        outbox = Outbox()
        waiting = asyncio.create_task(outbox.get())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        outbox.put_message(b'a')
        return await waiting

    assert asyncio.run(wait()) == b'a'
