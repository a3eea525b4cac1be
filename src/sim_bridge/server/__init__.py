# SPDX-License-Identifier: Apache-2.0
"""The server on the port: sockets, Socket.IO and pages. The only package that knows eventlet.

`simulator_server.py` is what others use. Behind it, `websocket.py` holds what is true of every
connection, `socketio_server.py` what Socket.IO accepts, `host_check.py` by which names and from
which pages browsers may call, `page_socket.py` opens the WebSockets of pages, and
`eventlet_imports.py` imports the libraries. Nothing here is needed to understand the drive.
"""
