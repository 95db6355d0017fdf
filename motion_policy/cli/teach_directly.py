# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Teaching without ROS and without a clock: simulation, teacher and episode file in one loop.

The seed and the number of the file fix an episode, so that adding some never repeats any.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.episodes import EpisodeWriter, next_episode_path
from motion_policy.episodes.quality.images import ImageWatch
from motion_policy.episodes.quality.judge import judge_recorded, set_before
from motion_policy.episodes.quality.sets import EpisodeSet
from motion_policy.evaluation.scenes import Scene, ScriptedDemonstration, Simulation, Teacher
from motion_policy.evaluation.simulated_vectors import SimulatedVectors
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation, Row, Sample, Sampler, StreamCounters

Float64Array = npt.NDArray[np.float64]

ATTEMPTS = 8
# A stamp of 0 means "no stamp", so simulated time begins later.
START_NS = NANOSECONDS_PER_S


@dataclass(frozen=True)
class Lesson:
    """What is taught directly.

    Attributes:
        out: folder of the episodes, made when needed.
        scene: the simulated task.
        positions: where the object stands, in turns.
        episodes: how many are added.
        seed: fixes the variation of scene and teacher.
        task: noted in the episodes.
        jpeg_quality: of the images, 1 to 100.
    """

    out: Path
    scene: Scene
    positions: tuple[str, ...]
    episodes: int
    seed: int
    task: str
    jpeg_quality: int = 95


def teach_directly(lesson: Lesson, console: Console) -> int:
    """Record every episode; 0 when all succeeded in the end, else 1."""
    sim, teacher = lesson.scene.make(), lesson.scene.teacher()
    robot = load_robot_spec(lesson.scene.robot)
    known = set_before(next_episode_path(lesson.out))
    failed = rows = 0
    columns = TextColumn('episodes'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    begin = time.monotonic()
    try:
        for position in lesson.positions:
            sim.reset(position, seed=0)
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task('episodes', total=lesson.episodes)
            for _ in range(lesson.episodes):
                failures, length = _record(lesson, sim, teacher, robot, known)
                failed, rows = failed + failures, rows + length
                progress.advance(task)
    except _NeverSucceededError as error:
        console.print(f'failed: {error}', style='red', markup=False, soft_wrap=True)
        return 1
    finally:
        sim.close()
    taken_s = time.monotonic() - begin
    console.print(
        f'{lesson.episodes} demonstrations in {lesson.out}: {rows} rows, {failed} failed and '
        f'were done again; {taken_s:.0f} s, {taken_s / lesson.episodes:.2f} s each',
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


class _NeverSucceededError(RuntimeError):
    """The teacher failed in every attempt at an episode."""


def _record(
    lesson: Lesson, sim: Simulation, teacher: Teacher, robot: RobotSpec, known: EpisodeSet
) -> tuple[int, int]:
    """Record and judge the next episode; return how many attempts failed before, and its rows."""
    path = next_episode_path(lesson.out)
    number = int(path.stem.rpartition('_')[2])
    position = lesson.positions[number % len(lesson.positions)]
    for attempt in range(ATTEMPTS):
        seeds = np.random.SeedSequence([lesson.seed, number, attempt]).generate_state(2).tolist()
        sim.reset(position, seed=seeds[0])
        demonstration = teacher(sim, seeds[1])
        writer = EpisodeWriter(
            path, robot, task=lesson.task, operator='scripted expert', sim=True,
            compress=not lesson.scene.raw_pixels, jpeg_quality=lesson.jpeg_quality,
            created_ns=time.time_ns(),
        )  # fmt: skip
        try:
            images = _demonstrate(sim, demonstration, robot, writer)
        except BaseException:
            # Half a demonstration would be mistaken for a whole one.
            writer.discard()
            raise
        if sim.success:
            writer.success = True
            writer.close()
            judge_recorded(path, images, known)
            return attempt, writer.length
        writer.discard()
    raise _NeverSucceededError(
        f'{path}: {ATTEMPTS} demonstrations at {position} failed, expected one to succeed'
    )


def _demonstrate(
    sim: Simulation, demonstration: ScriptedDemonstration, robot: RobotSpec, writer: EpisodeWriter
) -> ImageWatch:
    """Play a demonstration to its end; a row holds what was measured before its command."""
    period_s = robot.period_ns / NANOSECONDS_PER_S
    sensors, images = _Vectors(sim, robot), ImageWatch()
    for index in range(int(demonstration.duration_s / period_s)):
        elapsed_s = index * period_s
        felt = sensors.observe()
        observation = Observation(
            qpos=sim.qpos.astype(np.float32),
            qvel=sim.qvel.astype(np.float32),
            effort=sim.effort.astype(np.float32),
            images={
                name: sim.render(name, camera.height, camera.width)
                for name, camera in robot.cameras.items()
            },
            action=demonstration(elapsed_s).astype(np.float32),
            vectors={name: sample.value.astype(np.float32) for name, sample in felt.items()},
        )
        row = _row(START_NS + index * robot.period_ns, index, robot, felt)
        writer.append(row.time_ns, observation, row)
        for camera, image in observation.images.items():
            images.add(camera, image)
        sensors.step(demonstration.follower(elapsed_s), period_s)
    return images


class _Vectors:
    """Lets simulated time pass and samples the vectors of the robot, as a recorder does.

    Their grid is that of the rows.
    """

    def __init__(self, sim: Simulation, robot: RobotSpec) -> None:
        self._sim = sim
        self._readings = SimulatedVectors(sim, robot)
        self._sampler = Sampler(s for s in robot.streams() if s.role == 'vector')
        self._read()

    def observe(self) -> dict[str, Sample]:
        """The vectors of a row that is now, by name."""
        return self._sampler.observe(START_NS + self._sim.time_ns).samples

    def step(self, command: Float64Array, duration_s: float) -> None:
        """Let time pass under a command."""
        end_ns = self._sim.time_ns + round(duration_s * NANOSECONDS_PER_S)
        while self._readings.next_ns <= end_ns:
            due_ns = self._readings.next_ns
            self._sim.step(command, (due_ns - self._sim.time_ns) / NANOSECONDS_PER_S)
            self._read()
        if self._sim.time_ns < end_ns:
            self._sim.step(command, (end_ns - self._sim.time_ns) / NANOSECONDS_PER_S)

    def _read(self) -> None:
        if self._readings.next_ns == self._sim.time_ns:
            for name, sample in self._readings.read(START_NS + self._sim.time_ns):
                self._sampler.push(name, sample)


def _row(time_ns: int, index: int, robot: RobotSpec, felt: dict[str, Sample]) -> Row:
    """Return the row of samples that were all taken at its own time, and vectors."""
    names = robot.stream_names
    counters = StreamCounters(index + 1, max_gap_ns=robot.period_ns if index else 0)
    return Row(
        time_ns,
        samples={name: Sample(time_ns, time_ns, None) for name in names} | felt,
        faults={},
        ages_ns=dict.fromkeys(names, 0),
        counters=dict.fromkeys(names, counters),
    )
