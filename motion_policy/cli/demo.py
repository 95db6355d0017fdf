# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy demo`: the simulated arm under a shipped policy, over real ROS topics.

sim_node and policy_node run as processes of their own; this one only sets the scene, listens,
counts, and lets the video be drawn from what it heard.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from motion_policy.cli.processes import NodeDiedError, NodeProcesses
from motion_policy.errors import UserError
from motion_policy.evaluation.trial_video import TrialRecord
from motion_policy.evaluation.video_file import check_video_path
from motion_policy.files import check_output, write_json
from motion_policy.inference.environment import KEEP_FREED_MEMORY
from motion_policy.nodes.scene_client import SceneClient, SceneError
from motion_policy.nodes.trial_listener import TrialListener
from motion_policy.policies.checkpoint import find_checkpoint, read_policy_spec
from motion_policy.robot import load_robot_spec
from motion_policy.simulation.tabletop import POSITION_NAMES, TAUGHT_POSITIONS

ROBOT = 'tabletop_sim'
VIDEO = 'video'  # the process that draws it
AFTER_SUCCESS_S = 0.6  # simulated; the video shows the end of the motion
VIDEO_PATIENCE_S = 600.0


@dataclass(frozen=True)
class Arguments:
    """Watch a policy grasp the cube at five positions; ends with `success N/M`."""

    trials: int = 10
    """Number of trials; the cube goes through the positions A to E in turn."""

    checkpoint: str = 'sarnn_tabletop'
    """Checkpoint folder, or a name in models/."""

    out: Path = Path('demo.mp4')
    """Where the video goes (.mp4 or .gif)."""

    no_film: bool = False
    """Draw no video."""

    json: Path | None = None
    """Write the results as JSON."""

    speed: float = 1.0
    """Simulated seconds per second; other than 1, the nodes follow /clock."""

    seed: int = 0
    """Fixes the variation of the scene."""

    timeout: float = 15.0
    """Simulated seconds after which a trial has failed."""

    require: float = 0.8
    """Share of successes below which the exit code is 1."""


@dataclass(frozen=True)
class TrialOutcome:
    """What came of one trial; `success_s` is simulated time from enabling the policy."""

    position: str
    taught: bool
    success: bool
    success_s: float | None


def run(arguments: Arguments) -> int:
    """Run all trials; 0 when the required share succeeded, 1 when not or a node failed."""
    _check(arguments)
    console = Console()
    with NodeProcesses() as processes:
        try:
            outcomes = _run_trials(processes, arguments, console)
        except (NodeDiedError, SceneError) as error:
            processes.keep_logs = True
            console.print(f'failed: {error}', style='red', markup=False, soft_wrap=True)
            words = processes.last_words('policy_node')
            console.print(f'policy_node said: {words}', markup=False, soft_wrap=True)
            return 1
    summary = _summary(outcomes, arguments)
    if arguments.json:
        write_json(arguments.json, summary)
    _print_table(summary, console)
    if not arguments.no_film:
        console.print(f'video: {arguments.out}', markup=False, soft_wrap=True)
    console.print(f'success {summary["successes"]}/{summary["trials"]}', highlight=False)
    return 0 if summary['met'] else 1


def _check(arguments: Arguments) -> None:
    """Refuse what cannot work before any process is started."""
    if arguments.trials < 1:
        raise UserError(f'--trials is {arguments.trials}, expected at least 1')
    if not 0 <= arguments.require <= 1:
        raise UserError(f'--require is {arguments.require}, expected a share from 0 to 1')
    if not arguments.no_film:
        check_output(check_video_path(arguments.out))
        if find_spec('av') is None:
            raise UserError("the video needs PyAV: pip install 'motion_policy[sim]', or --no-film")
    robot = load_robot_spec(ROBOT)
    spec = read_policy_spec(find_checkpoint(arguments.checkpoint))
    if spec.robot.joints.names != robot.joints.names or set(spec.cameras) - set(robot.cameras):
        raise UserError(
            f"{arguments.checkpoint}: made for robot '{spec.robot.name}' with cameras "
            f"{', '.join(spec.cameras)}, expected one for '{ROBOT}'"
        )


def _run_trials(
    processes: NodeProcesses, arguments: Arguments, console: Console
) -> list[TrialOutcome]:
    _start_nodes(processes, arguments)
    video = None if arguments.no_film else _VideoProcess(processes, arguments.out)
    outcomes = []
    with SceneClient(load_robot_spec(ROBOT), processes.check) as scene:
        listener = TrialListener(scene, 'policy_node/attention')
        with console.status('starting the nodes'):
            scene.reset_scene(POSITION_NAMES[0])
        for number in range(1, arguments.trials + 1):
            position = POSITION_NAMES[(number - 1) % len(POSITION_NAMES)]
            with console.status(f'trial {number}/{arguments.trials}: cube at {position}'):
                outcome = _run_trial(scene, listener, position, arguments)
            outcomes.append(outcome)
            _print_outcome(outcome, number, arguments, console)
            if video is not None:
                video.add(_record(outcome, number, arguments, listener))
    if video is not None:
        processes.stop(spared=VIDEO)  # the nodes would compute beside it
        with console.status('finishing the video'):
            video.finish()
    return outcomes


def _start_nodes(processes: NodeProcesses, arguments: Arguments) -> None:
    on_clock = arguments.speed != 1.0
    processes.start_node(
        'sim_node',
        {
            'robot': ROBOT,
            'seed': arguments.seed,
            'publish_clock': on_clock,
            'real_time_factor': float(arguments.speed),
        },
    )
    checkpoint = find_checkpoint(arguments.checkpoint).absolute()
    processes.start_node(
        'policy_node',
        {'checkpoint': checkpoint, 'robot': ROBOT, 'autostart': True, 'use_sim_time': on_clock},
        KEEP_FREED_MEMORY,
    )


def _run_trial(
    scene: SceneClient, listener: TrialListener, position: str, arguments: Arguments
) -> TrialOutcome:
    """Set the scene, let the policy move until success or time-out, and take it off again."""
    scene.reset_scene(position)
    scene.trigger('policy_node/reset')
    scene.until_accepted(lambda: scene.switch('policy_node/enable', True))
    listener.begin()
    enabled_ns = scene.now_ns
    success = scene.wait(scene.success.rose, 'success', arguments.timeout)
    success_s = (scene.now_ns - enabled_ns) * 1e-9
    scene.wait_s(AFTER_SUCCESS_S)
    scene.switch('policy_node/enable', False)
    listener.end()
    taught = position in TAUGHT_POSITIONS
    return TrialOutcome(position, taught, success, success_s if success else None)


def _record(
    outcome: TrialOutcome, number: int, arguments: Arguments, listener: TrialListener
) -> TrialRecord:
    return TrialRecord(
        number=number,
        count=arguments.trials,
        position=outcome.position,
        taught=outcome.taught,
        success_s=float('nan') if outcome.success_s is None else outcome.success_s,
        **listener.heard(),
    )


class _VideoProcess:
    """The process that draws the video."""

    def __init__(self, processes: NodeProcesses, out: Path) -> None:
        self._processes = processes
        self._folder = TemporaryDirectory(prefix='motion_policy_trials_')
        self._process = processes.start(
            VIDEO,
            'motion_policy.cli.video_process',
            [str(out.absolute())],
            stdin=subprocess.PIPE,
        )

    def add(self, record: TrialRecord) -> None:
        """Have one trial drawn."""
        path = Path(self._folder.name) / f'trial_{record.number:03d}.npz'
        record.save(path)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(os.fsencode(path) + b'\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NodeDiedError(f'video: {self._processes.last_words(VIDEO)}') from None

    def finish(self) -> None:
        """Wait for the end of the video."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then its exit code tells
            self._process.stdin.write(b'\n')
            self._process.stdin.close()
        try:
            code = self._process.wait(VIDEO_PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            raise NodeDiedError(f'video: {self._processes.last_words(VIDEO)}')


def _summary(outcomes: list[TrialOutcome], arguments: Arguments) -> dict[str, Any]:
    """Counts and mean times per position, over taught and untaught ones, and over all."""
    positions = dict.fromkeys(outcome.position for outcome in outcomes)
    total = _counts(outcomes)
    return {
        **total,
        'positions': {
            position: {
                **_counts([o for o in outcomes if o.position == position]),
                'taught': position in TAUGHT_POSITIONS,
            }
            for position in positions
        },
        'taught': _counts([o for o in outcomes if o.taught]),
        'untaught': _counts([o for o in outcomes if not o.taught]),
        'results': [asdict(outcome) for outcome in outcomes],
        'required': arguments.require,
        'met': total['successes'] >= arguments.require * total['trials'],
        'checkpoint': arguments.checkpoint,
        'speed': arguments.speed,
        'seed': arguments.seed,
        'film': None if arguments.no_film else str(arguments.out),
    }


def _counts(outcomes: list[TrialOutcome]) -> dict[str, Any]:
    times_s = [outcome.success_s for outcome in outcomes if outcome.success_s is not None]
    return {
        'successes': len(times_s),
        'trials': len(outcomes),
        'mean_time_to_success_s': sum(times_s) / len(times_s) if times_s else None,
    }


def _print_outcome(
    outcome: TrialOutcome, number: int, arguments: Arguments, console: Console
) -> None:
    kind = 'taught' if outcome.taught else 'not taught'
    result = (
        f'[red]not lifted in {arguments.timeout:g} s[/]'
        if outcome.success_s is None
        else f'[green]lifted[/] after {outcome.success_s:.1f} s'
    )
    console.print(
        f'trial {number:2d}/{arguments.trials}  cube at {outcome.position} ({kind})  {result}',
        highlight=False,
    )


def _print_table(summary: dict[str, Any], console: Console) -> None:
    table = Table('cube at', 'taught', 'success', 'mean time')
    for position, counts in summary['positions'].items():
        time_s = counts['mean_time_to_success_s']
        table.add_row(
            position,
            'yes' if counts['taught'] else 'no',
            f'{counts["successes"]}/{counts["trials"]}',
            '-' if time_s is None else f'{time_s:.1f} s',
        )
    console.print(table)
