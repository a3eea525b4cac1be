"""What a drive consists of, for those who record it and read what was recorded. Pure."""

DRIVE = {
    'vehicle/speed': 'std_msgs/msg/Float32',
    'vehicle/steering_angle': 'std_msgs/msg/Float32',
    'vehicle/throttle': 'std_msgs/msg/Float32',
    'camera/camera_info': 'sensor_msgs/msg/CameraInfo',
    'cmd/steering': 'sensor_msgs/msg/JointState',
    'cmd/throttle': 'std_msgs/msg/Float32',
    'speed_limit': 'std_msgs/msg/Float32',
    'diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
    # Last: who sees that the frames are read knows that everything is.
    'camera/image_raw/compressed': 'sensor_msgs/msg/CompressedImage',
}
"""The topics that are there from the first frame on, and their types."""

TOPICS = (*DRIVE, 'odom', 'predicted_path', '/tf', '/tf_static')
"""All, the last four where somebody publishes them. Without camera/image_raw: for that the bridge
would decode every frame."""
