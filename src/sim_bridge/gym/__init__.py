# SPDX-License-Identifier: Apache-2.0
"""A Gymnasium environment of the embedded simulator. Importing this registers its name.

`gymnasium.make('sim_bridge.gym:sim_bridge/Track-v0')` imports it by itself.
"""

try:
    from gymnasium.envs.registration import register, registry
except ImportError as error:
    raise ImportError("sim_bridge.gym needs gymnasium: pip install 'sim_bridge[gym]'") from error

TRACK_ID = 'sim_bridge/Track-v0'
MAX_EPISODE_STEPS = 4000
"""Steps after which an episode is truncated: 160 s at the default of 25 steps/s."""

if TRACK_ID not in registry:
    register(TRACK_ID, 'sim_bridge.gym.track_env:TrackEnv', max_episode_steps=MAX_EPISODE_STEPS)
