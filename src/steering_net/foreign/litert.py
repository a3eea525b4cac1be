"""Stub."""
def read_litert(path): raise NotImplementedError
