"""Networks that steer: preprocess, train, load, run and judge them; no ROS but in `node`."""
