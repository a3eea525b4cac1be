"""The verbs of `sim-bridge`: each has `configure(parser)` and `run(args)`."""
