"""The embedded simulator: tracks, camera, car, and the client that speaks to a bridge."""
