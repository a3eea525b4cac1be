"""The simulator's car: its dimensions, limits and accelerations. SI, left positive."""

import math

WHEELBASE_M = 2.87
REAR_AXLE_M = 1.60
"""Distance from the car's origin, base_link, back to the rear axle."""

MAX_STEERING_RAD = math.radians(25.0)
"""Largest steering angle, to either side."""
TOP_SPEED_MPS = 13.4112
"""Largest speed: 30 mph in the simulator's source."""
REVERSE_BELOW_MPS = 2.2352
"""Below this speed a negative throttle drives the car backwards: 5 mph in the source."""

# Accelerations on the level, fitted to recordings of the real simulator.
DRIVE_MPS2 = 5.2
"""Acceleration at full throttle from a standstill."""
REVERSE_MPS2 = 1.5
"""Backward acceleration at throttle -1 while the car is slow or rolls backwards."""
BRAKE_MPS2 = 50.0
"""Deceleration per unit of negative throttle, as far as the tyres transmit it."""
BRAKE_GRIP_MPS2 = 6.5
"""Largest deceleration that the tyres transmit."""
DRAG_1PS = 0.1
"""Deceleration per speed of a car that coasts."""
GRAVITY_MPS2 = 9.81
