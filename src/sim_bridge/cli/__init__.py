"""The command `sim-bridge`: one file a verb."""
