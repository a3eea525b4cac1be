# SPDX-License-Identifier: Apache-2.0
"""Build description, for colcon (ament_python) and for pip alike."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'sim_bridge'
SHARE = f'share/{PACKAGE}'


def files(folder: str) -> tuple[str, list[str]]:
    """Everything in a folder, to be installed under the package's share directory."""
    return f'{SHARE}/{folder}', sorted(str(path) for path in Path(folder).iterdir())


setup(
    name=PACKAGE,
    version='0.1.0',
    package_dir={'': 'src'},
    packages=find_packages('src'),
    package_data={
        'sim_bridge': ['fastdds.xml', 'simulator/worlds/*.csv', 'web/static/*'],
        'steering_net': ['models/*', 'probe_frames/*.jpg', 'labelled_frames/*'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (SHARE, ['package.xml']),
        files('launch'),
        files('config'),
        files('rviz'),
        files('urdf'),
        files('layouts'),
        # `ros2 run` and `ros2 launch` look here, whether pip or colcon installed the package.
        (f'lib/{PACKAGE}', sorted(str(path) for path in Path('scripts').iterdir())),
    ],
    # rclpy, cv_bridge and messages come with ROS 2 (package.xml), or from requirements/pypi.txt.
    install_requires=[
        # The server overrides private parts of these three: newer ones have to be tested first.
        'eventlet>=0.36,<0.42',
        'python-engineio>=4.8,<4.16',
        'python-socketio>=5.11,<5.19',
        'ai-edge-litert>=1.2',
        'flask>=2.0',
        'mcap>=1.2',
        'numpy>=1.24',
        'opencv-python-headless>=4.5,<5',
        'prometheus_client>=0.16',
        'rosbags>=0.11',
        'tqdm>=4.60',
        # Part of Flask.
        'werkzeug>=2.0',
        'zstandard>=0.18',
    ],
    extras_require={
        # To train, to import and convert networks, to plot, and for `backend: keras`.
        'train': [
            'h5py>=3.10',
            'keras>=3.13.1',
            'matplotlib>=3.6',
            'protobuf>=4.21',
            'tensorflow-cpu>=2.18',
        ],
        # To show a drive in the Foxglove app or in Lichtblick.
        'foxglove': ['foxglove-sdk>=0.30'],
        # The Gymnasium environment, sim_bridge.gym.
        'gym': ['gymnasium>=1.0'],
        # To export recordings as LeRobot datasets.
        'lerobot': ['pyarrow>=15'],
        # To show recordings and drives in Rerun.
        'rerun': ['rerun-sdk>=0.23'],
        # For --ray: to share work by the machines of a cluster.
        'scale': ['ray>=2.60'],
        'test': [
            'foxglove-sdk>=0.30',
            'gymnasium>=1.0',
            'hypothesis',
            'packaging',
            'pyarrow>=15',
            'pytest',
            'pytest-xdist',
            'python-socketio[client]',
            'pyyaml',
            'selenium',
            'websocket-client',
        ],
        'docs': ['mkdocs'],
    },
    zip_safe=False,
    # No address is published. colcon drops a package without an acceptable one: .invalid is a
    # top-level domain that never exists (RFC 2606).
    maintainer='The sim_bridge authors',
    maintainer_email='no-address@sim-bridge.invalid',
    description='A bridge between a Socket.IO driving simulator and ROS 2.',
    license='Apache-2.0',
    python_requires='>=3.11',  # 3.11 to 3.13 are tested; 3.14 is allowed and not tested.
    entry_points={'console_scripts': ['sim-bridge = sim_bridge.cli.main:main']},
)
