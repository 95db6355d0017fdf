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
from motion_policy.control.attention_image import attended
from motion_policy.evaluation.closed_loop import Tick
from motion_policy.evaluation.open_loop import OpenLoopResult, ReplayStep, replay
from motion_policy.evaluation.plots import JointCurves
from motion_policy.evaluation.provenance import policy_label
from motion_policy.evaluation.recordings import RecordedRun
from motion_policy.evaluation.scenes import Simulation
from motion_policy.evaluation.storyboard import (
    PANEL_HEIGHT,
    MarkedImage,
    Panel,
    Storyboard,
    VideoFrame,
)
from motion_policy.evaluation.trials import Trial, TrialRunner
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.policies import Policy
from motion_policy.robot.spec import NANOSECONDS_PER_S
from motion_policy.streams import Observation

SIM_VIDEO_FPS = 12.5
OVERVIEW_ASPECT = 4 / 3


def replay_curves(
    result: OpenLoopResult, labels: Sequence[str], free: OpenLoopResult | None = None
) -> JointCurves:
    """The curves of an open-loop replay; `free` is that of the same recording, running freely.

    `labels` (J,) are what the joints are called.
    """
    words = {'action': 'recorded action', 'qpos': 'recorded position'}
    return JointCurves(
        labels,
        result.time_s,
        result.truth,
        result.due_s,
        result.predicted,
        truth_label=words[result.truth_kind],
        predicted_label='policy',
        free=None if free is None else free.predicted,
    )


def write_replay_video(
    path: Path,
    runner: PolicyRunner,
    recording: RecordedRun,
    result: OpenLoopResult,
    *,
    title: str,
) -> None:
    """Replay the recording once more, as `result` came about, one frame per policy step."""
    curves = replay_curves(result, runner.robot.joints.labels)
    board: Storyboard | None = None
    with VideoFile(path, runner.policy.spec.rate) as video:

        def show(step: ReplayStep) -> None:
            nonlocal board
            columns = policy_images(runner.policy, step.observation, step.extras)
            if len(columns) == 1:  # there is room beside one another
                columns = [[panel] for panel in columns[0]]
            if board is None:
                panels = [[_panel(*panel) for panel in column] for column in columns]
                board = Storyboard(title, panels, curves, attention=attends(step.extras))
            shown = tuple(marked for column in columns for _, marked in column)
            video.write(board.frame(VideoFrame(step.time_s, shown)))

        replay(runner, recording.rows(), recording.rate_hz, watch=show)


def write_trials_video(path: Path, runner: TrialRunner, trials: Sequence[Trial]) -> None:
    """Run the trials once more and write a video of them, one after the other."""
    with VideoFile(path, SIM_VIDEO_FPS) as video:
        for trial in trials:
            every = max(1, round(runner.robot.rate / SIM_VIDEO_FPS))
            seen = _TrialFrames(runner.sim, runner.scene.overview, every)
            result = runner.run(trial, watch=seen.watch)
            verdict = 'success' if result.rollout.success else 'no success'
            title = f'{policy_label(runner.policy)}, position {trial.position}: {verdict}'
            for frame in seen.frames(title, runner):
                video.write(frame)


@dataclass
class _TrialFrames:
    """Collects what a rollout looked like, every `every` ticks."""

    sim: Simulation
    overview: str | None
    every: int
    ticks: list[Tick] = field(default_factory=list)
    shots: list[tuple[Tick, Any]] = field(default_factory=list)

    def watch(self, tick: Tick) -> None:
        """Take the tick, and an image if it is time for one."""
        if len(self.ticks) % self.every == 0:
            width = int(PANEL_HEIGHT * OVERVIEW_ASPECT)
            shot = self.sim.render(self.overview, PANEL_HEIGHT, width) if self.overview else None
            self.shots.append((tick, shot))
        self.ticks.append(tick)

    def frames(self, title: str, runner: TrialRunner) -> Any:
        """The frames of the video."""
        curves = self._curves(runner.robot.joints.labels)
        board: Storyboard | None = None
        for tick, shot in self.shots:
            if tick.step is None:
                continue
            columns = policy_images(runner.policy, tick.step.observation, tick.step.extras)
            if board is None:
                panels = [[_panel(*panel) for panel in column] for column in columns]
                if shot is not None:
                    panels.insert(0, [Panel('the simulated arm', OVERVIEW_ASPECT)])
                board = Storyboard(title, panels, curves, attention=attends(tick.step.extras))
            shown = [marked for column in columns for _, marked in column]
            if shot is not None:
                shown.insert(0, MarkedImage(shot))
            yield board.frame(VideoFrame(tick.time_ns / NANOSECONDS_PER_S, tuple(shown)))

    def _curves(self, names: Sequence[str]) -> JointCurves:
        time_s = np.array([tick.time_ns for tick in self.ticks]) / NANOSECONDS_PER_S
        measured = np.stack([tick.measured for tick in self.ticks])
        sent = [t.measured if t.command is None else t.command.position for t in self.ticks]
        return JointCurves(
            names, time_s, measured, time_s, np.stack(sent), 'measured', 'commanded by the policy'
        )


def policy_images(
    policy: Policy, observation: Observation, extras: Mapping[str, Any]
) -> list[list[tuple[str, MarkedImage]]]:
    """One column per camera: what the policy sees, with attention, and what it expects to see."""
    columns = []
    for camera in policy.cameras:
        shown = attended(policy.views[camera], observation.image(camera), extras)
        seen = MarkedImage(shown.image, shown.encoder_points, shown.decoder_points)
        column = [(f"camera '{camera}'", seen)]
        if f'image/{camera}' in extras:
            column.append(('predicted next image', MarkedImage(extras[f'image/{camera}'])))
        columns.append(column)
    return columns


def attends(extras: Mapping[str, Any]) -> bool:
    """Whether the policy says where it looks."""
    return any(name.startswith('encoder_points/') for name in extras)


def _panel(name: str, marked: MarkedImage) -> Panel:
    height, width = marked.image.shape[:2]
    return Panel(name, width / height)
