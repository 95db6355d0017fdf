# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy evaluate CHECKPOINT DATA...`: numbers, plots, video and a report of a policy."""

from __future__ import annotations

import glob
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import rich.table
import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from motion_policy.control import ChunkExecution, Mix, PolicyRunner
from motion_policy.errors import UserError
from motion_policy.evaluation.frame_actions import ActionReader, reader_of
from motion_policy.evaluation.frame_clips import clips_of
from motion_policy.evaluation.frame_judging import judge_clips
from motion_policy.evaluation.frame_report import (
    score_table,
    write_frame_film,
    write_frame_report,
)
from motion_policy.evaluation.recorded import (
    count_words,
    evaluate_recordings,
    joint_table,
    mix_words,
    write_first_video,
)
from motion_policy.evaluation.recorded_report import write_recorded_report
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.evaluation.report import Table, write_text
from motion_policy.evaluation.scenes import SCENES, find_scene, is_scene
from motion_policy.evaluation.simulated import (
    evaluate_scene,
    success_table,
    write_success_report,
    write_success_video,
)
from motion_policy.evaluation.threads import one_thread
from motion_policy.evaluation.trials import TrialRunner
from motion_policy.evaluation.video_file import check_video_path
from motion_policy.policies import Policy, load_model, load_policy, read_policy_spec
from motion_policy.policies.backends import BackEndChoice, chosen, use_back_end
from motion_policy.policies.checkpoint import find_checkpoint
from motion_policy.policies.frame_predictor import FramePredictorModel


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
    """the same for the joint positions alone"""
    mix_image: float | None = None
    """the same for the images alone"""
    mix_effort: float | None = None
    """the same for the joint efforts alone"""
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
FOR_SCENES = ('trials', 'seed', 'positions', 'jobs', *FOR_CHUNKS, 'latency')
FOR_FRAMES = ('samples', 'future', 'every', 'learn_from')
MAX_LATENCY_S = 60.0


def run(arguments: Arguments) -> int:
    """Evaluate, print a table, write what was asked for."""
    if not arguments.data:
        raise UserError('evaluate: no DATA given, expected episodes, a bag or sim:SCENE:TASK')
    if arguments.video is not None:
        check_video_path(arguments.video)
    _check_device(arguments.device)
    if any(is_scene(item) for item in arguments.data):
        return _run_scene(arguments)
    kind = read_policy_spec(find_checkpoint(arguments.checkpoint)).kind
    if kind == FramePredictorModel.kind:
        return _run_frames(arguments)
    return _run_recordings(arguments)


def _run_recordings(arguments: Arguments) -> int:
    _refuse(arguments, FOR_SCENES, 'a simulated task, found recordings')
    _refuse(arguments, FOR_FRAMES, 'a frame predictor')
    mix = _mix(arguments)
    choice = _back_end(arguments)
    policy = load_policy(arguments.checkpoint, device=arguments.device)
    recordings = find_recordings(arguments.data, policy)
    console = Console()
    with console.status('choosing the back end'), one_thread():
        use_back_end(policy, choice, time.perf_counter_ns)
    runner = PolicyRunner(policy, policy.spec.robot, mix)
    with _progress(console, 'recordings', len(recordings)) as advance:
        evaluation = evaluate_recordings(runner, recordings, on_result=advance)
    title = f'{policy.source}: {count_words(len(recordings))}, {mix_words(mix)}'
    table = joint_table(evaluation.pooled(), evaluation.image_mse(), evaluation.pooled_efforts())
    _print_table(console, title, table)
    video = arguments.video
    if video is None and arguments.out is not None:
        video = arguments.out / 'evaluation.mp4'
    if video is not None:
        with console.status('writing the video'):
            write_first_video(evaluation, video)
    _write(arguments, evaluation.to_json())
    if arguments.out is not None:
        with console.status('writing the report'):
            write_recorded_report(evaluation, arguments.out, video)
    _say_where(console, arguments, video)
    return 0


def _run_frames(arguments: Arguments) -> int:
    unused = [name for name in FOR_SCENES if name != 'seed']
    mixes = [name for name in vars(arguments) if name.startswith('mix')]
    _refuse(arguments, (*unused, *mixes, 'backend', 'precision'), 'a policy')
    for name, least in (('samples', 1), ('future', 0), ('every', 0), ('seed', 0)):
        if getattr(arguments, name) < least:
            raise UserError(
                f'evaluate: --{name} is {getattr(arguments, name)}, expected at least {least}'
            )
    model = load_model(arguments.checkpoint, device=arguments.device)
    assert isinstance(model, FramePredictorModel)
    recordings = find_recordings(arguments.data, model)
    future = arguments.future or model.config.future
    clips = list(clips_of(recordings, model, model.config.past + future, arguments.every))
    console = Console()
    with one_thread():
        with console.status('learning to read actions from frames'):
            reader = _action_reader(arguments, model, console)
        with _progress(console, 'clips', len(clips)) as advance:
            evaluation = judge_clips(
                model, clips, samples=arguments.samples, seed=arguments.seed,
                every=arguments.every, reader=reader, on_clip=advance,
            )  # fmt: skip
    _print_table(
        console, f'{model.source}: {future} frames ahead, {len(clips)} clips',
        score_table(evaluation),
    )  # fmt: skip
    for name, value in evaluation.protocol().items():
        console.print(f'{name}: {value}', markup=False, highlight=False, soft_wrap=True)
    _write(arguments, evaluation.to_json())
    with console.status('writing the report'):
        if arguments.video is not None:
            write_frame_film(evaluation, arguments.video)
        if arguments.out is not None:
            write_frame_report(evaluation, arguments.out)
    _say_where(console, arguments, arguments.video)
    return 0


def _action_reader(
    arguments: Arguments, model: FramePredictorModel, console: Console
) -> ActionReader | None:
    """What reads actions from frames; None, with a line that says so, without recordings."""
    paths = list(arguments.learn_from)
    if not paths:
        named = (model.spec.training.get('data') or {}).get('train') or ()
        paths = sorted(path for entry in named for path in glob.glob(str(entry)))
    if not paths:
        console.print('no action inference: what it was trained on is not here (--learn-from)')
        return None
    return reader_of(model, find_recordings(paths, model), arguments.seed)


def _run_scene(arguments: Arguments) -> int:
    if len(arguments.data) > 1:
        raise UserError('evaluate: one simulated task at a time, without recordings beside it')
    _refuse(arguments, FOR_FRAMES, 'a frame predictor, which moves no arm')
    trials, jobs, seed = arguments.trials, arguments.jobs, arguments.seed
    for name, value, least in (('trials', trials, 1), ('jobs', jobs, 1), ('seed', seed, 0)):
        if value < least:
            raise UserError(f'evaluate: --{name} is {value}, expected at least {least}')
    if not 0 <= arguments.latency <= MAX_LATENCY_S:
        raise UserError(
            f'evaluate: --latency is {arguments.latency:g}, expected 0 to {MAX_LATENCY_S:g} s'
        )
    console = Console()
    with console.status('choosing the back end'):
        runner = TrialRunner(
            arguments.checkpoint, find_scene(arguments.data[0]), arguments.device,
            _mix(arguments), trace=arguments.out is not None, chunks=_chunks(arguments),
            latency_s=arguments.latency, back_end=_back_end(arguments),
        )  # fmt: skip
    if runner.policy.chunk_rows == 1:
        _refuse(arguments, FOR_CHUNKS, f'chunks of many rows, found {runner.policy.kind}')
    positions = arguments.positions or runner.scene.positions
    runner.check_positions(positions)
    count = trials * len(positions)
    begin = time.monotonic()
    with _progress(console, 'trials', count) as advance:
        evaluation = evaluate_scene(runner, positions, trials, seed, jobs=jobs, on_result=advance)
    taken_s = time.monotonic() - begin
    _print_table(
        console, f'{runner.policy.source} on {runner.scene.name}, seed {seed}',
        success_table(evaluation.summary),
    )  # fmt: skip
    console.print(
        f'{count} trials in {taken_s:.0f} s: {taken_s / count:.2f} s each, {jobs} job(s), '
        f'{_computed_by(runner.policy)}'
    )
    if arguments.video is not None:
        with console.status('filming the first trial of each position'):
            write_success_video(evaluation, arguments.video)
    _write(arguments, evaluation.summary)
    if arguments.out is not None:
        with console.status('writing the report'):
            write_success_report(evaluation, arguments.out, arguments.video)
    _say_where(console, arguments, arguments.video)
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


def _chunks(arguments: Arguments) -> ChunkExecution:
    """How chunks are to be played."""
    return ChunkExecution(arguments.execute, arguments.crossfade, arguments.ensemble)


def _back_end(arguments: Arguments) -> BackEndChoice:
    try:
        return BackEndChoice(arguments.backend, arguments.precision)
    except UserError as error:
        raise UserError(f'evaluate: --{error}') from None


def _computed_by(policy: Policy) -> str:
    choice = chosen(policy)
    return f'back end {choice.name} in {choice.precision}'


def _refuse(arguments: Arguments, names: Sequence[str], purpose: str) -> None:
    """UserError if one of these options was given a value of its own."""
    for name in names:
        if getattr(arguments, name) != getattr(Arguments, name):
            raise UserError(f'evaluate: --{name.replace("_", "-")} is for {purpose}')


def _check_device(name: str) -> None:
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"evaluate: --device '{name}' cannot be used: {first}") from None


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[Any]:
    """A progress bar; yields what is called after each piece of work."""
    columns = (
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda result: progress.advance(task)


def _print_table(console: Console, title: str, table: Table) -> None:
    console.print(f'[bold]{title}[/bold]', highlight=False)
    shown = rich.table.Table(box=None, pad_edge=False, header_style='bold')
    for place, column in enumerate(table.columns):
        shown.add_column(column, justify='left' if place == 0 else 'right')
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)


def _write(arguments: Arguments, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    for path in (arguments.json, arguments.out and arguments.out / 'evaluation.json'):
        if path is not None:
            write_text(path, text)


def _say_where(console: Console, arguments: Arguments, video: Path | None) -> None:
    report = arguments.out and arguments.out / 'report.html'
    for path in (report, arguments.json, video):
        if path is not None:
            console.print(f'wrote {path}', highlight=False)
