# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Videos of a policy at work: on a recording, and on a simulated arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from motion_policy.control import PolicyRunner
from motion_policy.evaluation.closed_loop import Tick
from motion_policy.evaluation.open_loop import OpenLoopResult, ReplayStep, replay
from motion_policy.evaluation.plots import JointCurves
from motion_policy.evaluation.provenance import policy_label
from motion_policy.evaluation.recordings import Recording
from motion_policy.evaluation.scenes import Simulation
from motion_policy.evaluation.storyboard import PANEL_HEIGHT, Moment, Panel, Picture, Storyboard
from motion_policy.evaluation.trials import Trial, TrialRunner
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation

SIM_VIDEO_FPS = 12.5
OVERVIEW_ASPECT = 4 / 3


def replay_curves(result: OpenLoopResult) -> JointCurves:
    """The curves of an open-loop replay."""
    words = {'action': 'recorded action', 'qpos': 'recorded position'}
    return JointCurves(
        result.names,
        result.time_s,
        result.truth,
        result.due_s,
        result.predicted,
        truth_label=words[result.truth_kind],
        predicted_label='policy',
    )


def write_replay_video(
    path: Path,
    runner: PolicyRunner,
    recording: Recording,
    result: OpenLoopResult,
    *,
    mix: float,
    title: str,
) -> None:
    """Replay the recording once more, as `result` came about, one frame per policy step."""
    curves = replay_curves(result)
    board: Storyboard | None = None
    with VideoFile(path, runner.policy.spec.rate) as video:

        def show(step: ReplayStep) -> None:
            nonlocal board
            pictures = _policy_pictures(runner, step.observation, step.extras)
            if board is None:
                columns = [[_panel(name, picture)] for name, picture in pictures]
                board = Storyboard(title, columns, curves, attention=_attends(step.extras))
            moment = Moment(step.time_s, tuple(picture for _, picture in pictures))
            video.write(board.frame(moment))

        replay(runner, recording.rows(), recording.rate_hz, mix=mix, watch=show)


def write_trials_video(path: Path, runner: TrialRunner, trials: Sequence[Trial]) -> None:
    """Run the trials once more and film them, one after the other."""
    with VideoFile(path, SIM_VIDEO_FPS) as video:
        for trial in trials:
            every = max(1, round(runner.robot.rate / SIM_VIDEO_FPS))
            film = _Film(runner.sim, runner.scene.overview, every)
            result = runner.run(trial, watch=film.watch)
            verdict = 'success' if result.rollout.success else 'no success'
            title = f'{policy_label(runner.policy)}, position {trial.position}: {verdict}'
            for frame in film.frames(title, runner):
                video.write(frame)


@dataclass
class _Film:
    """Collects what a rollout looked like, every `every` ticks."""

    sim: Simulation
    overview: str | None
    every: int
    ticks: list[Tick] = field(default_factory=list)
    shots: list[tuple[Tick, Any]] = field(default_factory=list)

    def watch(self, tick: Tick) -> None:
        """Take the tick, and a picture if it is time for one."""
        if len(self.ticks) % self.every == 0:
            width = int(PANEL_HEIGHT * OVERVIEW_ASPECT)
            shot = self.sim.render(self.overview, PANEL_HEIGHT, width) if self.overview else None
            self.shots.append((tick, shot))
        self.ticks.append(tick)

    def frames(self, title: str, runner: TrialRunner) -> Any:
        """The frames of the film."""
        curves = self._curves(runner.robot.joints.names)
        board: Storyboard | None = None
        for tick, shot in self.shots:
            if tick.step is None:
                continue
            seen = _policy_pictures(runner.runner, tick.step.observation, tick.step.extras)
            if board is None:
                columns = [[_panel(name, picture) for name, picture in seen]]
                if shot is not None:
                    columns.insert(0, [Panel('the simulated arm', OVERVIEW_ASPECT)])
                board = Storyboard(title, columns, curves, attention=_attends(tick.step.extras))
            pictures = [picture for _, picture in seen]
            if shot is not None:
                pictures.insert(0, Picture(shot))
            yield board.frame(Moment(tick.time_ns / NANOSECONDS_PER_S, tuple(pictures)))

    def _curves(self, names: Sequence[str]) -> JointCurves:
        time_s = np.array([tick.time_ns for tick in self.ticks]) / NANOSECONDS_PER_S
        measured = np.stack([tick.measured for tick in self.ticks])
        sent = [t.measured if t.command is None else t.command.position for t in self.ticks]
        return JointCurves(
            names, time_s, measured, time_s, np.stack(sent), 'measured', 'commanded by the policy'
        )


def _policy_pictures(
    runner: PolicyRunner, observation: Observation, extras: Mapping[str, Any]
) -> list[tuple[str, Picture]]:
    """The policy's cameras, with attention points on the first, and what it expects to see."""
    pictures = []
    for place, camera in enumerate(runner.policy.cameras):
        points = extras if place == 0 else {}
        pictures.append(
            (
                f"camera '{camera}'",
                Picture(
                    observation.images[camera],
                    points.get('encoder_points'),
                    points.get('decoder_points'),
                ),
            )
        )
    if 'image' in extras:
        pictures.append(('predicted next image', Picture(extras['image'])))
    return pictures


def _panel(name: str, picture: Picture) -> Panel:
    height, width = picture.image.shape[:2]
    return Panel(name, width / height)


def _attends(extras: Mapping[str, Any]) -> bool:
    return 'encoder_points' in extras
