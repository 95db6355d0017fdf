# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Size and time of images in an episode, by what they are stored as.

Images are of the simulated tabletop, 640x480 at 30 Hz, while its teacher lifts the cube, with
noise as of a camera: its variance rises with the light, and neighbours share it. Times are those
of the CPU, of all threads, for a row that is written (with its numbers, to the page cache) and
read.
The reference is JPEG of quality 95 in ALOHA's order of colours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np

from motion_policy.cli.main import main
from motion_policy.cli.measurement import Line, Measurement
from motion_policy.episodes import EpisodeReader, EpisodeWriter
from motion_policy.evaluation.scenes import SCENES
from motion_policy.robot import RobotSpec, load_robot_spec
from motion_policy.streams import Observation, Row, Sample

SUMMARY = 'images of 640x480 by what they are stored as: size, time to write and to read, error'
HEIGHT, WIDTH, RATE_HZ = 480, 640, 30.0
LEAST_FRAMES, MOST_FRAMES = 20, 220  # the teacher is done after those
READ_AT_RANDOM = 60
SENT_QUALITY = 90  # of a camera's own JPEG, whose colours have half the resolution
START_NS = 1_700_000_000_000_000_000

# By storage: how many times the size and the time to read a row at random of JPEG it may take.
ALLOWED = {
    'raw': (15.0, 1.0),
    'camera_jpeg': (1.0, 1.5),
    'png': (6.0, 4.0),
    'h264': (0.4, 10.0),
    'av1': (0.3, 10.0),
}


class Cost(NamedTuple):
    """What images cost: MB per minute, ms of a row that is written and read; PSNR in dB.

    The PSNR is None where nothing is lost.
    """

    mb_per_min: float
    write_ms: float
    in_order_ms: float
    at_random_ms: float
    psnr_db: float | None
    row_bytes: float


def lines(seconds: float, device: str, height: int = HEIGHT, width: int = WIDTH) -> list[Line]:
    """One part for each storage, of images as long as `seconds`, 7 at most."""
    count = int(np.clip(seconds * RATE_HZ, LEAST_FRAMES, MOST_FRAMES))
    return [partial(_storage, name, count, height, width) for name in ALLOWED]


def _storage(name: str, count: int, height: int, width: int) -> Iterator[Measurement]:
    frames = camera_frames(count, height, width)
    with TemporaryDirectory() as folder:
        ours = cost(name, frames, Path(folder) / 'ours.hdf5')
        reference = cost('aloha_jpeg', frames, Path(folder) / 'reference.hdf5')
    size, at_random = ALLOWED[name]
    details = {'ours_in_full': ours._asdict(), 'reference_in_full': reference._asdict()}
    lost = 'exact' if ours.psnr_db is None else f'PSNR {ours.psnr_db:.1f} dB'
    what = f'{name}, {width}x{height} at {RATE_HZ:g} Hz, {lost}'
    named = 'JPEG of quality 95'
    for unit, field, target in (
        ('MB per minute', 'mb_per_min', size),
        ('ms of CPU, written', 'write_ms', 20.0),
        ('ms of CPU, read in order', 'in_order_ms', 5.0),
        ('ms of CPU, read at random', 'at_random_ms', at_random),
    ):
        yield Measurement(
            what=what, ours=getattr(ours, field), reference=getattr(reference, field),
            reference_name=named, unit=unit, target=target, details=details,
        )  # fmt: skip


@cache
def camera_frames(count: int, height: int, width: int) -> tuple[np.ndarray, ...]:
    """What a camera sends, `count` images (H, W, 3) uint8 RGB one after the other."""
    scene, random = SCENES['sim:tabletop:grasp'], np.random.default_rng(0)
    sim = scene.make()
    frames = []
    try:
        sim.reset('C', seed=0)
        demonstration = scene.teacher()(sim, 1)
        for index in range(count):
            frames.append(_noisy(sim.render('top', height, width), random))
            sim.step(demonstration.follower(index / RATE_HZ), 1 / RATE_HZ)
    finally:
        sim.close()
    return tuple(frames)


def _noisy(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    light = image.astype(np.float32)
    noise = cv2.GaussianBlur(random.standard_normal(light.shape, dtype=np.float32), (0, 0), 0.6)
    noisy = light + noise / noise.std() * np.sqrt(0.02 * light + 1.5)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def cost(name: str, frames: tuple[np.ndarray, ...], path: Path) -> Cost:
    """Write and read an episode of these images.

    Raises:
        RuntimeError: a row that is read by itself is another one than in order.
    """
    cv2.setNumThreads(1)
    robot = _robot(*frames[0].shape[:2])
    sent = [_sent(frame) for frame in frames] if name == 'camera_jpeg' else None
    with EpisodeWriter(path, robot, storage='jpeg' if sent else name) as writer:
        write_ms = _ms(len(frames), lambda row: _append(writer, robot, row, frames, sent))
    with EpisodeReader(path) as episode:
        in_order: list[np.ndarray] = []
        in_order_ms = _ms(len(frames), lambda row: in_order.append(episode.image('top', row)))
    chosen = np.random.default_rng(1).permutation(len(frames))[:READ_AT_RANDOM].tolist()
    with EpisodeReader(path) as episode:
        found: list[np.ndarray] = []
        at_random_ms = _ms(
            len(chosen), lambda each: found.append(episode.image('top', chosen[each]))
        )
    for row, image in zip(chosen, found, strict=True):
        if not np.array_equal(image, in_order[row]):
            raise RuntimeError(f'{name}: row {row} is another one when it is read by itself')
    errors = [np.square(a.astype(int) - b).mean() for a, b in zip(in_order, frames, strict=True)]
    error = float(np.mean(errors))
    size = path.stat().st_size / len(frames)
    return Cost(
        mb_per_min=size * RATE_HZ * 60 / 1e6,
        write_ms=write_ms,
        in_order_ms=in_order_ms,
        at_random_ms=at_random_ms,
        psnr_db=10 * np.log10(255**2 / error) if error else None,
        row_bytes=size,
    )


def _ms(count: int, do: Callable[[int], object]) -> float:
    begin = time.process_time()
    for each in range(count):
        do(each)
    return 1e3 * (time.process_time() - begin) / count


def _append(
    writer: EpisodeWriter,
    robot: RobotSpec,
    index: int,
    frames: tuple[np.ndarray, ...],
    sent: list[np.ndarray] | None,
) -> None:
    time_ns = START_NS + index * robot.period_ns
    joints = np.zeros(len(robot.joints.names), np.float32)
    images: Any = {'top': frames[index] if sent is None else sent[index]}
    jpegs = {} if sent is None else images
    observation = Observation(joints, joints, None, images, joints, jpegs=jpegs)
    samples = {name: Sample(time_ns, time_ns, index) for name in robot.stream_names}
    writer.append(time_ns, observation, Row(time_ns, samples, {}, dict.fromkeys(samples, 0)))


def _sent(frame: np.ndarray) -> np.ndarray:
    """What a camera makes of an image by itself."""
    options = [cv2.IMWRITE_JPEG_QUALITY, SENT_QUALITY]
    return cv2.imencode('.jpg', cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)[1].reshape(-1)


def _robot(height: int, width: int) -> RobotSpec:
    robot = load_robot_spec('tabletop_sim')
    camera = robot.cameras['top'].model_copy(update={'height': height, 'width': width})
    return robot.model_copy(update={'rate': RATE_HZ, 'cameras': {'top': camera}})


if __name__ == '__main__':
    raise SystemExit(main(['bench', Path(__file__).stem, *sys.argv[1:]]))
