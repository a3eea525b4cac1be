"""Controllers and estimators of one car: stopping, speed, motion. Pure."""
