"""From a camera frame to the tensor of a network, and what a pixel means in space."""
