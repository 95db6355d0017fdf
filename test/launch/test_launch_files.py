# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files, run by the real `launch`: nodes come up, obey, and end with a held arm."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm
from repository import ROOT, python_path

pytest.importorskip('rclpy')

import yaml
from fake_arm import LOSSLESS, FakeArm, assert_safe, save_random_policy
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from ros_testing import Bench
from slow_episode import write_slow_episode
from std_srvs.srv import Trigger

from motion_policy.robot import RobotSpec, load_robot_spec

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        importlib.util.find_spec('launch_ros') is None,
        reason='launch and launch_ros cannot be imported: no wheel has them, every ROS 2 does',
    ),
]

NODES = (
    'policy_node', 'recorder_node', 'replay_node', 'sim_node', 'demonstrator_node',
    'rehearsal_node', 'teleop_node',
)  # fmt: skip
ROBOT = formula_arm()
ANSWER_S = 5.0


@pytest.fixture(scope='module')
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ament prefix whose executables are the nodes of this checkout."""
    prefix = tmp_path_factory.mktemp('prefix')
    marker = prefix / 'share/ament_index/resource_index/packages/motion_policy'
    marker.parent.mkdir(parents=True)
    marker.touch()
    executables = prefix / 'lib/motion_policy'
    executables.mkdir(parents=True)
    for name in NODES:
        script = executables / name
        script.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -m motion_policy.nodes.{name} "$@"\n'
        )
        script.chmod(0o755)
    return prefix


@pytest.fixture(scope='module')
def lossless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a params_file argument with which no command is dropped on a busy machine."""
    path = tmp_path_factory.mktemp('parameters') / 'lossless.yaml'
    path.write_text(yaml.safe_dump({'/**': {'ros__parameters': LOSSLESS}}))
    return f'params_file:={path}'


@contextmanager
def launched(
    bench: Bench, prefix: Path, name: str | Path, *arguments: str, killed: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a launch file, of ours by name; at the end SIGINT, and nothing may be left running.

    `killed` nodes die because the test wants it.
    """
    path = name if isinstance(name, Path) else ROOT / f'launch/{name}.launch.py'
    command = [sys.executable, str(ROOT / 'test/support/launch_process.py'), str(path), *arguments]
    prefixes = [str(prefix), os.environ.get('AMENT_PREFIX_PATH', '')]
    environment = {
        **os.environ,
        'AMENT_PREFIX_PATH': os.pathsep.join(prefixes),
        'PYTHONPATH': python_path(),
        'ROS_LOG_DIR': str(prefix / 'log'),
    }
    # A file, not a pipe: a pipe that nobody reads would stop the nodes.
    with tempfile.TemporaryFile('w+') as output_file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
            bench.spin_until(lambda: process.poll() is not None, 'the end of the launch')
            with pytest.raises(ProcessLookupError):
                os.killpg(process.pid, 0)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            output_file.seek(0)
            output = output_file.read()
            print(output)
    assert process.returncode == 0
    assert 'Traceback' not in output and output.count('process has died') == killed
    assert output.count('process has finished cleanly') == output.count('process started') - killed


def parameter(bench: Bench, node: str, name: str) -> object:
    """Return a string or bool parameter of a running node."""
    request = GetParameters.Request(names=[name])
    (value,) = bench.call(GetParameters, f'{node}/get_parameters', request).values
    return value.bool_value if value.type == 1 else value.string_value


def test_policy_launch_moves_the_arm_and_ends_with_a_held_position(
    bench: Bench, prefix: Path, checkpoint: Path, lossless: str
) -> None:
    arm = FakeArm(bench, ROBOT)
    with launched(bench, prefix, 'policy', f'checkpoint:={checkpoint}', lossless):
        arm.enable_when_ready()
        arm.hear(60)
    arm.wait_for_silence()
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])
    assert_safe(arm.commands, ROBOT)


def test_two_robots_in_two_namespaces_do_not_hear_each_other(
    bench: Bench, prefix: Path, checkpoint: Path, tmp_path: Path
) -> None:
    params_file = tmp_path / 'params.yaml'
    params_file.write_text('/**/policy_node:\n  ros__parameters:\n    latch_faults: true\n')
    arguments = (f'checkpoint:={checkpoint}', f'params_file:={params_file}', 'autostart:=false')
    with (
        launched(bench, prefix, 'policy', 'namespace:=left', *arguments),
        launched(bench, prefix, 'policy', 'namespace:=right', *arguments),
    ):
        for side in ('left', 'right'):
            state = bench.call(GetState, f'/{side}/policy_node/get_state')
            assert state.current_state.label == 'unconfigured'
            assert parameter(bench, f'/{side}/policy_node', 'latch_faults') is True
            assert parameter(bench, f'/{side}/policy_node', 'checkpoint') == str(checkpoint)


class Side:
    """The bench as seen from a namespace, for one of several arms."""

    def __init__(self, bench: Bench, namespace: str) -> None:
        self.client = Node('test_client', namespace=namespace, context=bench.context)
        bench.add(self.client)
        self.executor, self.spin_until = bench.executor, bench.spin_until

    def call(self, kind: Any, service: str, request: Any | None = None) -> Any:
        """Call a service there; again where no answer comes.

        DDS knows a node that was killed for a while longer, and a request may go to it alone.
        """
        client = self.client.create_client(kind, service)
        answers: list[Any] = []
        while not answers:
            self.spin_until(client.service_is_ready, service)
            future = client.call_async(kind.Request() if request is None else request)
            future.add_done_callback(lambda done: answers.append(done.result()))
            self.executor.spin_until_future_complete(future, timeout_sec=ANSWER_S)
        self.client.destroy_client(client)
        return answers[0]


def children(parent: int, word: str) -> list[int]:
    """Return the processes that `parent` started with this word in their command line."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):
            words = (folder / 'cmdline').read_bytes().decode()
            of_parent = f'PPid:\t{parent}\n' in (folder / 'status').read_text()
            found += [int(folder.name)] if of_parent and word in words else []
    return found


OWN_LAUNCH_FILE = """
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def generate_launch_description():
    def robot(side):
        arguments = {{'namespace': side, 'checkpoint': {checkpoint!r}, 'use_respawn': 'true',
                      'require_emergency_stop': 'false'}}
        source = PythonLaunchDescriptionSource({policy_launch!r})
        include = IncludeLaunchDescription(source, launch_arguments=arguments.items())
        return GroupAction([include])
    return LaunchDescription([robot('left'), robot('right')])
"""


def test_two_robots_of_a_users_own_launch_file_move_side_by_side_and_one_is_respawned(
    bench: Bench, prefix: Path, checkpoint: Path, tmp_path: Path
) -> None:
    own = tmp_path / 'two_robots.launch.py'
    own.write_text(
        OWN_LAUNCH_FILE.format(
            checkpoint=str(checkpoint),
            policy_launch=str(ROOT / 'launch/policy.launch.py'),
        )
    )
    left, right = (FakeArm(Side(bench, side), ROBOT) for side in ('left', 'right'))  # type: ignore[arg-type]
    with launched(bench, prefix, own, killed=1) as launch:
        left.enable_when_ready()
        right.enable_when_ready()
        left.hear(60)
        right.hear(60)
        assert left.enable(False).success
        left.wait_for_silence()
        right.hear(30)  # one has nothing to do with the other
        left.enable_when_ready()
        left.hear(30)
        (node,) = children(launch.pid, '__ns:=/left')
        os.kill(node, signal.SIGKILL)
        left.wait_for_silence()
        right.hear(30)
        left.enable_when_ready()  # not before: the new node waits for its operator
        left.hear(30)
    # Limits are tested with one arm: on a busy machine this process misses commands of two.
    for arm in (left, right):
        arm.wait_for_silence()
        np.testing.assert_array_equal(arm.commands[-1], arm.commands[-2])


def test_record_launch_starts_a_recorder_with_its_arguments(
    bench: Bench, prefix: Path, tmp_path: Path
) -> None:
    arguments = ('robot:=tabletop_sim', f'directory:={tmp_path}', 'task:=5')
    with launched(bench, prefix, 'record', *arguments):
        assert parameter(bench, 'recorder_node', 'directory') == str(tmp_path)
        assert parameter(bench, 'recorder_node', 'task') == '5'
        answer = bench.call(Trigger, 'recorder_node/start')
        assert not answer.success and 'top/image_raw' in answer.message


@pytest.mark.parametrize(('name', 'missing'), [('policy', 'checkpoint'), ('record', 'robot')])
def test_what_drives_or_records_a_real_arm_has_no_default(
    bench: Bench, prefix: Path, name: str, missing: str
) -> None:
    command = [sys.executable, str(ROOT / 'test/support/launch_process.py')]
    command.append(str(ROOT / f'launch/{name}.launch.py'))
    prefixes = [str(prefix), os.environ.get('AMENT_PREFIX_PATH', '')]
    environment = {
        **os.environ,
        'AMENT_PREFIX_PATH': os.pathsep.join(prefixes),
        'PYTHONPATH': python_path(),
        'ROS_LOG_DIR': str(prefix / 'log'),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert told.count(f"error: parameter '{missing}' is empty, expected a") == 1
    assert 'exit code 2' in told and 'Traceback' not in told


def test_replay_launch_plays_an_episode(
    bench: Bench, prefix: Path, tmp_path: Path, lossless: str
) -> None:
    arm = FakeArm(bench, ROBOT, 'replay_node')
    path = write_slow_episode(tmp_path / 'episode_000000.hdf5')
    robot = tmp_path / 'robot.yaml'
    robot.write_text(ROBOT.to_yaml())
    with launched(bench, prefix, 'replay', f'episode:={path}', f'robot:={robot}', lossless):
        arm.enable_when_ready()
        arm.hear(60)
    arm.wait_for_silence()
    assert_safe(arm.commands, ROBOT)


@pytest.mark.parametrize('use_sim_time', ['false', 'True'])
def test_demo_launch_lets_the_policy_drive_the_simulated_arm(
    bench: Bench, prefix: Path, tmp_path: Path, lossless: str, use_sim_time: str
) -> None:
    robot: RobotSpec = load_robot_spec('tabletop_sim')
    checkpoint = save_random_policy(tmp_path / 'random', robot)
    arm = FakeArm(bench, robot, publishes=False)
    arguments = (f'checkpoint:={checkpoint}', 'cube:=B', f'use_sim_time:={use_sim_time}')
    with launched(bench, prefix, 'demo', *arguments, lossless):
        assert parameter(bench, 'sim_node', 'cube') == 'B'
        arm.enable_when_ready()
        arm.hear(60)
    # In true time commands come when /clock does; a busy machine misses some steps of it.
    simulated = use_sim_time == 'True'
    first, commands = arm.commands[0], arm.commands
    assert_safe(commands, robot, first, simulated_time=simulated, steps_only=simulated)


@pytest.mark.parametrize(
    ('distribution', 'expected'),
    [
        ('humble', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        ('lyrical', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_nodes_get_the_profile_under_the_one_name_that_their_distribution_reads(
    distribution: str, expected: str
) -> None:
    script = (
        'import sys\n'
        'from launch import LaunchDescription, LaunchService\n'
        'from launch.actions import ExecuteProcess\n'
        'from motion_policy.nodes.launch_arguments import middleware_settings\n'
        'show = ExecuteProcess(cmd=[sys.executable, "-c", sys.argv[1]], output="screen")\n'
        'service = LaunchService()\n'
        'service.include_launch_description(LaunchDescription([*middleware_settings(), show]))\n'
        'sys.exit(service.run())\n'
    )
    source = 'import os; print([k for k in os.environ if "DEFAULT_PROFILES_FILE" in k])'
    paths = python_path()
    done = subprocess.run(
        [sys.executable, '-c', script, source],
        env={**os.environ, 'PYTHONPATH': paths, 'ROS_DISTRO': distribution},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"['{expected}']" in done.stdout
