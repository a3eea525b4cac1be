"""The one error that ends a program before it has begun."""


class StartError(RuntimeError):
    """Something that a person has to change first; the message is one line: what, and the fix."""
