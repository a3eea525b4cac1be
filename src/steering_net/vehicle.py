"""Geometry of the simulator's car, m: where the Unity project puts its wheels."""

WHEELBASE_M = 2.87
REAR_AXLE_M = 1.60
"""How far the rear axle lies behind the car's origin, base_link."""
