# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy evaluate CHECKPOINT DATA...` of a frame predictor: prediction scores on clips."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

from rich.console import Console

from motion_policy.cli.judging import (
    check_least,
    print_table,
    progress,
    say_where,
    write_numbers,
)
from motion_policy.evaluation.frame_actions import ActionReader, reader_of
from motion_policy.evaluation.frame_clips import clips_of
from motion_policy.evaluation.frame_judging import judge_clips
from motion_policy.evaluation.frame_report import (
    score_table,
    write_frame_report,
    write_frame_video,
)
from motion_policy.evaluation.recordings import find_recordings
from motion_policy.evaluation.threads import one_thread
from motion_policy.policies import load_model
from motion_policy.policies.checkpoint import Checkpoint
from motion_policy.policies.video.predictor import FramePredictorModel

if TYPE_CHECKING:
    from motion_policy.cli.evaluate import Arguments


def run_frames(arguments: Arguments, checkpoint: Checkpoint) -> int:
    """Judge a frame predictor on recordings, print its scores, write what was asked for."""
    check_least('evaluate', arguments, samples=1, future=0, every=0, seed=0)
    model = load_model(checkpoint, device=arguments.device)
    assert isinstance(model, FramePredictorModel)
    recordings = find_recordings(arguments.data, model)
    future = arguments.future or model.config.future
    clips = list(clips_of(recordings, model, model.config.past + future, arguments.every))
    console = Console()
    with one_thread():
        with console.status('learning to read actions from frames'):
            reader = _action_reader(arguments, model, console)
        with progress(console, 'clips', len(clips)) as advance:
            evaluation = judge_clips(
                model, clips, samples=arguments.samples, seed=arguments.seed,
                every=arguments.every, reader=reader, on_clip=advance,
            )  # fmt: skip
    print_table(
        console, f'{model.source}: {future} frames ahead, {len(clips)} clips',
        score_table(evaluation),
    )  # fmt: skip
    for name, value in evaluation.protocol().items():
        console.print(f'{name}: {value}', markup=False, highlight=False, soft_wrap=True)
    write_numbers(arguments, evaluation.to_json())
    with console.status('writing the report'):
        if arguments.video is not None:
            write_frame_video(evaluation, arguments.video)
        if arguments.out is not None:
            write_frame_report(evaluation, arguments.out)
    say_where(console, arguments, arguments.video)
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
