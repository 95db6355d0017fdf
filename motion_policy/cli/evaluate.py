# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy evaluate CHECKPOINT DATA...`: numbers, plots, video and a report of a policy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from motion_policy.cli.evaluate_frames import run_frames
from motion_policy.cli.judging import (
    check_device,
    check_latency,
    check_least,
    execution_of_options,
    print_table,
    progress,
    refuse,
    say_where,
    write_numbers,
)
from motion_policy.control import ChunkExecution, Mix, PolicyRunner
from motion_policy.errors import UserError
from motion_policy.evaluation.detection import detection_table
from motion_policy.evaluation.monitoring import Foresight
from motion_policy.evaluation.offline import (
    count_words,
    evaluate_recordings,
    joint_table,
    mix_words,
    write_first_video,
)
from motion_policy.evaluation.offline_report import write_recorded_report
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.evaluation.scenes import DISTURBANCES, SCENES, find_scene, is_scene
from motion_policy.evaluation.simulated import (
    evaluate_scene,
    success_table,
    write_success_report,
    write_success_video,
)
from motion_policy.evaluation.threads import one_thread
from motion_policy.evaluation.trials import TrialRunner
from motion_policy.evaluation.video_file import check_video_path
from motion_policy.files import make_folder
from motion_policy.policies import Policy, load_policy
from motion_policy.policies.backends.selection import BackEndChoice, chosen, use_back_end
from motion_policy.policies.checkpoint import Checkpoint, read_checkpoint
from motion_policy.policies.video.predictor import FramePredictorModel


@dataclass(frozen=True)
class Arguments:
    """Judge a policy: open loop on recordings, or closed loop on the simulated arm.

    On episodes and bags the policy steps over the recorded observations, and what it asks for is
    held against what was recorded. On sim:SCENE:TASK it drives the simulated arm through the
    controller of the real one. A frame predictor is judged on recordings: PSNR and SSIM of the
    frames that it predicts, beside those of the last frame seen.
    """

    checkpoint: Annotated[
        str,
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar='CHECKPOINT', help='folder of the policy, or the name of one in models/'
        ),
    ]
    data: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar='DATA...',
            help='episode files, folders of episodes, rosbag2 folders; or one of: '
            + ', '.join(SCENES),
        ),
    ]
    mix: float = 1.0
    """the policy sees MIX * sensor + (1 - MIX) * its own last prediction; 0: free running"""
    mix_joint: float | None = None
    """the same for the joint positions alone; default: as --mix"""
    mix_image: float | None = None
    """the same for the images alone; default: as --mix"""
    mix_effort: float | None = None
    """the same for the joint efforts alone; default: as --mix"""
    trials: int = 50
    """sim: trials per position"""
    seed: int = 0
    """sim, frame predictor: fixes every trial, or every latent"""
    positions: tuple[str, ...] = ()
    """sim: where the object stands: names, 'random', or metres; all of the scene if not given"""
    jobs: int = 1
    """sim: processes that share the trials; the results do not depend on it"""
    execute: int = 0
    """sim, chunks: rows of each chunk to play before the next takes over; 0: half of them"""
    crossfade: float = ChunkExecution.crossfade_s
    """sim, chunks: seconds for which a new chunk is blended with the one before"""
    ensemble: float = 0.0
    """sim, chunks: coefficient of temporal ensembling (the paper's is 0.01); 0: none"""
    latency: float = 0.0
    """sim: simulated seconds that every inference takes; the arm goes on meanwhile"""
    foresight: str = ''
    """sim: what watches the policy: a calibrated frame predictor, or 'own': what the policy itself
    foresees"""
    disturb: tuple[str, ...] = ()
    """sim, foresight: run all trials again and disturb them: cube-removed, camera-covered,
    arm-pushed"""
    out: Path | None = None
    """write report.html, plots, evaluation.json (and the video of a recording) here"""
    json: Path | None = None
    """write all numbers to this file"""
    video: Path | None = None
    """write a video (.mp4 or .gif): the first recording, or the first trial of each position"""
    samples: int = 100
    """frame predictor: futures of each clip, from the prior"""
    future: int = 0
    """frame predictor: frames to predict; 0: as many as in training"""
    every: int = 0
    """frame predictor: frames from one clip to the next; 0: only the first of each recording"""
    learn_from: tuple[str, ...] = ()
    """frame predictor: recordings from whose frames it is learnt to read actions; those that it
    was trained on if not given"""
    device: str = 'cpu'
    """where the policy runs: cpu, cuda, cuda:1, ..."""
    backend: str = 'auto'
    """who computes the policy: auto, eager, torch, onnx or openvino; auto: the fastest that is
    installed and gives the policy's own numbers"""
    precision: str = 'float32'
    """float32 or bf16"""


# Options that recordings have no use for.
FOR_CHUNKS = ('execute', 'crossfade', 'ensemble')
FOR_SCENES = (
    'trials', 'seed', 'positions', 'jobs', *FOR_CHUNKS, 'latency', 'foresight', 'disturb',
)  # fmt: skip
FOR_FRAMES = ('samples', 'future', 'every', 'learn_from')


def run(arguments: Arguments) -> int:
    """Evaluate, print a table, write what was asked for."""
    if not arguments.data:
        raise UserError('evaluate: no DATA given, expected episodes, a bag or sim:SCENE:TASK')
    if arguments.video is not None:
        check_video_path(arguments.video)
    check_device('evaluate', arguments.device)
    if any(is_scene(item) for item in arguments.data):
        return _run_scene(arguments)
    checkpoint = read_checkpoint(arguments.checkpoint)
    if checkpoint.spec.kind == FramePredictorModel.kind:
        unused = [name for name in FOR_SCENES if name != 'seed']
        mixes = [name for name in vars(arguments) if name.startswith('mix')]
        _refuse(arguments, (*unused, *mixes, 'backend', 'precision'), 'a policy')
        return run_frames(arguments, checkpoint)
    return _run_recordings(arguments, checkpoint)


def _run_recordings(arguments: Arguments, checkpoint: Checkpoint) -> int:
    _refuse(arguments, FOR_SCENES, 'a simulated task, found recordings')
    _refuse(arguments, FOR_FRAMES, 'a frame predictor')
    mix = _mix(arguments)
    choice = _back_end(arguments)
    policy = load_policy(checkpoint, device=arguments.device)
    recordings = find_recordings(arguments.data, policy)
    console = Console()
    with console.status('choosing the back end'), one_thread():
        use_back_end(policy, choice, time.perf_counter_ns)
    runner = PolicyRunner(policy, policy.spec.robot, mix)
    with progress(console, 'recordings', len(recordings)) as advance:
        evaluation = evaluate_recordings(runner, recordings, on_result=advance)
    title = f'{policy.source}: {count_words(len(recordings))}, {mix_words(mix)}'
    table = joint_table(
        evaluation.pooled(),
        evaluation.image_mse(),
        evaluation.pooled_efforts(),
        evaluation.pooled_tool(),
        evaluation.labels,
    )
    print_table(console, title, table)
    driven = evaluation.interventions()
    if driven is not None:
        console.print(f'{driven.rollouts} rollouts of a policy: {driven}', soft_wrap=True)
    video = arguments.video
    if video is None and arguments.out is not None:
        video = make_folder(arguments.out) / 'evaluation.mp4'
    if video is not None:
        with console.status('writing the video'):
            write_first_video(evaluation, video)
    write_numbers(arguments, evaluation.to_json())
    if arguments.out is not None:
        with console.status('writing the report'):
            write_recorded_report(evaluation, arguments.out, video)
    say_where(console, arguments, video)
    return 0


def _run_scene(arguments: Arguments) -> int:
    if len(arguments.data) > 1:
        raise UserError('evaluate: one simulated task at a time, without recordings beside it')
    _refuse(arguments, FOR_FRAMES, 'a frame predictor, which moves no arm')
    trials, jobs, seed = arguments.trials, arguments.jobs, arguments.seed
    check_least('evaluate', arguments, trials=1, jobs=1, seed=0)
    check_latency('evaluate', arguments.latency)
    disturb = _disturbances(arguments)
    console = Console()
    with console.status('choosing the back end'):
        runner = TrialRunner(
            arguments.checkpoint, find_scene(arguments.data[0]), arguments.device,
            _mix(arguments), trace=arguments.out is not None, latency_s=arguments.latency,
            chunks=execution_of_options(arguments), back_end=_back_end(arguments),
            foresight=Foresight(arguments.foresight) if arguments.foresight else None,
        )  # fmt: skip
    if runner.policy.chunk_rows == 1:
        _refuse(arguments, FOR_CHUNKS, f'chunks of many rows, found {runner.policy.kind}')
    positions = arguments.positions or runner.scene.positions
    runner.check_positions(positions)
    count = trials * len(positions) * (1 + len(disturb))
    begin = time.monotonic()
    with progress(console, 'trials', count) as advance:
        evaluation = evaluate_scene(
            runner, positions, trials, seed, jobs=jobs, disturb=disturb, on_result=advance
        )
    taken_s = time.monotonic() - begin
    print_table(
        console, f'{runner.policy.source} on {runner.scene.name}, seed {seed}',
        success_table(evaluation.summary),
    )  # fmt: skip
    noticed = evaluation.summary['foresight']
    if noticed is not None:
        title = f'what {noticed["source"]} noticed'
        print_table(console, title, detection_table(noticed['detection']))
    console.print(
        f'{count} trials in {taken_s:.0f} s: {taken_s / count:.2f} s each, {jobs} job(s), '
        f'{_computed_by(runner.policy, _back_end(arguments))}'
    )
    if arguments.video is not None:
        with console.status('recording the first trial of each position'):
            write_success_video(evaluation, arguments.video)
    write_numbers(arguments, evaluation.summary)
    if arguments.out is not None:
        with console.status('writing the report'):
            write_success_report(evaluation, arguments.out, arguments.video)
    say_where(console, arguments, arguments.video)
    runner.close()
    return 0


def _mix(arguments: Arguments) -> Mix:
    """What --mix says, and --mix-joint, --mix-image and --mix-effort where they are given."""
    shares = {}
    for name in Mix().to_json():
        given = getattr(arguments, f'mix_{name}')
        option = '--mix' if given is None else f'--mix-{name}'
        shares[name] = share = arguments.mix if given is None else given
        if not 0 <= share <= 1:
            raise UserError(f'evaluate: {option} is {share}, expected a number from 0 to 1')
    return Mix(**shares)


def _back_end(arguments: Arguments) -> BackEndChoice:
    try:
        return BackEndChoice(arguments.backend, arguments.precision)
    except UserError as error:
        raise UserError(f'evaluate: --{error}') from None


def _computed_by(policy: Policy, asked: BackEndChoice) -> str:
    choice = chosen(policy)
    other = (
        '' if choice.precision == asked.precision else f', {asked.precision} is not to be had here'
    )
    return f'back end {choice.name} in {choice.precision}{other}'


def _refuse(arguments: Arguments, names: Sequence[str], purpose: str) -> None:
    refuse('evaluate', arguments, names, purpose)


def _disturbances(arguments: Arguments) -> tuple[str, ...]:
    """The names of --disturb, which commas may part as well."""
    names = tuple(name for given in arguments.disturb for name in given.split(',') if name)
    for name in names:
        if name not in DISTURBANCES:
            raise UserError(
                f"evaluate: --disturb '{name}', expected some of: {', '.join(DISTURBANCES)}"
            )
    if names and not arguments.foresight:
        raise UserError('evaluate: --disturb is for --foresight, expected who is to notice')
    return names
