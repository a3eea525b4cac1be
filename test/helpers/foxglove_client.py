# SPDX-License-Identifier: Apache-2.0
"""A client of the Foxglove WebSocket protocol, written from its specification.

It knows nothing of foxglove-sdk. The specification is docs/spec.md of foxglove/ws-protocol.
"""

import itertools
import json
import socket
import struct
import threading
from collections import defaultdict

import websocket

from helpers.waiting import wait_for

SUBPROTOCOL = 'foxglove.sdk.v1'
_MESSAGE, _TIME, _SERVICE_RESPONSE = 1, 2, 3
_CLIENT_MESSAGE, _SERVICE_REQUEST = 1, 2


class FoxgloveClient:
    """A connected viewer; a thread of its own reads what the server sends."""

    def __init__(self, port, *, origin=None, host=None):
        self._socket = websocket.create_connection(
            f'ws://127.0.0.1:{port}/',
            subprotocols=[SUBPROTOCOL],
            origin=origin,
            suppress_origin=origin is None,
            host=host,
            timeout=10.0,
        )
        self._socket.settimeout(None)
        self._ids = itertools.count(1)
        self.info = {}
        self.channels = {}
        self.services = {}
        self.statuses = []
        self.parameters = {}
        self.messages = defaultdict(list)
        self._topics = {}
        self._replies = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.shutdown()

    def _read(self):
        try:
            while data := self._socket.recv():
                self._on_text(json.loads(data)) if isinstance(data, str) else self._on_bytes(data)
        except (websocket.WebSocketException, OSError):
            pass

    def _on_text(self, message):
        match message['op']:
            case 'serverInfo':
                self.info = message
            case 'advertise':
                self.channels |= {channel['topic']: channel for channel in message['channels']}
            case 'advertiseServices':
                self.services |= {service['name']: service for service in message['services']}
            case 'unadvertiseServices':
                gone = message['serviceIds']
                self.services = {
                    name: one for name, one in self.services.items() if one['id'] not in gone
                }
            case 'status':
                self.statuses.append(message['message'])
            case 'parameterValues':
                self.parameters |= {one['name']: one.get('value') for one in message['parameters']}
                if 'id' in message:
                    self._replies[message['id']] = message['parameters']
            case 'serviceCallFailure':
                self._replies[message['callId']] = RuntimeError(message['message'])

    def _on_bytes(self, data):
        if data[0] == _MESSAGE:
            subscription, time_ns = struct.unpack_from('<IQ', data, 1)
            self.messages[self._topics[subscription]].append((time_ns, data[13:]))
        elif data[0] == _SERVICE_RESPONSE:
            _, call, length = struct.unpack_from('<III', data, 1)
            assert data[13 : 13 + length] == b'cdr'
            self._replies[call] = data[13 + length :]

    def _send(self, op, **fields):
        self._socket.send(json.dumps({'op': op, **fields}))

    def subscribe(self, topic):
        """Subscribe to a topic, which is waited for; return the id of the subscription."""
        channel = wait_for(lambda: self.channels.get(topic), 20.0, f'the channel {topic}')
        subscription = next(self._ids)
        self._topics[subscription] = topic
        pair = {'id': subscription, 'channelId': channel['id']}
        self._send('subscribe', subscriptions=[pair])
        return subscription

    def unsubscribe(self, subscription):
        self._send('unsubscribe', subscriptionIds=[subscription])

    def message(self, topic):
        """The CDR of the newest message of a subscribed topic, which is waited for."""
        return wait_for(lambda: self.messages[topic], 20.0, f'a message of {topic}')[-1][1]

    def advertise(self, topic, kind, encoding='cdr'):
        """Announce messages of a topic; return the id of the channel."""
        channel = next(self._ids)
        fields = {'id': channel, 'topic': topic, 'encoding': encoding, 'schemaName': kind}
        self._send('advertise', channels=[fields])
        return channel

    def publish(self, channel, cdr):
        """Publish a message on an announced channel."""
        self._socket.send_binary(struct.pack('<BI', _CLIENT_MESSAGE, channel) + cdr)

    def call(self, service, cdr):
        """Call a service, which is waited for; return the CDR of its response."""
        known = wait_for(lambda: self.services.get(service), 20.0, f'the service {service}')
        call = next(self._ids)
        head = struct.pack('<BIII', _SERVICE_REQUEST, known['id'], call, 3)
        self._socket.send_binary(head + b'cdr' + cdr)
        return self._reply(call)

    def get_parameters(self, *names):
        """The values of parameters by name; no names: of all."""
        request = str(next(self._ids))
        self._send('getParameters', parameterNames=names, id=request)
        return {one['name']: one.get('value') for one in self._reply(request)}

    def set_parameter(self, name, value):
        """Set a parameter; return its value afterwards, None if there is none."""
        request = str(next(self._ids))
        self._send('setParameters', parameters=[{'name': name, 'value': value}], id=request)
        return {one['name']: one.get('value') for one in self._reply(request)}.get(name)

    def _reply(self, request):
        wait_for(lambda: request in self._replies, 20.0, 'a reply')
        reply = self._replies[request]
        if isinstance(reply, Exception):
            raise reply
        return reply
