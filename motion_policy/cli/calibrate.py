# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy calibrate CHECKPOINT DATA...`: conformal limits of prediction errors.

The limits go into the checkpoint's policy.yaml; its weights stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console

from motion_policy.cli.judging import (
    check_device,
    check_latency,
    check_least,
    execution_of_options,
    print_table,
    progress,
    refuse,
)
from motion_policy.control import ChunkExecution
from motion_policy.control.foresight import OwnForesight
from motion_policy.control.foresight_calibration import calibrated
from motion_policy.errors import UserError
from motion_policy.evaluation.calibration import (
    PredictionErrors,
    held_out,
    of_recordings,
    of_trials,
)
from motion_policy.evaluation.monitoring import OWN, Foresight
from motion_policy.evaluation.scenes import SCENES, find_scene, is_scene
from motion_policy.evaluation.trials import TrialRunner
from motion_policy.html_report import Table
from motion_policy.policies import Model, Policy, load_model
from motion_policy.policies.checkpoint import read_checkpoint, save_spec
from motion_policy.policies.foresight_limits import ForesightLimits
from motion_policy.policies.video.predictor import FramePredictorModel

SEED = 1000  # other trials than those that `evaluate` runs by default


@dataclass(frozen=True)
class Arguments:
    """Find how wrong foresight usually is, and write that into the checkpoint.

    CHECKPOINT is a frame predictor, or a recurrent policy, which foresees the next image and the
    next joints itself. The limits come from runs that went well: simulated trials that succeeded,
    or recordings that the checkpoint was not trained on. Of runs like these at most a share ALPHA
    raises an alarm.
    """

    checkpoint: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(metavar='CHECKPOINT', help='folder of a frame predictor or a policy'),
    ]
    data: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar='DATA...',
            help='episodes, folders of episodes, rosbag2 folders; or one of: ' + ', '.join(SCENES),
        ),
    ]
    policy: str = ''
    """sim, frame predictor: the policy that it watches"""
    alpha: float = 0.05
    """share of good runs that may raise an alarm"""
    trials: int = 100
    """sim: trials per position"""
    seed: int = SEED
    """sim: fixes every trial; another one than that of evaluate"""
    positions: tuple[str, ...] = ()
    """sim: where the object stands; all of the scene if not given"""
    jobs: int = 1
    """sim: processes that share the trials"""
    execute: int = 0
    """sim, chunks: rows of each chunk to play before the next takes over; 0: half of them;
    recordings, frame predictor: rows of each plan; 0: as far as it predicts"""
    crossfade: float = ChunkExecution.crossfade_s
    """sim, chunks: seconds for which a new chunk is blended with the one before"""
    ensemble: float = 0.0
    """sim, chunks: coefficient of temporal ensembling; 0: none"""
    latency: float = 0.0
    """sim: simulated seconds that every inference takes; the arm goes on meanwhile"""
    device: str = 'cpu'
    """where the models run: cpu, cuda, cuda:1, ..."""


FOR_SCENES = ('policy', 'trials', 'seed', 'positions', 'jobs', 'crossfade', 'ensemble', 'latency')


def run(arguments: Arguments) -> int:
    """Watch good runs, find the limits, write them, print them."""
    if not arguments.data:
        raise UserError('calibrate: no DATA given, expected episodes, a bag or sim:SCENE:TASK')
    check_least('calibrate', arguments, trials=1, seed=0, jobs=1, execute=0)
    check_device('calibrate', arguments.device)
    check_latency('calibrate', arguments.latency)
    checkpoint = read_checkpoint(arguments.checkpoint)
    model = load_model(checkpoint, device=arguments.device)
    if not isinstance(model, FramePredictorModel):
        OwnForesight(model.spec)  # says so if it foresees nothing
    console = Console()
    simulated = any(is_scene(item) for item in arguments.data)
    gather = _from_trials if simulated else _from_recordings
    episodes, source = gather(arguments, model, console)
    limits = calibrated(episodes, arguments.alpha, source)
    spec = checkpoint.spec.model_copy(update={'foresight': limits})
    written = save_spec(spec, checkpoint.path)
    _show(console, limits)
    console.print(f'wrote {written}', highlight=False)
    return 0


def _from_trials(
    arguments: Arguments, model: Model, console: Console
) -> tuple[list[PredictionErrors], str]:
    if len(arguments.data) > 1:
        raise UserError('calibrate: one simulated task at a time, without recordings beside it')
    policy, watcher = arguments.policy, arguments.checkpoint
    if isinstance(model, FramePredictorModel) and not policy:
        raise UserError('calibrate: --policy is missing, expected whom the predictor watches')
    if isinstance(model, Policy):
        refuse('calibrate', arguments, ('policy',), 'a frame predictor, found a policy')
        policy, watcher = arguments.checkpoint, OWN
    runner = TrialRunner(
        policy, find_scene(arguments.data[0]), arguments.device,
        chunks=execution_of_options(arguments), latency_s=arguments.latency,
        foresight=Foresight(watcher, judged=False),
    )  # fmt: skip
    positions = arguments.positions or runner.scene.positions
    runner.check_positions(positions)
    count = arguments.trials * len(positions)
    with progress(console, 'trials', count) as advance:
        episodes = of_trials(
            runner, positions, arguments.trials, arguments.seed, jobs=arguments.jobs,
            on_result=advance,
        )  # fmt: skip
    runner.close()
    source = (
        f'{len(episodes)} of {count} trials of {policy} on {runner.scene.name}, those that '
        f'succeeded, seed {arguments.seed}'
    )
    if runner.policy.chunk_rows > 1:
        source += f', {runner.chunks}'
    if arguments.latency:
        source += f', every inference takes {arguments.latency:g} s'
    return episodes, source


def _from_recordings(
    arguments: Arguments, model: Model, console: Console
) -> tuple[list[PredictionErrors], str]:
    refuse('calibrate', arguments, FOR_SCENES, 'a simulated task, found recordings')
    recordings = held_out(arguments.data, model)
    with progress(console, 'recordings', len(recordings)) as advance:
        episodes = of_recordings(model, recordings, arguments.execute, on_result=advance)
    return episodes, f'{len(recordings)} recordings of {", ".join(arguments.data)}'


def _show(console: Console, limits: ForesightLimits) -> None:
    steps = max(len(scales) for scales in limits.scales.values())
    rows = [
        (channel, *(f'{limits.limit(channel, step):.4g}' for step in range(1, steps + 1)))
        for channel in limits.scales
    ]
    columns = ('limit', *(f'step {step}' for step in range(1, steps + 1)))
    print_table(
        console, f'alpha {limits.alpha:g}, from {limits.source}', Table(columns, rows)
    )  # fmt: skip
