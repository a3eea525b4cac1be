"""The command `sim-bridge`: one file for each verb."""
