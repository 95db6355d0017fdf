# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Defects of demonstrations: each kind in five strengths, made in copies of real files.

The weakest is a little beyond the threshold of a warning, the strongest gross.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np

from motion_policy.episodes.layout import COMPRESS_LEN, dataset_names, row_axis
from motion_policy.robot import RobotSpec, robot_spec_from_yaml
from quality_campaign.demonstrations import Pixels, rewrite

CAMERA, JOINT = 'top', 1
QPOS, ACTION = 'observations/qpos', 'action'
IMAGES, DEPTH = f'observations/images/{CAMERA}', f'observations/depth/{CAMERA}'

Change = Callable[[h5py.File, float, np.random.Generator], None]


@dataclass(frozen=True)
class Defect:
    """One kind of defect: which check it is for, its strengths, and how a file gets it."""

    name: str
    kind: str
    unit: str
    strengths: tuple[float, float, float, float, float]
    change: Change | None = None
    see: Callable[[float], Callable[[str, int, Pixels], Pixels]] | None = None

    def make(self, source: Path, target: Path, strength: float, seed: int) -> None:
        """Write the episode with this defect."""
        if self.see is not None:
            rewrite(source, target, self.see(strength))
            return
        assert self.change is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        with h5py.File(target, 'r+', libver=('v110', 'v110')) as file:
            self.change(file, strength, np.random.default_rng(seed))


def _period_s(file: h5py.File) -> float:
    return 1.0 / float(file.attrs['rate'])


def _rows(file: h5py.File) -> int:
    return int(file['time_ns'].shape[0])


def _cut(file: h5py.File, rows: int) -> None:
    for name in dataset_names(file):
        file[name].resize(max(1, rows), axis=row_axis(name))


def _longer(file: h5py.File, rows: int, *, at_the_head: bool) -> None:
    """Let the arm stand for more rows at its first or its last pose, before a live camera."""
    before = _rows(file)
    period_ns = int(file['time_ns'][1] - file['time_ns'][0])
    for name in dataset_names(file):
        axis, data = row_axis(name), file[name]
        data.resize(before + rows, axis=axis)
        values = data[()]
        rolled = np.moveaxis(values, axis, 0)
        if name == 'time_ns' or name.endswith(('header_ns', 'receive_ns')):
            rolled[before:] = rolled[before - 1] + period_ns * np.arange(1, rows + 1)
        elif at_the_head:
            rolled[rows:] = rolled[:before].copy()
            rolled[:rows] = rolled[rows]
        else:
            rolled[before:] = rolled[before - 1]
        data[...] = values


def _hold(file: h5py.File, rows: np.ndarray) -> None:
    """In these rows no new image of the camera came: that before stands, older by then."""
    stamps, times = file[f'stamps/{CAMERA}'], file['time_ns'][()]
    lengths = list(file.attrs['cameras']).index(CAMERA)
    for row in np.flatnonzero(rows):
        for field in ('header_ns', 'receive_ns'):
            stamps[field][row] = stamps[field][row - 1]
        stamps['age_ns'][row] = stamps['age_ns'][row - 1] + times[row] - times[row - 1]
        file[IMAGES][row] = file[IMAGES][row - 1]
        file[COMPRESS_LEN][lengths, row] = file[COMPRESS_LEN][lengths, row - 1]
    came = np.unique(stamps['receive_ns'][()])
    stamps.attrs['received'] = len(came)
    stamps.attrs['max_gap_ns'] = np.diff(came).max(initial=0)


def _show(file: h5py.File, rows: np.ndarray, image: Callable[[], np.ndarray]) -> None:
    """Store other images, as a recorder does."""
    lengths = list(file.attrs['cameras']).index(CAMERA)
    for row in np.flatnonzero(rows):
        data = cv2.imencode('.jpg', image(), [cv2.IMWRITE_JPEG_QUALITY, 80])[1].ravel()
        data = data[: file[IMAGES].shape[1]]
        file[IMAGES][row] = np.pad(data, (0, file[IMAGES].shape[1] - len(data)))
        file[COMPRESS_LEN][lengths, row] = len(data)


def _size(file: h5py.File) -> tuple[int, int, int]:
    data = file[IMAGES][0]
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return image.shape  # type: ignore[no-any-return]


def _duration(file: h5py.File, seconds: float, _: np.random.Generator) -> None:
    _cut(file, round(seconds / _period_s(file)))


def _length(file: h5py.File, share: float, _: np.random.Generator) -> None:
    _cut(file, round(share * _rows(file)))


def _rate(file: h5py.File, share: float, _: np.random.Generator) -> None:
    _hold(file, np.diff(np.floor(np.arange(_rows(file)) * share), prepend=-1) == 0)


def _gap(file: h5py.File, seconds: float, _: np.random.Generator) -> None:
    rows = np.arange(_rows(file))
    first = len(rows) // 2
    _hold(file, (rows >= first) & (rows < first + round(seconds / _period_s(file)) - 1))


def _age(file: h5py.File, seconds: float, _: np.random.Generator) -> None:
    stamps = file[f'stamps/{CAMERA}']
    stamps['header_ns'][...] -= round(1e9 * seconds)
    stamps['age_ns'][...] += round(1e9 * seconds)


def _dropped(file: h5py.File, share: float, draw: np.random.Generator) -> None:
    rows = np.zeros(_rows(file), dtype=bool)
    lost = max(1, round(share * len(rows)))
    rows[1 + draw.choice(len(rows) - 1, lost, replace=False)] = True
    _hold(file, rows)
    file[f'stamps/{CAMERA}'].attrs['dropped'] = lost


def _lead(file: h5py.File, seconds: float, _: np.random.Generator) -> None:
    file.attrs['sim'] = False
    stamps = file[f'stamps/{CAMERA}']
    stamps['header_ns'][...] = stamps['receive_ns'][()] + round(1e9 * seconds)


def _frozen(file: h5py.File, seconds: float, _: np.random.Generator) -> None:
    moved = np.abs(np.diff(file[QPOS][()], axis=0)).sum(axis=1)
    rows = round(seconds / _period_s(file)) + 1
    first = int(np.argmax(np.convolve(moved, np.ones(min(rows, len(moved))), 'valid')))
    lengths = list(file.attrs['cameras']).index(CAMERA)
    file[IMAGES][first : first + rows] = file[IMAGES][first]
    file[COMPRESS_LEN][lengths, first : first + rows] = file[COMPRESS_LEN][lengths, first]


def _exposed(low: int, high: int) -> Change:
    def change(file: h5py.File, share: float, draw: np.random.Generator) -> None:
        size, rows = _size(file), np.arange(_rows(file))
        first = len(rows) // 3 if share < 0.5 else 0
        shown = (rows >= first) & (rows < first + max(1, round(share * len(rows))))
        _show(file, shown, lambda: draw.integers(low, high + 1, size, dtype=np.uint8))

    return change


def _cut_out(file: h5py.File, rows: float, draw: np.random.Generator) -> None:
    lengths = list(file.attrs['cameras']).index(CAMERA)
    for row in draw.choice(_rows(file), round(rows), replace=False):
        length = int(file[COMPRESS_LEN][lengths, row])
        data = file[IMAGES][row][:length]
        short = np.delete(data, slice(length // 2, length // 2 + length // 8))
        file[IMAGES][row] = np.pad(short, (0, file[IMAGES].shape[1] - len(short)))
        file[COMPRESS_LEN][lengths, row] = len(short)


def _flipped(file: h5py.File, bits: float, draw: np.random.Generator) -> None:
    row = _rows(file) // 2
    data = file[IMAGES][row]
    length = int(file[COMPRESS_LEN][list(file.attrs['cameras']).index(CAMERA), row])
    for _ in range(round(bits)):
        data[draw.integers(length // 3, length - 2)] ^= 1 << draw.integers(8)
    file[IMAGES][row] = data


def _unmeasured(file: h5py.File, measured: float, draw: np.random.Generator) -> None:
    """Leave this share of every depth image."""
    depth = file[DEPTH][()]
    file[DEPTH][...] = np.where(draw.random(depth.shape) < measured, depth, 0)


def _shifted(pixels: float) -> Callable[[str, int, Pixels], Pixels]:
    return _warped(np.array([[1.0, 0, pixels], [0, 1, 0.5 * pixels]]))


def _turned(degrees: float) -> Callable[[str, int, Pixels], Pixels]:
    return _warped(cv2.getRotationMatrix2D((64, 64), degrees, 1.0))


def _warped(matrix: np.ndarray) -> Callable[[str, int, Pixels], Pixels]:
    def see(_camera: str, _row: int, image: Pixels) -> Pixels:
        size = image.shape[1], image.shape[0]
        return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT))

    return see


def _joints(change: Callable[[np.ndarray, float, float], np.ndarray], *names: str) -> Change:
    """Change (T,) positions of one joint; given strength and the time between two rows."""

    def made(file: h5py.File, strength: float, _: np.random.Generator) -> None:
        for name in names:
            values = file[name][()]
            values[:, JOINT] = change(values[:, JOINT], strength, _period_s(file))
            file[name][...] = values

    return made


def _faster(file: h5py.File, times: float, _: np.random.Generator) -> None:
    rows = np.minimum((np.arange(_rows(file)) * times).astype(int), _rows(file) - 1)
    for name in (QPOS, ACTION):
        file[name][...] = file[name][()][rows]


def _later(file: h5py.File, seconds: float, _: np.random.Generator) -> None:
    rows = np.maximum(np.arange(_rows(file)) - round(seconds / _period_s(file)), 0)
    file[QPOS][...] = file[QPOS][()][rows]


def _clipped(file: h5py.File, share: float, _: np.random.Generator) -> None:
    """Stop the joint at a limit, also of its spec, that it reaches in this share of the rows."""
    text = file.attrs['robot']
    positions = file[QPOS][:, JOINT]
    limit = float(np.quantile(positions, 1 - share))
    robot = robot_spec_from_yaml(text, 'robot')
    limits = [list(each) for each in robot.joints.limits.position]
    limits[JOINT][1] = limit
    data = robot.model_dump(mode='json', exclude_none=True)
    data['joints']['limits']['position'] = limits
    file.attrs['robot'] = RobotSpec.model_validate(data).to_yaml()
    positions = np.minimum(positions, limit)
    file[QPOS][:, JOINT] = positions


def _trembling(values: np.ndarray, strength: float, period_s: float) -> np.ndarray:
    return values + strength * np.sin(10 * np.pi * period_s * np.arange(len(values)))


def _spikes(values: np.ndarray, strength: float, period_s: float) -> np.ndarray:
    rows = np.arange(len(values))
    return values + strength * (abs(rows - len(rows) // 2) * period_s < 0.15)


def _fading(values: np.ndarray, strength: float, period_s: float) -> np.ndarray:
    return values + strength * np.clip(1 - np.arange(len(values)) * period_s / 2, 0, 1)


DEFECTS = (
    Defect('cut short', 'duration', 's', (0.9, 0.7, 0.5, 0.25, 0.1), _duration),
    Defect('only the beginning', 'length', 'share', (0.3, 0.27, 0.24, 0.2, 0.15), _length),
    Defect('a slow camera', 'rate', 'share', (0.85, 0.75, 0.6, 0.5, 0.3), _rate),
    Defect('a pause of a camera', 'gap', 's', (0.14, 0.16, 0.18, 0.2, 0.22), _gap),
    Defect('a late camera', 'age', 's', (0.155, 0.165, 0.175, 0.185, 0.195), _age),
    Defect('lost images', 'dropped', 'share', (0.01, 0.02, 0.05, 0.1, 0.2), _dropped),
    Defect('a clock ahead', 'lead', 's', (0.003, 0.006, 0.012, 0.025, 0.1), _lead),
    Defect('a frozen camera', 'frozen', 's', (0.5, 0.7, 1.0, 2.0, 3.0), _frozen),
    Defect('black images', 'exposure', 'share', (0.002, 0.02, 0.1, 0.3, 1.0), _exposed(0, 6)),
    Defect('white images', 'exposure', 'share', (0.002, 0.02, 0.1, 0.3, 1.0), _exposed(249, 255)),
    Defect('a covered lens', 'exposure', 'share', (0.002, 0.02, 0.1, 0.3, 1.0), _exposed(90, 98)),
    Defect('a dazzled depth camera', 'coverage', 'share', (0.3, 0.2, 0.1, 0.04, 0.0), _unmeasured),
    Defect('less depth than usual', 'usual_coverage', 'share', (0.65, 0.6, 0.55, 0.5, 0.4),
           _unmeasured),
    Defect('JPEG with bytes lost', 'damaged', 'rows', (1, 2, 5, 20, 100), _cut_out),
    Defect('JPEG with bits flipped', 'damaged', 'bits', (1, 4, 16, 64, 256), _flipped),
    Defect('a camera shifted', 'moved', 'px of 128', (2, 3, 5, 8, 15), see=_shifted),
    Defect('a camera turned', 'moved', 'degrees', (3, 5, 8, 12, 20), see=_turned),
    Defect('a joint that hardly moves', 'still', 'share', (0.18, 0.12, 0.08, 0.03, 0.0),
           _joints(lambda v, s, _: v[0] + s * (v - v[0]), QPOS)),
    Defect('a joint at its limit', 'clipped', 'share', (0.07, 0.1, 0.2, 0.4, 0.7), _clipped),
    Defect('played too fast', 'speed', 'times', (3, 4, 5, 6, 8), _faster),
    Defect('trembling at 5 Hz', 'jerk', 'rad', (0.01, 0.015, 0.025, 0.05, 0.1),
           _joints(_trembling, QPOS, ACTION)),
    Defect('a leader off', 'offset', 'rad', (0.13, 0.18, 0.25, 0.4, 0.8),
           _joints(lambda v, s, _: v + s, ACTION)),
    Defect('an arm behind', 'lag', 's', (0.3, 0.35, 0.45, 0.6, 1.0), _later),
    Defect('a command far away', 'action', 'rad', (0.65, 0.8, 1.0, 1.4, 2.0),
           _joints(_spikes, ACTION)),
    Defect('standing at first', 'idle_head', 's', (3.3, 4.0, 6.0, 9.0, 12.0),
           lambda f, s, _: _longer(f, round(s / _period_s(f)), at_the_head=True)),
    Defect('standing at last', 'idle_tail', 's', (3.3, 4.0, 6.0, 9.0, 12.0),
           lambda f, s, _: _longer(f, round(s / _period_s(f)), at_the_head=False)),
    Defect('begun elsewhere', 'start_pose', 'rad', (0.4, 0.5, 0.65, 0.9, 1.4),
           _joints(_fading, QPOS, ACTION)),
    Defect('ended elsewhere', 'end_pose', 'rad', (0.5, 0.7, 0.9, 1.2, 1.6),
           _joints(lambda v, s, p: _fading(v[::-1], s, p)[::-1], QPOS, ACTION)),
)  # fmt: skip
