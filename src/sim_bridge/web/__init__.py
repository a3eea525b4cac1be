"""Pages beside the socket: what the bridge is doing, for people and for scripts. Read-only."""
