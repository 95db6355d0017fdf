# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Recording rollouts of a policy that the scripted teacher corrects, without ROS or a clock.

Kept are rollouts in which the teacher had to take over and that ended in success.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.cli.teach_directly import Lesson
from motion_policy.control import Command
from motion_policy.episodes import EpisodeReader, EpisodeWriter, RolloutRow, next_episode_path
from motion_policy.episodes.quality.images import ImageWatch
from motion_policy.episodes.quality.judge import judge_recorded, set_before
from motion_policy.episodes.rollouts import Interventions, all_interventions
from motion_policy.evaluation.corrections import TeachingError, correct
from motion_policy.evaluation.trials import Trial, TrialRunner
from motion_policy.robot import RobotSpec
from motion_policy.streams import Observation, Row, Sample, StreamCounters

TRIES = 10  # rollouts for each that is kept, before it gives up


def teach_corrections(lesson: Lesson, checkpoint: str, console: Console) -> int:
    """Record corrected rollouts; 0 when there are as many as asked for, else 1."""
    runner = TrialRunner(checkpoint, lesson.scene)
    teacher = lesson.scene.teacher()
    known = set_before(next_episode_path(lesson.out))
    kept: list[Interventions | None] = []
    alone = failed = 0
    reason = ''
    times, seconds = 0, 0.0
    columns = TextColumn('rollouts'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    begin = time.monotonic()
    try:
        runner.check_positions(lesson.positions)
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task('rollouts', total=lesson.episodes)
            first = int(next_episode_path(lesson.out).stem.rpartition('_')[2])
            for number in range(TRIES * lesson.episodes):
                if len(kept) == lesson.episodes:
                    break
                trial = _trial(lesson, first, number)
                recording = _Recording(lesson, runner.robot)
                try:
                    result = correct(runner, teacher, trial, recording.add)
                except TeachingError as error:
                    recording.writer.discard()
                    failed, reason = failed + 1, f' (the last one: {error})'
                    continue
                except BaseException:
                    recording.writer.discard()
                    raise
                times += result.interventions
                seconds += result.rollout.duration_s
                if not (result.rollout.success and result.interventions):
                    recording.writer.discard()
                    alone += result.rollout.success
                    failed += not result.rollout.success
                    continue
                recording.writer.success = True
                recording.writer.close()
                judge_recorded(recording.writer.path, recording.images, known)
                with EpisodeReader(recording.writer.path) as episode:
                    kept.append(episode.interventions)
                progress.advance(task)
    finally:
        runner.close()
    taken_s = time.monotonic() - begin
    told = all_interventions(kept)
    lines = [
        f'{len(kept)} corrected rollouts in {lesson.out}' + f': {told}' * (told is not None),
        f'not kept: {alone} in which the policy succeeded alone, {failed} that failed{reason}',
        f'over all rollouts {60 * times / max(seconds, 1e-9):.1f} interventions per minute; '
        f'{taken_s:.0f} s',
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0 if len(kept) == lesson.episodes else 1


def _trial(lesson: Lesson, first: int, number: int) -> Trial:
    """The next trial, fixed by the seed, the number of the first episode and its own."""
    position = lesson.positions[number % len(lesson.positions)]
    words = [lesson.seed, first, number]
    return Trial(position, number, int(np.random.SeedSequence(words).generate_state(1)[0]))


class _Recording:
    """Writes the rows of one rollout."""

    def __init__(self, lesson: Lesson, robot: RobotSpec) -> None:
        self.images = ImageWatch()
        self._robot = robot
        self.writer = EpisodeWriter(
            next_episode_path(lesson.out), robot, task=lesson.task,
            operator='policy, corrected by the scripted expert', sim=True,
            compress=not lesson.scene.raw_pixels, jpeg_quality=lesson.jpeg_quality,
            created_ns=time.time_ns(),
        )  # fmt: skip

    def add(
        self, row: Row, observation: Observation, command: Command, driven: RolloutRow
    ) -> None:
        """Write the row of a tick, whose action is the command that was sent."""
        sent = replace(observation, action=command.position.astype(np.float32))
        self.writer.append(row.time_ns, sent, self._with_leader(row), driven)
        for camera, image in observation.images.items():
            self.images.add(camera, image)

    def _with_leader(self, row: Row) -> Row:
        """The row with what was sent as the sample of the leader."""
        names = [n for n in self._robot.stream_names if n not in row.samples]
        now: Mapping[str, Sample] = {
            name: Sample(row.time_ns, row.time_ns, None) for name in names
        }
        counters = StreamCounters(self.writer.length + 1, max_gap_ns=self._robot.period_ns)
        return replace(
            row,
            samples={**row.samples, **now},
            ages_ns={**row.ages_ns, **dict.fromkeys(names, 0)},
            counters={**row.counters, **dict.fromkeys(names, counters)},
        )
