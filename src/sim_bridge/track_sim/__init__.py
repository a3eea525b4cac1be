"""The embedded simulator: procedural tracks, a car, its camera, and the real simulator's wire."""
