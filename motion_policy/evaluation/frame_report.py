# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Report of a frame predictor: scores, curves, video of recorded and predicted frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from motion_policy.evaluation.frame_actions import mean_r_squared
from motion_policy.evaluation.frame_judging import (
    BEST,
    COPY,
    MEAN,
    POSTERIOR,
    RANDOM,
    SCORES,
    TRUTH,
    WHO,
    FrameEvaluation,
    futures_of,
)
from motion_policy.evaluation.plots import STYLE, png_bytes
from motion_policy.evaluation.provenance import model_provenance, policy_label
from motion_policy.evaluation.video_file import VideoFile
from motion_policy.files import make_folder, write_bytes
from motion_policy.html_report import Report, Table
from motion_policy.palette import FREE, POLICY, RULE, UNTAUGHT
from motion_policy.palette import TRUTH as GREY

RgbImage = npt.NDArray[np.uint8]  # (H, W, 3)

UNITS = {'psnr': 'PSNR (dB)', 'ssim': 'SSIM'}
COLOURS = {BEST: POLICY, MEAN: UNTAUGHT, POSTERIOR: FREE, COPY: GREY}
VIDEO = 'predicted.gif'
VIDEO_CLIPS = 3
TILE, GAP, BAND = 160, 8, 22  # pixels
INK, PAPER, SEEN, PREDICTED = (31, 41, 51), 255, (154, 165, 177), (11, 132, 87)


def score_table(evaluation: FrameEvaluation) -> Table:
    """Who, PSNR, SSIM, and how well actions can be read from the frames."""
    shares = {who: mean_r_squared(each) for who, each in evaluation.action_r2.items()}
    # Of the samples, one at random stands for all of them.
    shares[MEAN] = shares.get(RANDOM)
    rows = [
        (
            words,
            f'{evaluation.mean("psnr", who):.2f}',
            f'{evaluation.mean("ssim", who):.4f}',
            _share(shares.get(who)),
        )
        for who, words in WHO.items()
    ]
    if TRUTH in shares:
        rows.append(('the frames that came', '', '', _share(shares[TRUTH])))
    return Table(('frames', 'PSNR (dB)', 'SSIM', 'action R2'), rows)


def _share(share: float | None) -> str:
    return '' if share is None else f'{share:.3f}'


def write_frame_report(evaluation: FrameEvaluation, folder: Path) -> Path:
    """report.html, curves.png and predicted.gif in `folder`; return the report."""
    make_folder(folder)
    model = evaluation.model
    gain = evaluation.mean('psnr', MEAN) - evaluation.mean('psnr', COPY)
    report = Report(
        f'{policy_label(model)}: {evaluation.future} frames ahead',
        f'What the camera would show, predicted from {model.config.past} frames and the planned '
        f'actions, held against what it showed, in {len(evaluation.clips)} clips.',
    )
    report.headline(f'{gain:+.2f} dB against the last frame seen, repeated')
    report.table(score_table(evaluation))
    if not evaluation.action_r2:
        report.caption('No action inference: no recordings to learn it from were at hand.')
    report.section('Step by step')
    png = png_bytes(curves_figure(evaluation))
    write_bytes(folder / 'curves.png', png)
    report.image(png, 'PSNR and SSIM of every predicted step')
    for score in SCORES:
        report.table(_step_table(evaluation, score))
    report.section('What came, and what was predicted')
    write_frame_video(evaluation, folder / VIDEO)
    report.video(folder / VIDEO)
    report.caption(
        'From left to right: what came; what the posterior makes of it, which sees the future; '
        'the best sample; the first sample. A grey bar: frames that were seen; green: predicted.'
    )
    if evaluation.action_r2:
        report.section('Actions read from the frames')
        report.table(_action_table(evaluation))
    report.section('How this was made')
    facts = {**evaluation.protocol(), **model_provenance(model)}
    report.facts([(name, str(value)) for name, value in facts.items()])
    path = folder / 'report.html'
    report.write(path)
    return path


def _step_table(evaluation: FrameEvaluation, score: str) -> Table:
    digits = 2 if score == 'psnr' else 4
    steps = [str(step) for step in range(1, evaluation.future + 1)]
    rows = [
        (words, *(f'{value:.{digits}f}' for value in evaluation.curves[score][who]))
        for who, words in WHO.items()
    ]
    return Table((UNITS[score], *steps), rows)


def _action_table(evaluation: FrameEvaluation) -> Table:
    names = evaluation.model.joint_names
    words = {**WHO, RANDOM: 'the first sample', TRUTH: 'the frames that came'}
    rows = [
        (words[who], *(_share(share) for share in shares))
        for who, shares in evaluation.action_r2.items()
    ]
    return Table(('R2', *names), rows)


def curves_figure(evaluation: FrameEvaluation) -> Figure:
    """PSNR and SSIM over the predicted steps."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout='constrained')
        steps = np.arange(1, evaluation.future + 1)
        for axis, score in zip(figure.subplots(1, 2), SCORES, strict=True):
            for who, words in WHO.items():
                axis.plot(
                    steps, evaluation.curves[score][who], color=COLOURS[who], lw=1.8, label=words,
                    marker='o', ms=3,
                )  # fmt: skip
            axis.set_title(UNITS[score], loc='left', weight='bold')
            axis.set_xlabel('predicted step')
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.grid(axis='y', color=RULE, lw=0.6)
            axis.tick_params(length=0)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc='outside upper center', ncols=len(labels))
    return figure


def write_frame_video(evaluation: FrameEvaluation, path: Path) -> None:
    """Truth, posterior, best and first sample side by side, a few clips below each other."""
    model, past = evaluation.model, evaluation.model.config.past
    count = min(VIDEO_CLIPS, len(evaluation.clips))
    rows = []
    for number in np.linspace(0, len(evaluation.clips) - 1, count).astype(int).tolist():
        one = evaluation.clips[number]
        futures = futures_of(model, one.clip, evaluation.samples, evaluation.seed, number)
        seen = model.unit_frames(one.clip.frames[None, :past])[:, 0].cpu()
        columns = (
            futures.truth, futures.posterior, futures.samples[one.best], futures.samples[0],
        )  # fmt: skip
        rows.append([[*seen, *frames] for frames in columns])
    with VideoFile(path, min(model.spec.rate, 10.0)) as video:
        for frame in range(past + evaluation.future):
            colour = SEEN if frame < past else PREDICTED
            video.write(_sheet([[column[frame] for column in row] for row in rows], colour))


def _sheet(rows: list[list[Tensor]], colour: tuple[int, int, int]) -> RgbImage:
    """Frames in rows and columns under their names, and a bar that tells seen from predicted."""
    names = ('truth', 'posterior', 'best', 'random')
    height = BAND + len(rows) * (TILE + GAP)
    sheet: Any = np.full((height, len(names) * (TILE + GAP) + GAP, 3), PAPER, np.uint8)
    for place, name in enumerate(names):
        left = GAP + place * (TILE + GAP)
        cv2.putText(sheet, name, (left, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
        sheet[BAND - 4 : BAND - 1, left : left + TILE] = colour
        for row, frames in enumerate(rows):
            top = BAND + row * (TILE + GAP)
            pixels = (frames[place].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            large = cv2.resize(pixels, (TILE, TILE), interpolation=cv2.INTER_NEAREST)
            sheet[top : top + TILE, left : left + TILE] = large
    return sheet
