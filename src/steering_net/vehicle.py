"""The simulator's car in numbers: where its wheels are, and what its pedals do. SI.

Accelerations are of the car on the level and were fitted to recordings of the real simulator.
"""

WHEELBASE_M = 2.87
REAR_AXLE_M = 1.60
"""How far the rear axle lies behind the car's origin, base_link."""

DRIVE_MPS2 = 5.2
"""Acceleration at full throttle from a standstill."""
REVERSE_MPS2 = 1.5
"""Backward acceleration at throttle -1 while the car is slow or rolls backwards."""
BRAKE_MPS2 = 50.0
"""Deceleration per unit of negative throttle, as far as the tyres transmit it."""
BRAKE_GRIP_MPS2 = 6.5
"""Deceleration that the tyres transmit at most."""
DRAG_1PS = 0.1
"""Deceleration per speed of a car that coasts."""
GRAVITY_MPS2 = 9.81
