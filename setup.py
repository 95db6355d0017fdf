# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What is installed where, for pip and for colcon.

One rule: launch, config and model files keep their folders under share/motion_policy.
"""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

PACKAGE = 'motion_policy'
ROOT = Path(__file__).resolve().parent
# The one place that names the maintainer is package.xml.
[MAINTAINER] = ElementTree.parse(ROOT / 'package.xml').iterfind('maintainer')

# numpy, OpenCV and h5py keep the floors of the oldest supported ROS 2 distributions.
BASE = [
    'h5py>=3.6',
    'numpy>=1.26',
    'opencv-python-headless>=4.9',
    'pydantic>=2.6',
    'pyyaml>=6.0',
    'rich>=13.0',
    'rosbags>=0.11.9',
    'safetensors>=0.4.3',
    'torch>=2.3',
    'tyro>=0.9',
]
VIEW = ['av>=12.0', 'matplotlib>=3.7']
# What makes the graph of a policy; earlier releases of torch export it by other means.
GRAPH = ['onnx>=1.17', 'onnxscript>=0.3', 'torch>=2.6']
EXTRAS = {
    'train': ['pytorch-lightning>=2.4', 'tensorboard>=2.16', 'torchvision>=0.18', *VIEW],
    # The web server of the cockpit. Its pages are ours, and fetch nothing.
    'cockpit': ['aiohttp>=3.9'],
    # Optional stages of the guard chain: workspace, collisions (coal comes with pin), jerk.
    'guard': ['pin>=2.6', 'ruckig>=0.9'],
    # Reading and writing LeRobot's data sets; the other formats need nothing more.
    'export': ['pyarrow>=14.0', *VIEW],
    # The viewers that `motion-policy inspect` writes files for. Rerun's brings its viewer, 0.5 GB.
    'foxglove': ['foxglove-sdk>=0.30'],
    'rerun': ['rerun-sdk>=0.39'],
    # Images of episodes as H.264 or AV1.
    'video': ['av>=12.0'],
    # Run times that compute a policy faster than PyTorch does on many CPUs.
    'onnx': ['onnxruntime>=1.20', *GRAPH],
    'openvino': ['openvino>=2024.6', *GRAPH],
    # The files of gym-aloha's scene are enough, but its labmaze has no wheels for Python 3.13.
    'sim': ['gym-aloha>=0.1.1,<0.2 ; python_version < "3.13"', 'mujoco>=3.2,<3.9', *VIEW],
    # The real rclpy and Fast DDS without a ROS 2 installation: for trying out, tests and CI.
    'ros': [
        'ros-kilted-common-interfaces',
        'ros-kilted-rclpy',
        'ros-kilted-rmw-fastrtps-cpp',
        'ros-kilted-rmw-implementation',
        'ros-kilted-test-msgs',  # an action, for tests
    ],
    # The site that `make docs` builds.
    'docs': [
        'mkdocs>=1.6,<2',
        'mkdocs-material>=9.5',
        'mkdocstrings>=0.26',
        'mkdocstrings-python>=1.10',
    ],
    # By which colcon test knows that there are tests, and of what kind.
    'test': ['pytest>=7,<9'],
    # launch_testing's pytest plugin, part of every ROS 2 installation, breaks pytest 9.
    'dev': [
        'colcon-common-extensions',
        'hypothesis>=6.100',
        'mcap>=1.2',
        'mcap-protobuf-support>=0.5',
        'mypy>=1.10',
        'pytest>=7,<9',
        'pytest-timeout>=2.3',
        'pytest-xdist>=3.5',
        'ruff>=0.6',
        'types-pyyaml',
        'uv',
    ],
}
EXECUTABLES = {
    'motion-policy': 'motion_policy.cli.main:main',
    'policy_node': 'motion_policy.nodes.policy_node:main',
    'recorder_node': 'motion_policy.nodes.recorder_node:main',
    'replay_node': 'motion_policy.nodes.replay_node:main',
    'teleop_node': 'motion_policy.nodes.teleop_node:main',
    'sim_node': 'motion_policy.nodes.sim_node:main',
    'demonstrator_node': 'motion_policy.nodes.demonstrator_node:main',
    'rehearsal_node': 'motion_policy.nodes.rehearsal_node:main',
}


def share_files(*folders: str) -> list[tuple[str, list[str]]]:
    """Return the data_files entries that repeat `folders` under share/motion_policy."""
    entries: dict[str, list[str]] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob('*')):
            hidden = any(part.startswith('.') for part in path.relative_to(ROOT).parts)
            if path.is_file() and not hidden and '__pycache__' not in path.parts:
                relative = path.relative_to(ROOT)
                entries.setdefault(relative.parent.as_posix(), []).append(relative.as_posix())
    return [(f'share/{PACKAGE}/{parent}', files) for parent, files in entries.items()]


setup(
    name=PACKAGE,
    version='0.1.0',
    description='Teach a robot arm by demonstration on ROS 2: record, train, judge, run.',
    long_description=(ROOT / 'README.md').read_text() if (ROOT / 'README.md').exists() else '',
    long_description_content_type='text/markdown',
    author='The motion_policy Authors',
    maintainer=MAINTAINER.text,
    maintainer_email=MAINTAINER.get('email'),
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={
        PACKAGE: ['py.typed'],
        f'{PACKAGE}.simulation': ['*.xml', '**/*.xml'],
        f'{PACKAGE}.cockpit': ['page/*'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        *share_files('launch', 'config', 'models', 'benchmarks'),
    ],
    zip_safe=True,
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={'console_scripts': [f'{name} = {main}' for name, main in EXECUTABLES.items()]},
)
