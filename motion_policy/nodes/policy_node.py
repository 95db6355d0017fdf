# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Lifecycle node that runs a policy: a checkpoint, a controller and an arm driver.

The executor's thread stores messages and serves requests, the inference thread infers, the tick
thread commands; none of them waits for another.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from motion_policy.control import ChunkExecution, Command, Controller, Mix
from motion_policy.control.attention_image import attended
from motion_policy.control.camera_monitor import CameraMonitor
from motion_policy.control.lookahead import Plan
from motion_policy.control.policy_runner import PolicyFacts
from motion_policy.errors import UserError
from motion_policy.inference.foresight_sources import ForesightSource
from motion_policy.inference.policy_process import InferenceProcess
from motion_policy.inference.policy_setup import PolicySetup
from motion_policy.inference.policy_thread import InferenceThread, PolicyStep, Runner
from motion_policy.inference.shared_frames import ReadyFrames
from motion_policy.nodes import diagnostics
from motion_policy.nodes.arm_driver import ArmDriver, make_controller
from motion_policy.nodes.arm_node import INSPECTION_PERIOD_S, TELL_PERIOD_S, ArmNode
from motion_policy.nodes.arm_services import ArmServices
from motion_policy.nodes.commands import trajectory_message
from motion_policy.nodes.foresight import make_foresight
from motion_policy.nodes.parameters.arm import ControlParameters
from motion_policy.nodes.parameters.declaring import declare_group, read_group
from motion_policy.nodes.parameters.policy import (
    ChunkParameters,
    InferenceParameters,
    PolicyParameters,
)
from motion_policy.nodes.realtime import cpus_named
from motion_policy.nodes.shell import run_node
from motion_policy.nodes.subscriptions import fields_of
from motion_policy.nodes.takeover import Takeover, make_takeover
from motion_policy.policies import load_policy
from motion_policy.policies.backends.selection import BackEndChoice
from motion_policy.policies.camera_view import CameraView
from motion_policy.policies.checkpoint import read_checkpoint
from motion_policy.policies.cpu.allocator import keep_freed_memory
from motion_policy.policies.robot_fit import other_fits
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.streams import Observation, Row
from motion_policy.streams.message_fields import with_known_fields

ERROR_PERIOD_S = 5.0


class PolicyNode(ArmNode):
    """configure: load, warm up, subscribe; activate: tick; `~/enable`: move."""

    def __init__(self, **options: Any) -> None:
        super().__init__('policy_node', **options)
        declare_group(self, PolicyParameters)
        parameters = read_group(self, PolicyParameters)
        if parameters.autostart:
            named_checkpoint(parameters)  # nobody is there to name one and configure again
        self._inference: InferenceThread | None = None
        self._foresight: ForesightSource | None = None
        self._frames: ReadyFrames | None = None
        self._robot: RobotSpec | None = None
        self._views: dict[str, CameraView] = {}
        self._takeover: Takeover | None = None
        self._no_takeover = ''
        self._plan = self.create_publisher(JointTrajectory, '~/plan', 1)
        self._attention = self.create_publisher(Image, '~/attention', 1)
        self._prediction_error = self.create_publisher(Float64, '~/surprise', 10)
        self._arm_services = ArmServices(
            self, self._enable, self._disable, self._reset, self._home
        )
        for name, action in (
            ('~/takeover', lambda on: self._taken().ask(on)),
            ('~/clutch', lambda on: self._taken().leading.clutch(on)),
            ('~/gripper', lambda on: self._taken().grip(on)),
        ):
            self.create_service(SetBool, name, self._answer(action))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(TELL_PERIOD_S, self._tell, clock=steady)
        self.create_timer(INSPECTION_PERIOD_S, self._inspect, clock=steady)
        if parameters.autostart:
            self._start_by_itself()

    def _release(self) -> None:
        """End the threads, and what a person takes over with."""
        if self._takeover is not None:
            self._takeover.destroy()
            self._takeover = None
        if self._foresight is not None:
            self._foresight.close()
            self._foresight = None
        if self._inference is not None:
            self._inference.stop()
            self._inference = None
        self._frames = None

    def wants_extras(self) -> bool:
        """Whether anybody looks at `~/attention`, or at what the policy predicts."""
        foresight = self._foresight
        return self._attention_wanted() or (foresight is not None and foresight.needs_extras)

    def take_step(self, step: PolicyStep) -> None:
        """Give the chunk to the controller, then show it; called in the inference thread."""
        driver = self._driver
        if driver is None:
            return
        with driver.lock:
            driver.controller.add_chunk(step.chunk, step.observation_ns)
        foresight = self._foresight
        if foresight is not None:
            foresight.take_step(step)
        try:
            self._show(driver, step)
        except Exception:
            if self.context.ok():
                self.get_logger().error(
                    f'not shown: {traceback.format_exc()}', throttle_duration_sec=ERROR_PERIOD_S
                )

    def _reject(self, row: Row, camera: str, reason: str) -> Row:
        assert self._driver is not None
        return self._driver.reject(row, camera, reason)

    def take_failure(self, reason: str, observation_ns: int) -> None:
        """Let the arm hold; called in the inference thread."""
        if self._driver is not None:
            with self._driver.lock:
                self._driver.controller.policy_failed(reason, observation_ns)

    def _configure(self) -> None:
        parameters = read_group(self, PolicyParameters)
        checkpoint, device = read_checkpoint(named_checkpoint(parameters)), parameters.device
        spec = checkpoint.spec
        robot = load_robot_spec(parameters.robot) if parameters.robot else spec.robot
        used = {name: vector for name, vector in robot.vectors.items() if name in spec.inputs}
        robot = with_known_fields(robot.model_copy(update={'vectors': used}), fields_of)
        self._robot, self._views = robot, {camera: spec.view(camera) for camera in spec.cameras}
        for line in other_fits(checkpoint, robot):
            self.get_logger().warning(line)
        mix = Mix(**dict(parameters.mix))
        chunks = execution_of_parameters(parameters.chunk)
        back_end = BackEndChoice(parameters.backend, parameters.precision)

        setup = PolicySetup(
            checkpoint, robot, device, parameters.threads, mix, chunks, back_end,
            cpus_named(parameters.inference.cpus, 'inference.cpus'),
        )  # fmt: skip
        make_runner = self._runner_maker(setup, parameters.inference)
        watch = CameraMonitor(
            robot,
            parameters.max_frozen,
            parameters.min_brightness,
            parameters.max_frozen_at_rest,
        )
        self._inference = inference = InferenceThread(robot, self, watch, self._reject)
        runner = inference.start(make_runner)
        controller = self._make_controller(robot, runner.facts, chunks)
        self._foresight = make_foresight(
            self, parameters, read_group(self, ControlParameters).realtime, setup, controller,
            self._current_plan, self._prediction_error.publish,
        )  # fmt: skip
        self._frames = runner.ready if isinstance(runner, InferenceProcess) else None
        self._driver = ArmDriver(self, robot, controller, self, spec.cameras, spec.inputs)
        self._driver.check_topics()
        self._make_takeover(robot, parameters)
        self.get_logger().info(
            f"'{checkpoint.name}' ({spec.kind}, {spec.rate:g} Hz) drives '{robot.name}' at "
            f'{robot.rate:g} Hz on {device}' + ('' if mix == Mix() else f', mix {mix}')
        )

    def _make_takeover(self, robot: RobotSpec, parameters: PolicyParameters) -> None:
        """Let a person take over where that is possible; else remember why not."""
        assert self._driver is not None
        try:
            if not parameters.takeover.allowed:
                raise UserError("parameter 'takeover.allowed' is false")
            self._takeover = make_takeover(
                self, robot, self._driver, parameters.clutch, self._forget_prediction_errors
            )
        except UserError as error:
            self._no_takeover = str(error)
            if robot.teleop is not None and parameters.takeover.allowed:
                self.get_logger().warning(f'nobody can take over: {error}')

    def _current_plan(self) -> Plan | None:
        driver = self._driver
        if driver is None:
            return None
        with driver.lock:
            return driver.controller.plan()

    def _runner_maker(
        self, setup: PolicySetup, parameters: InferenceParameters
    ) -> Callable[[], Runner]:
        say, isolation = self.get_logger().info, parameters.isolation
        apart = isolation == 'process' or (isolation == 'auto' and setup.answers_chunks)

        def make_runner() -> Runner:
            if apart:
                process = InferenceProcess(
                    setup, say, parameters.timeout, parameters.start_timeout
                )
                self.prepare_thread()  # all that is left to this one is to hand images over
                return process
            return setup.make_runner(say, load_policy)

        return make_runner

    def _make_controller(
        self, robot: RobotSpec, policy: PolicyFacts, chunks: ChunkExecution
    ) -> Controller:
        if policy.chunk_rows == 1:
            return make_controller(self, robot, policy.period_ns)
        self.get_logger().info(f'chunks of {policy.chunk_rows} rows: {chunks}')
        return make_controller(
            self, robot, policy.period_ns, chunks=chunks, first_due_ns=policy.first_due_ns
        )

    def before_command(self, row: Row) -> None:
        """Hand an observation to the inference thread; called in the tick thread."""
        driver, inference = self._driver, self._inference
        if driver is None or inference is None:
            return
        # A reset in between must find the request either waiting or not made yet.
        with driver.lock:
            inference.request(row, driver.controller.valid_since_ns, driver.joints())

    def after_look(self, row: Row) -> None:
        """Let a person take over, or drive; called in the tick thread."""
        if self._takeover is not None:
            self._takeover.after_look(row)

    def action_due(self, row: Row) -> None:
        """Wake who was asked, once the command is out; called in the tick thread."""
        if self._inference is not None:
            self._inference.wake()

    def after_tick(self, row: Row, command: Command | None) -> None:
        """Let who watches take part."""
        if self._foresight is not None and not self._by_hand:
            self._foresight.follow(row, command)
        if self._takeover is not None:
            self._takeover.after_tick(row, command)

    def image_came(self, camera: str, message: Any) -> None:
        """Lay it where the policy's own process finds it."""
        if self._frames is not None:
            self._frames.put(camera, message)

    def faults(self) -> dict[str, str]:
        """A prediction error that lets the arm hold, or the leader of a person who drives."""
        foresight, takeover = self._foresight, self._takeover
        faults = {} if takeover is None else takeover.faults()
        return faults if foresight is None or self._by_hand else foresight.watch.faults()

    def check_observation(self, observation: Observation) -> None:
        """UserError if the policy cannot work with it."""
        self._configured()[1].check_observation(observation)

    def statuses(self) -> list[DiagnosticStatus]:
        """Of the policy, and of who watches it."""
        if self._inference is None or self._robot is None:
            return []
        name = self.get_fully_qualified_name()
        values = diagnostics.durations('inference latency', self._inference.latency)
        statuses = [diagnostics.status(f'{name}: policy', self._robot.name, 'inference', values)]
        if self._foresight is not None:
            statuses.append(self._foresight.watch.status(name, self._robot.name))
        if self._takeover is not None:
            statuses += self._takeover.statuses()
        return statuses

    def _enable(self) -> str:
        driver, inference = self._configured()
        if not driver.controller.enabled:
            with driver.lock_in_time():
                inference.reset()
                self._forget_prediction_errors()
        return driver.enable()

    def _disable(self) -> str:
        return self._configured()[0].disable()

    def _home(self) -> str:
        return self._configured()[0].home()

    def _reset(self) -> str:
        driver, inference = self._configured()
        with driver.lock_in_time():
            inference.reset()
            done = driver.reset()
            self._forget_prediction_errors()  # what is still looked at is from before the reset
            return done

    @property
    def _by_hand(self) -> bool:
        """Whether a person drives: what the policy foresaw does not happen."""
        return self._driver is not None and self._driver.controller.by_hand

    def _taken(self) -> Takeover:
        self._configured()
        if self._takeover is None:
            raise UserError(f'nobody can take over: {self._no_takeover}')
        return self._takeover

    def _answer(self, action: Callable[[bool], str]) -> Callable[[Any, Any], Any]:
        def answer(request: Any, response: Any) -> Any:
            return self._arm_services.answer(response, lambda: action(request.data))

        return answer

    def _tell(self) -> None:
        if self._takeover is not None:
            self._takeover.tell()

    def _inspect(self) -> None:
        if self._takeover is not None:
            self._takeover.leading.source.inspect()

    def _forget_prediction_errors(self) -> None:
        if self._foresight is not None:
            self._foresight.reset()

    def _configured(self) -> tuple[ArmDriver, InferenceThread]:
        if self._driver is None or self._inference is None:
            raise UserError('the node is not configured: configure and activate it first')
        return self._driver, self._inference

    def _show(self, driver: ArmDriver, step: PolicyStep) -> None:
        if self._plan.get_subscription_count():
            now_ns = self.get_clock().now().nanoseconds
            with driver.lock:
                plan_ns = driver.controller.plan_time_ns(now_ns)
                times_ns, rows = driver.controller.buffer.upcoming(plan_ns)
            names = driver.controller.robot.joints.names
            self._plan.publish(trajectory_message(names, rows, (times_ns - plan_ns).tolist()))
        looked_at = [name for name in self._views if _attention_of(name, step.extras)]
        if looked_at and self._attention_wanted():
            self._attention.publish(self._attention_message(step, looked_at[0]))

    def _attention_wanted(self) -> bool:
        watched = self._attention.get_subscription_count() > 0
        return watched and read_group(self, PolicyParameters).publish_attention

    def _attention_message(self, step: PolicyStep, camera: str) -> Image:
        view = self._views[camera]
        image = attended(view, step.observation.image(camera), step.extras).drawn()
        height, width = image.shape[:2]
        message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        message.header.frame_id = camera
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            step.observation_ns, 1_000_000_000
        )
        message.data.frombytes(image)
        return message


def named_checkpoint(parameters: PolicyParameters) -> str:
    """The checkpoint that the parameters name; UserError if they name none."""
    if not parameters.checkpoint:
        raise UserError("parameter 'checkpoint' is empty, expected a folder or a model's name")
    return parameters.checkpoint


def execution_of_parameters(parameters: ChunkParameters) -> ChunkExecution:
    """What the parameters say of chunks."""
    return ChunkExecution(
        execute=parameters.execute,
        crossfade_s=parameters.crossfade,
        ensemble=parameters.ensemble,
        timeout_s=parameters.timeout,
    )


def _attention_of(camera: str, extras: Mapping[str, Any]) -> bool:
    return f'encoder_points/{camera}' in extras or f'attention/{camera}' in extras


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; see `ros2 param describe` for its parameters."""
    keep_freed_memory()  # or every image costs twice its time
    return run_node(PolicyNode, args, images='in')


if __name__ == '__main__':
    raise SystemExit(main())
