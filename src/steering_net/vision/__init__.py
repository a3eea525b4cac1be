"""Camera frames: decoding, preprocessing to the tensor of a network, and camera geometry."""
