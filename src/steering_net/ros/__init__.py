"""The steering node, and how nodes start, spin and end."""
