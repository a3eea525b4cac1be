"""Networks that steer: preprocessing, training, inference, evaluation; ROS only in `ros`."""
