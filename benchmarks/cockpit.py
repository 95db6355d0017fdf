# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What a cockpit costs, and what it may cost others.

An arm with four cameras of 640x480 (a rehearsal), teleop_node at 50 Hz and the cockpit are
processes of their own. Share of a core while somebody looks at all four; lateness of the ticks
then, against nobody looking and against no cockpit; from STOP to its answer while another process
asks for 1,000 things a second, and whether the arm that is driven meanwhile felt a limit broken.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cockpit_path.visitor import Visitor
from control_path.harness import FOLDER, PATIENCE_S, cpu_s

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement
from motion_policy.cli.processes import NodeProcesses
from motion_policy.documents import dump_yaml
from motion_policy.share import share_dir

SUMMARY = 'share of a core of the cockpit, ticks beside it, STOP in a flood of requests'
CAMERAS = ('top', 'side', 'front', 'wrist')
CAMERA_HZ = 10.0
ALLOWED_CPU = 0.25  # of one core
ALLOWED_LATER = 1.5  # times as late as without a cockpit, at the 95th percentile
ALLOWED_STOP = 5.0  # times as long as without a flood
STOPS = 10
SETTLING_S = 3.0
IMAGE = 'sensor_msgs/msg/Image'
JOINTS = ('joint1', 'joint2', 'joint3', 'joint4', 'gripper')


def lines(seconds: float, device: str) -> list[Line]:
    """All in one go: the processes are the same."""
    return [lambda: _measure(seconds)]


def _spec(folder: Path) -> Path:
    """The simulated arm with four cameras, led by a twist."""
    path = folder / 'four_cameras.yaml'
    cameras = {
        name: {'topic': f'{name}/image_raw', 'type': IMAGE, 'width': 640, 'height': 480,
               'rate': CAMERA_HZ, 'max_age': 0.5}
        for name in CAMERAS
    }  # fmt: skip
    command = {
        'topic': 'forward_position_controller/commands', 'type': 'std_msgs/msg/Float64MultiArray',
    }  # fmt: skip
    limits = {
        'position': [[-2.8, 2.8], [-1.7, 1.7], [-1.7, 1.5], [-1.8, 2.0], [-0.01, 0.019]],
        'velocity': [3.0, 3.0, 3.0, 3.0, 0.2],
        'acceleration': [20.0, 20.0, 20.0, 20.0, 2.0],
    }
    state = {'topic': 'joint_states', 'type': 'sensor_msgs/msg/JointState'}
    joints = {'names': list(JOINTS), 'state': state, 'command': command, 'limits': limits}
    urdf = str(share_dir() / 'config' / 'robots' / 'tabletop_arm.urdf')
    path.write_text(dump_yaml({
        'name': 'four_cameras', 'rate': 50.0, 'joints': joints, 'cameras': cameras,
        'home': [0.0, -0.9, 0.5, 0.9, 0.015], 'tool': {'link': 'tool', 'urdf': urdf},
        'teleop': {'twist': {'topic': 'cmd_vel', 'type': 'geometry_msgs/msg/Twist'}},
    }))  # fmt: skip
    return path


class Ticks:
    """Hears on /diagnostics how late the ticks of teleop_node are."""

    def __init__(self) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('bench_ticks', context=self._context)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._hear, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.late_ms: list[float] = []
        self.missed = 0
        self._ended = False
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._ended = True
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def over(self, seconds: float) -> tuple[float, int]:
        """The 95th percentile [ms] as told in the second half, and how many ticks were missed."""
        before = self.missed
        time.sleep(seconds / 2)
        self.late_ms.clear()
        time.sleep(seconds / 2)
        return float(np.median(self.late_ms)), self.missed - before

    def _spin(self) -> None:
        while not self._ended:
            self._executor.spin_once(timeout_sec=0.1)

    def _hear(self, message: Any) -> None:
        for status in message.status:
            if status.name.endswith('teleop_node: control'):
                values = {pair.key: pair.value for pair in status.values}
                if 'tick lateness p95 [ms]' in values:
                    self.late_ms.append(float(values['tick lateness p95 [ms]']))
                    self.missed = int(values['missed ticks'])


def _measure(seconds: float) -> Iterator[Measurement]:
    with NodeProcesses() as processes:
        spec = _spec(processes.log_dir)
        arm = processes.start(
            'rehearsal', 'motion_policy.nodes.rehearsal_node',
            ['--ros-args', '-p', f'robot:={spec}'],
        )  # fmt: skip
        processes.start_node(
            'teleop_node',
            {'robot': spec, 'autostart': True, 'diagnostics_period': 0.2,
             'require_emergency_stop': False},
        )  # fmt: skip
        ticks = Ticks()
        try:
            _wait(processes, lambda: bool(ticks.late_ms), 'ticks')
            time.sleep(SETTLING_S)
            alone_ms, alone_missed = ticks.over(seconds)
            cockpit = processes.start(
                'cockpit', 'motion_policy.cli.main',
                ['cockpit', '--robot', str(spec), '--port', '0'],
                env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            )  # fmt: skip
            log = processes.log_dir / 'cockpit.log'
            _wait(processes, lambda: 'http://' in log.read_text(), 'the cockpit')
            url = log.read_text().split('http://')[1].split()[0]
            time.sleep(SETTLING_S)
            resting = _Share(cockpit.pid)
            beside_ms, _ = ticks.over(seconds)
            resting_cpu = resting.until_now()
            with Visitor(f'http://{url}') as visitor:
                visitor.look()
                visitor.wait(lambda: visitor.frames > len(CAMERAS), 'images')
                time.sleep(SETTLING_S)
                looking, frames, sent = _Share(cockpit.pid), visitor.frames, visitor.bytes
                viewed_ms, viewed_missed = ticks.over(seconds)
                cpu, passed_s = looking.until_now(), looking.seconds
                frames, sent = visitor.frames - frames, visitor.bytes - sent
                yield Measurement(
                    what=f'cockpit with {len(CAMERAS)} cameras of 640x480 viewed at 10 Hz',
                    ours=cpu, reference=1.0, reference_name='one core', unit='share of a core',
                    target=ALLOWED_CPU,
                    details={
                        'nobody_looks': resting_cpu, 'images_per_s': frames / passed_s,
                        'mb_per_s': sent / passed_s * 1e-6,
                    },
                )  # fmt: skip
                yield Measurement(
                    what='lateness of the ticks of teleop_node at 50 Hz, while somebody looks',
                    ours=viewed_ms, reference=alone_ms, reference_name='no cockpit',
                    unit='ms, 95th percentile', target=ALLOWED_LATER,
                    details={'nobody_looks_ms': beside_ms, 'missed': viewed_missed,
                             'missed_without': alone_missed},
                )  # fmt: skip
                yield from _in_a_flood(visitor, seconds, arm)
        finally:
            ticks.close()


def _in_a_flood(visitor: Visitor, seconds: float, arm: Any) -> Iterator[Measurement]:
    visitor.say(do='seat', take=True)
    quiet = [_stop_ms(visitor) for _ in range(STOPS)]
    port = visitor._url.rpartition(':')[2]
    flood = subprocess.Popen(
        [sys.executable, '-m', 'cockpit_path.flood', port, str(seconds + SETTLING_S)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, 'PYTHONPATH': FOLDER},
    )  # fmt: skip
    time.sleep(1.0)
    visitor.say(do='command', number=1, node='teleop_node', what='enable')
    turns, stood = 0, set()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        visitor.drive([0.5 * (-1) ** turns, 0.3, 0.0, 0.0, 0.0, 0.0])
        turns += 1
        time.sleep(0.5)
        stood.add(str(visitor.newest['state']['joints']['commanded']))
    if len(stood) < turns / 2:
        raise RuntimeError(f'the arm was hardly moved in the flood: {stood}')
    flooded = [_stop_ms(visitor) for _ in range(STOPS)]
    visitor.drive(None)
    asked = int(flood.communicate(timeout=PATIENCE_S)[0])
    arm.send_signal(signal.SIGINT)
    arm.wait(PATIENCE_S)
    yield Measurement(
        what='from STOP to the answer of the node, in a flood of requests',
        ours=float(np.median(flooded)), reference=float(np.median(quiet)),
        reference_name='without the flood', unit='ms, median', target=ALLOWED_STOP,
        details={
            'greatest_ms': max(flooded), 'requests_per_s': asked / (seconds + SETTLING_S),
            'arm_felt_a_limit_broken': arm.returncode == 1,
            'places_driven_to': len(stood),
        },
    )  # fmt: skip
    if arm.returncode != 0:
        raise RuntimeError(f'the arm ended with {arm.returncode}: a limit was broken')


def _stop_ms(visitor: Visitor) -> float:
    began_s, stops = time.monotonic(), visitor.stops
    visitor.say(do='stop')
    visitor.wait(lambda: visitor.stops > stops, 'the answer to STOP')
    return (time.monotonic() - began_s) * 1e3


def _wait(processes: NodeProcesses, condition: Any, what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        processes.check()
        if time.monotonic() > end_s:
            raise RuntimeError(f'waited {PATIENCE_S:g} s for {what}')
        time.sleep(0.05)


class _Share:
    """The share of one core that a process takes from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began_s, self._cpu_s = time.monotonic(), cpu_s(pid)
        self.seconds = 0.0

    def until_now(self) -> float:
        self.seconds = time.monotonic() - self._began_s
        return (cpu_s(self._pid) - self._cpu_s) / self.seconds


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
