"""Stub."""
def read_saved_model(path): raise NotImplementedError
