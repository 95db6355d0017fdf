# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Closed-loop rollout: a policy drives a simulated arm through the real controller.

The loop stands here once: joint states and camera frames are stamped when they happen, the same
sampler picks what the policy sees, the same controller makes every command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from motion_policy.control import Command, Controller
from motion_policy.control.lookahead import Plan
from motion_policy.control.observing import robot_as_seen
from motion_policy.evaluation.scenes import Simulation
from motion_policy.evaluation.simulated_vectors import SimulatedVectors
from motion_policy.robot import RobotSpec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation, Row, Sample, Sampler, observation_from_row

if TYPE_CHECKING:
    from motion_policy.simulation.disturbances import Disturbance

Float64Array = npt.NDArray[np.float64]

# A stamp of 0 means "no stamp" in ROS, so simulated time begins later.
START_NS = NANOSECONDS_PER_S
NEVER_NS = 2**62


class Actor(Protocol):
    """What acts: `control.PolicyRunner`, or whatever stands in for it."""

    def reset(self) -> None:
        """Begin a new trial."""

    def infer(
        self,
        observation: Observation,
        explain: bool = True,
        time_ns: int | None = None,
        since_ns: int = 0,
    ) -> tuple[Float64Array, Mapping[str, Any]]:
        """Chunk (k, J) in robot units, and what the policy says of it."""


@dataclass(frozen=True)
class SimulatedStep:
    """What the policy saw at `time_ns` (since the start), answered, and explains of it.

    `chunk` is (k, J) in robot units.
    """

    time_ns: int
    observation: Observation
    chunk: Float64Array
    extras: Mapping[str, Any]


@dataclass(frozen=True)
class Tick:
    """One control tick: measured joints (J,), the command, and the newest policy step."""

    time_ns: int
    measured: Float64Array
    command: Command | None
    step: SimulatedStep | None


TickWatch = Callable[[Tick], None]
RowRecorder = Callable[[Row, Observation, Command], None]


class Onlooker(Protocol):
    """Looks at the scene at a rate of its own, and knows what is sent and planned."""

    @property
    def period_ns(self) -> int:
        """Time from one look to the next."""

    def look(
        self, time_ns: int, observation: Observation, sent: Float64Array, plan: Plan | None
    ) -> None:
        """See what the sensors say at `time_ns` (as the plan has it), and the command (J,)."""


@dataclass(frozen=True)
class RolloutResult:
    """How a rollout ended.

    Attributes:
        success: the task's own verdict.
        duration_s: simulated time it ran; with success, the time to success.
        policy_steps, ticks: inferences and control ticks made.
        violations: what the guard chain had to correct, counted by kind.
        final_state: state of the controller at the end.
    """

    success: bool
    duration_s: float
    policy_steps: int
    ticks: int
    violations: dict[str, int]
    final_state: str


@dataclass(frozen=True)
class JointStateMessage:
    """A joint state of n joints as the robot would publish it; all arrays are (n,)."""

    name: tuple[str, ...]
    position: Float64Array
    velocity: Float64Array
    effort: Float64Array


@dataclass(frozen=True)
class ImageMessage:
    """A raw rgb8 image as a camera would publish it; `data` (H * W * 3,) are its bytes."""

    height: int
    width: int
    data: npt.NDArray[np.uint8]
    encoding: str = 'rgb8'
    is_bigendian: int = 0
    step: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'step', 3 * self.width)


def rollout(
    sim: Simulation,
    controller: Controller,
    runner: Actor,
    robot: RobotSpec,
    *,
    cameras: tuple[str, ...],
    vectors: tuple[str, ...] = (),
    horizon_s: float,
    camera_rate_hz: float,
    camera_phase_ns: int = 0,
    latency_ns: int = 0,
    watch: TickWatch | None = None,
    onlooker: Onlooker | None = None,
    disturbance: Disturbance | None = None,
    record: RowRecorder | None = None,
) -> RolloutResult:
    """Run one trial from where `sim` was reset to, until success or `horizon_s`.

    Args:
        sim: the arm, already reset.
        controller: a new one, as in the policy node.
        runner: the policy; its state is reset here.
        robot: what the arm is; its rate sets the control ticks.
        cameras: those that the policy and the onlooker see; no other is rendered.
        vectors: those that the policy sees.
        horizon_s: a trial without success ends here.
        camera_rate_hz: frames per second of every camera.
        camera_phase_ns: when the first frame is taken.
        latency_ns: simulated time that every inference takes; the arm goes on meanwhile.
        watch: called at every tick; asks the policy to explain itself.
        onlooker: looks on from the first tick.
        disturbance: what happens to the scene.
        record: called at every tick that has a command, with what all `cameras` see then.
    """
    seen = robot_as_seen(robot, cameras, vectors)
    sensors = _Sensors(sim, seen, camera_rate_hz, camera_phase_ns, disturbance)
    looks = _Looks(onlooker)
    runner.reset()
    thought = _Thought(runner, latency_ns, explain=watch is not None)
    step: SimulatedStep | None = None
    violations: Counter[str] = Counter()
    ticks = steps = 0
    horizon_ns = round(horizon_s * NANOSECONDS_PER_S)
    while not sim.success and ticks * robot.period_ns < horizon_ns:
        elapsed_ns = ticks * robot.period_ns
        now_ns = START_NS + elapsed_ns
        sensors.run_until(elapsed_ns, None)
        row = sensors.observe()
        measured = sim.qpos
        if ticks == 0:
            controller.enable(now_ns, measured)
        if disturbance is not None:
            disturbance.act(elapsed_ns)
        # As in the node: the tick never waits for the policy, whose answer serves the next one.
        command = controller.tick(now_ns, measured, row.faults)
        if command is not None:
            violations.update(command.violations)
            looks.look(now_ns, row, sensors.robot, command.position, controller)
            if record is not None:
                record(row, observation_from_row(row, sensors.robot), command)
        if controller.policy_due(now_ns):
            observation = observation_from_row(row, sensors.robot)
            thought.request(observation, now_ns, controller.valid_since_ns)
        for step in thought.finished(now_ns + robot.period_ns):
            controller.add_chunk(step.chunk, START_NS + step.time_ns)
            steps += 1
        sensors.next_use_ns = min(controller.next_request_ns, looks.next_ns) - START_NS
        if record is not None:
            sensors.next_use_ns = 0
        if watch is not None:
            watch(Tick(elapsed_ns, measured, command, step))
        ticks += 1
        target = None if command is None else command.position
        sensors.run_until(ticks * robot.period_ns, target)
    return RolloutResult(
        bool(sim.success), sim.time_ns / NANOSECONDS_PER_S, steps, ticks, dict(violations),
        controller.state,
    )  # fmt: skip


class _Looks:
    """When the onlooker, if there is one, looks next."""

    def __init__(self, onlooker: Onlooker | None) -> None:
        self._onlooker = onlooker
        self.next_ns = NEVER_NS if onlooker is None else START_NS

    def look(
        self, now_ns: int, row: Any, robot: RobotSpec, sent: Float64Array, controller: Controller
    ) -> None:
        """Let it look if it is time."""
        if self._onlooker is not None and now_ns >= self.next_ns:
            observation = observation_from_row(row, robot)
            self._onlooker.look(now_ns, observation, sent, controller.plan())
            self.next_ns += self._onlooker.period_ns


class _Thought:
    """The inference thread on simulated time: one step at a time, and the newest request waits."""

    def __init__(self, runner: Actor, latency_ns: int, *, explain: bool) -> None:
        self._runner = runner
        self._latency_ns = latency_ns
        self._explain = explain
        self._waiting: tuple[Observation, int, int] | None = None
        self._running: SimulatedStep | None = None
        self._free_ns = 0  # when the step that runs, or the last one, is over

    def request(self, observation: Observation, time_ns: int, since_ns: int) -> None:
        """Ask for a step; a request that still waits is replaced."""
        self._waiting = (observation, time_ns, since_ns)

    def finished(self, until_ns: int) -> Iterator[SimulatedStep]:
        """Yield the steps that are over before `until_ns`."""
        while self._running is not None or self._waiting is not None:
            if self._running is None:
                self._begin()
            if self._free_ns >= until_ns or self._running is None:
                return
            step, self._running = self._running, None
            yield step

    def _begin(self) -> None:
        assert self._waiting is not None
        (observation, time_ns, since_ns), self._waiting = self._waiting, None
        chunk, extras = self._runner.infer(observation, self._explain, time_ns, since_ns)
        self._running = SimulatedStep(time_ns - START_NS, observation, chunk, extras)
        self._free_ns = max(self._free_ns, time_ns) + self._latency_ns


class _Sensors:
    """Lets simulated time pass and pushes what the sensors give into the sampler.

    A frame that no inference will pick is counted but not rendered: rendering costs most.
    """

    def __init__(
        self,
        sim: Simulation,
        robot: RobotSpec,
        camera_rate_hz: float,
        camera_phase_ns: int,
        disturbance: Disturbance | None,
    ) -> None:
        self._sim = sim
        self._disturbance = disturbance
        self.robot = robot
        self._sampler = Sampler(self.robot.streams())
        self._frame_period_ns = round(NANOSECONDS_PER_S / camera_rate_hz)
        self._next_frame_ns = camera_phase_ns
        self._vectors = SimulatedVectors(sim, robot)
        self.next_use_ns = 0
        self._columns = {name: index for index, name in enumerate(robot.joints.names)}
        # The cameras ran before the trial began, in front of the same still scene.
        self._take_frame(camera_phase_ns - self._frame_period_ns)

    def run_until(self, time_ns: int, command: Float64Array | None) -> None:
        """Let time pass to `time_ns`, under `command` if there is one; sense what is due."""
        while (due_ns := min(self._next_frame_ns, self._vectors.next_ns)) <= time_ns:
            self._step_to(due_ns, command)
            if due_ns == self._vectors.next_ns:
                for name, sample in self._vectors.read(START_NS + self._sim.time_ns):
                    self._sampler.push(name, sample)
            if due_ns == self._next_frame_ns:
                self._take_frame(self._sim.time_ns)
                self._next_frame_ns += self._frame_period_ns
        self._step_to(time_ns, command)

    def observe(self) -> Any:
        """The sampler's row of now, the joint state being read now."""
        now_ns = START_NS + self._sim.time_ns
        for name, topic in self.robot.joint_streams('state'):
            order = [self._columns[joint] for joint in topic.joints]
            sim = self._sim
            message = JointStateMessage(
                topic.message_names, sim.qpos[order], sim.qvel[order], sim.effort[order]
            )
            self._sampler.push(name, Sample(now_ns, now_ns, message))
        return self._sampler.observe(now_ns)

    def _step_to(self, time_ns: int, command: Float64Array | None) -> None:
        duration_ns = time_ns - self._sim.time_ns
        if duration_ns > 0:
            self._sim.step(command, duration_ns / NANOSECONDS_PER_S)

    def _take_frame(self, time_ns: int) -> None:
        used = self.next_use_ns < time_ns + self._frame_period_ns
        stamp_ns = START_NS + time_ns
        for name, camera in self.robot.cameras.items():
            message = None
            if used:
                image = self._sim.render(name, camera.height, camera.width)
                if self._disturbance is not None:
                    image = self._disturbance.seen(time_ns, image)
                message = ImageMessage(camera.height, camera.width, image.reshape(-1))
            self._sampler.push(name, Sample(stamp_ns, stamp_ns, message))
