"""Where a server that listens on some address is found from its own machine. Pure."""


def reachable(host: str) -> str:
    """The address to connect to for a server that was told to listen on `host`."""
    return '127.0.0.1' if host in ('', '0.0.0.0') else host
