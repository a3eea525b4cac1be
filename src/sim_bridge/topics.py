"""What a drive consists of, for those who record it and read what was recorded. Pure."""

DRIVE = {
    'camera/image_raw/compressed': 'sensor_msgs/msg/CompressedImage',
    'camera/camera_info': 'sensor_msgs/msg/CameraInfo',
    'vehicle/speed': 'std_msgs/msg/Float32',
    'vehicle/steering_angle': 'std_msgs/msg/Float32',
    'vehicle/throttle': 'std_msgs/msg/Float32',
    'cmd/steering': 'sensor_msgs/msg/JointState',
    'cmd/throttle': 'std_msgs/msg/Float32',
    'speed_limit': 'std_msgs/msg/Float32',
    'speed_limit/active': 'std_msgs/msg/Float32',
    'diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
}
"""The topics that are there from the first frame on, and their types."""

FROM_PEOPLE = {'speed_limit'}
"""Topics of these that no node of a drive publishes."""

LATCHED = {'speed_limit/active'}
"""Topics of these whose last message a later subscription gets too."""

TOPICS = (*DRIVE, 'odom', 'predicted_path', '/tf', '/tf_static')
"""All, the last four where a node publishes them. Without camera/image_raw: for that the bridge
would decode every frame."""
