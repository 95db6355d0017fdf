# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Node of the simulated arm: obeys joint commands, publishes joint states and cameras.

Everything runs in one thread (an OpenGL context belongs to the thread that made it): callbacks
are served between the steps of the physics, whose deadlines are absolute.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger

from motion_policy.errors import UserError
from motion_policy.nodes.executor import MessagesFirst, Stop
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.simulation import SceneParameters, SimParameters
from motion_policy.nodes.shell import run_node
from motion_policy.robot import load_robot_spec
from motion_policy.robot.spec import WRENCH
from motion_policy.simulation import SCENES, check_scene_robot, make_simulation
from motion_policy.simulation.pacing import Divider, Pacer

NANOSECONDS_PER_S = 1_000_000_000
COMMAND_QOS = QoSProfile(depth=1)
STATE_QOS = QoSProfile(depth=10)
LATCHED_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
WARNING_PERIOD_S = 5.0
MAX_LAG_NS = 100_000_000


class SimNode(Node):
    """Shell around a simulated scene; topics and image sizes are those of the robot spec."""

    def __init__(self, **options: Any) -> None:
        super().__init__('sim_node', **options)
        scene_name = self._declare_parameters()
        parameters = read_group(self, SimParameters)
        self._robot = load_robot_spec(parameters.robot)
        self._rate_hz = parameters.joint_state_rate
        self._speed = parameters.real_time_factor
        self._publish_clock = parameters.publish_clock
        self._check_speed(self._speed)
        self._dividers = {
            name: Divider(rate_hz, self._rate_hz)
            for name, rate_hz in (
                ('camera', parameters.camera_rate),
                ('cube_pose', parameters.cube_pose_rate),
                ('success', parameters.success_rate),
            )
        }
        self._seed = parameters.seed
        check_scene_robot(scene_name, self._robot)
        self._sim = make_simulation(scene_name, self._seed)
        self._period_ns = round(NANOSECONDS_PER_S / self._rate_hz)
        self.pacer = self._make_pacer()
        self.steps = 0
        self._command: np.ndarray | None = None
        self._was_success = False
        self._create_interfaces()
        self._reset()
        # The first image of a camera takes far longer than the later ones.
        for name in self._cameras:
            self._image(name, Time())

    def _declare_parameters(self) -> str:
        """Return the name of the scene, on which some defaults depend."""
        declare_group(self, SceneParameters)
        name = read_group(self, SceneParameters).scene
        scene = SCENES[name]
        declare_group(
            self,
            SimParameters,
            defaults={'robot': scene.robot, 'cube': scene.usual_place},
            notes={'cube': scene.places},
            on_change={'real_time_factor': self._change_speed},
        )
        return name

    def _create_interfaces(self) -> None:
        joints = self._robot.joints
        self._command_topic = joints.command[0].topic
        self._joint_states = self.create_publisher(JointState, joints.state[0].topic, STATE_QOS)
        self._cameras = {
            name: self.create_publisher(Image, camera.topic, STATE_QOS)
            for name, camera in self._robot.cameras.items()
        }
        self._wrenches = [
            self.create_publisher(WrenchStamped, topic, STATE_QOS)
            for topic in dict.fromkeys(
                vector.topic for vector in self._robot.vectors.values() if vector.type == WRENCH
            )
            if self._sim.wrench is not None
        ]
        self._cube_pose = self.create_publisher(PoseStamped, 'cube_pose', STATE_QOS)
        self._success = self.create_publisher(Bool, '~/success', LATCHED_QOS)
        self._clock_publisher = (
            self.create_publisher(Clock, '/clock', COMMAND_QOS) if self._publish_clock else None
        )
        self.create_subscription(
            Float64MultiArray, self._command_topic, self._take_command, COMMAND_QOS
        )
        self.create_service(Trigger, '~/reset', self._serve_reset)

    def spin(self, stop: Stop) -> None:
        """Run physics and callbacks in this thread until `stop` is set or the context ends."""
        executor = MessagesFirst(self)
        self.pacer = self._make_pacer()
        try:
            while self.context.ok() and not stop.is_set():
                wait_ns = self.pacer.wait_ns(time.monotonic_ns())
                executor.serve(wait_ns / NANOSECONDS_PER_S)
                if self.pacer.wait_ns(time.monotonic_ns()) == 0:
                    self.step()
                    self._note_pace()
        finally:
            executor.remove_node(self)
            executor.shutdown()

    def _check_speed(self, speed: float) -> None:
        if speed != 1.0 and not self._publish_clock:
            raise UserError(
                f"parameter 'real_time_factor' is {speed}: other speeds than 1.0 need "
                "'publish_clock' true, and use_sim_time in the other nodes"
            )

    def _change_speed(self, speed: float) -> None:
        self._check_speed(speed)
        self._speed = speed
        self.pacer = self._make_pacer()

    def _make_pacer(self) -> Pacer:
        period_ns = round(self._period_ns / self._speed)
        # On /clock lost time is nobody's loss, while steps in a burst would flood the others.
        lag_ns = period_ns if self._publish_clock else MAX_LAG_NS
        return Pacer(period_ns, time.monotonic_ns(), lag_ns)

    def step(self) -> None:
        """Let one period pass and publish what is due, stamped with the time of that state."""
        self._sim.step(self._command, self._period_ns / NANOSECONDS_PER_S)
        self.steps += 1
        stamp = self._stamp()
        if self._clock_publisher is not None:
            self._clock_publisher.publish(Clock(clock=stamp))
        self._joint_states.publish(self._joint_state(stamp))
        for publisher in self._wrenches:
            publisher.publish(self._wrench(stamp))
        if self._dividers['camera'].due(self.steps):
            for name, publisher in self._cameras.items():
                if publisher.get_subscription_count():  # rendering is most of the work
                    publisher.publish(self._image(name, stamp))
        if self._dividers['cube_pose'].due(self.steps):
            self._cube_pose.publish(self._pose(stamp))
        changed = self._sim.success != self._was_success
        if changed or self._dividers['success'].due(self.steps):
            self._publish_success()

    def _stamp(self) -> Time:
        if self._publish_clock:
            seconds, nanoseconds = divmod(self.steps * self._period_ns, NANOSECONDS_PER_S)
            return Time(sec=seconds, nanosec=nanoseconds)
        return self.get_clock().now().to_msg()

    def _joint_state(self, stamp: Time) -> JointState:
        message = JointState(name=list(self._sim.joint_names))
        message.header.stamp = stamp
        message.position = self._sim.qpos.tolist()
        message.velocity = self._sim.qvel.tolist()
        message.effort = self._sim.effort.tolist()
        return message

    def _wrench(self, stamp: Time) -> WrenchStamped:
        assert self._sim.wrench is not None
        message = WrenchStamped()
        message.header.stamp = stamp
        message.header.frame_id = 'wrist'
        force, torque = message.wrench.force, message.wrench.torque
        force.x, force.y, force.z, torque.x, torque.y, torque.z = self._sim.wrench.tolist()
        return message

    def _image(self, name: str, stamp: Time) -> Image:
        camera = self._robot.cameras[name]
        image = self._sim.render(name, camera.height, camera.width)
        message = Image(height=camera.height, width=camera.width, encoding='rgb8')
        message.header.stamp = stamp
        message.header.frame_id = name
        message.step = 3 * camera.width
        message.data.frombytes(image)
        return message

    def _pose(self, stamp: Time) -> PoseStamped:
        x, y, z, qw, qx, qy, qz = self._sim.cube_pose.tolist()
        message = PoseStamped()
        message.header.stamp = stamp
        message.header.frame_id = 'table'
        position, orientation = message.pose.position, message.pose.orientation
        position.x, position.y, position.z = x, y, z
        orientation.w, orientation.x, orientation.y, orientation.z = qw, qx, qy, qz
        return message

    def _publish_success(self) -> None:
        self._was_success = self._sim.success
        self._success.publish(Bool(data=self._was_success))

    def _take_command(self, message: Float64MultiArray) -> None:
        values = np.array(message.data, np.float64)
        width = len(self._sim.joint_names)
        if values.shape == (width,) and np.isfinite(values).all():
            self._command = values
            return
        topic = self.resolve_topic_name(self._command_topic)
        self.get_logger().warning(
            f'command on {topic} refused: {values.tolist()}; expected {width} finite numbers',
            throttle_duration_sec=WARNING_PERIOD_S,
        )

    def _reset(self) -> str:
        parameters = read_group(self, SimParameters)
        cube, seed = parameters.cube, parameters.seed
        try:
            self._sim.reset(cube, seed if seed != self._seed else None)
        except UserError as error:
            raise UserError(f"parameter 'cube': {error}") from error
        self._seed = seed
        self._command = None
        self._publish_success()
        x, y = self._sim.cube_pose[:2]
        line = f'arm at home, cube at {cube} (x {x:.3f} m, y {y:.3f} m)'
        self.get_logger().info(line)
        return line

    def _serve_reset(self, _request: Any, response: Any) -> Any:
        try:
            response.message, response.success = self._reset(), True
        except UserError as error:
            response.message, response.success = str(error), False
            self.get_logger().error(response.message)
        return response

    def _note_pace(self) -> None:
        lost_ns = self.pacer.lost_ns
        self.pacer.step_done(time.monotonic_ns())
        if self.pacer.lost_ns > lost_ns and not self._publish_clock:
            self.get_logger().warning(
                f'the simulation fell behind: {self.pacer.lost_ns / 1e9:.1f} s lost in all, '
                f'{self.pacer.overruns} of {self.steps} steps late',
                throttle_duration_sec=WARNING_PERIOD_S,
            )

    def close(self) -> None:
        """Free the renderers; the last thing the node does."""
        if self.pacer.overruns:
            self.get_logger().info(
                f'{self.pacer.overruns} of {self.steps} steps were late, '
                f'{self.pacer.lost_ns / 1e9:.1f} s lost'
            )
        self._sim.close()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    return run_node(SimNode, args, images='out')


if __name__ == '__main__':
    raise SystemExit(main())
