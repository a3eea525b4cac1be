"""The server on the port: sockets, Socket.IO and pages. The only package that knows eventlet.

`simulator_server.py` is what others use. Behind it `connections.py` holds what is true of every
connection, `bounded.py` what Socket.IO takes, `names.py` by which names browsers may call, and
`green.py` imports the libraries.
"""

from sim_bridge.server.host_check import WsgiApp
from sim_bridge.server.simulator_server import Handler, ServerError, SimulatorServer, sleep

__all__ = ['Handler', 'ServerError', 'SimulatorServer', 'WsgiApp', 'sleep']
