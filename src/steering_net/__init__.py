"""Networks that steer: preprocessing, training, files, inference, evaluation; ROS only in `ros`."""
