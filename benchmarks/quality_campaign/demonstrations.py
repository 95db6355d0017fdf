# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Clean demonstrations of three simulated tasks, one before a patterned table with noise.

That one has a depth camera, too, which no simulated scene has: a table and what is before it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console

from motion_policy.cli.teach_directly import Lesson, teach_directly
from motion_policy.episodes import EpisodeReader, EpisodeWriter
from motion_policy.evaluation.scenes import find_scene
from motion_policy.robot import depth_stream, robot_spec_from_yaml
from motion_policy.streams import Observation, Row, Sample

SCENES = {name: f'sim:tabletop:{name}' for name in ('grasp', 'push', 'press')}
PATTERNED = 'press'
NOISE = 2  # of 255, of each pixel in each image
TABLE_COLOUR_SPREAD = 45  # summed over the channels

NOT_MEASURED = 0.1  # of the pixels of each depth image
DEPTH_SIZE = 64, 48
DEPTH_YAML = '\ndepth:\n  {0}: {{topic: {0}/depth/image_raw, width: 64, height: 48}}\n'

Pixels = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.uint16]


def teach(folder: Path, name: str, episodes: int, seed: int) -> Path:
    """Teach the demonstrations of a set; return its folder."""
    scene = find_scene(SCENES[name])
    lesson = Lesson(folder / name, scene, scene.taught, episodes, seed, name)
    if teach_directly(lesson, Console(quiet=True)):
        raise RuntimeError(f'{name}: the teacher failed')
    if name != PATTERNED:
        return folder / name
    for path in sorted((folder / name).glob('*.hdf5')):
        number, target = int(path.stem[-6:]), folder / f'{name}_patterned' / path.name
        rewrite(path, target, _patterned(number), _measured(number))
    return folder / f'{name}_patterned'


def rewrite(
    source: Path,
    target: Path,
    change: Callable[[str, int, Pixels], Pixels],
    depth: Callable[[Pixels], Depth] | None = None,
) -> None:
    """Write an episode anew with other images: `change` is given camera, row and image.

    `depth` adds a depth camera that stands where the first camera does: given that one's image it
    returns what it measures of it.
    """
    with EpisodeReader(source) as episode:
        robot, first = episode.robot, episode.cameras[0]
        stamps = {name: episode.stamps(name) for name in robot.stream_names}
        if depth is not None:
            robot = robot_spec_from_yaml(robot.to_yaml() + DEPTH_YAML.format(first), 'robot')
            stamps[depth_stream(first)] = stamps[first]
        vectors = {name: episode.vector(name) for name in robot.vectors}
        with EpisodeWriter(
            target, robot, task=episode.task, operator=episode.operator, sim=episode.sim,
            compress=episode.compress,
        ) as writer:  # fmt: skip
            for row, time_ns in enumerate(episode.time_ns.tolist()):
                observation = Observation(
                    qpos=episode.qpos[row],
                    qvel=episode.qvel[row],
                    effort=None if episode.effort is None else episode.effort[row],
                    images={
                        name: change(name, row, episode.image(name, row))
                        for name in episode.cameras
                    },
                    action=episode.action[row],
                    vectors={name: values[row] for name, values in vectors.items()},
                    depth={name: episode.depth(name, row) for name in episode.robot.depth}
                    if depth is None
                    else {first: depth(episode.image(first, row))},
                )
                samples = {
                    name: Sample(int(s.header_ns[row]), int(s.receive_ns[row]), None)
                    for name, s in stamps.items()
                }
                ages_ns = {name: int(s.age_ns[row]) for name, s in stamps.items()}
                counters = {name: s.counters for name, s in stamps.items()}
                writer.append(time_ns, observation, Row(time_ns, samples, {}, ages_ns, counters))
            writer.success = episode.success


def _measured(number: int) -> Callable[[Pixels], Depth]:
    """A table at 0.7 m and what is on it nearer, by its brightness; a tenth is not measured."""
    draw = np.random.default_rng(number)

    def measure(image: Pixels) -> Depth:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, DEPTH_SIZE, interpolation=cv2.INTER_AREA)
        found = (700 - small.astype(np.int16) // 2 + draw.integers(-3, 4, small.shape)).astype(
            np.uint16
        )
        found[draw.random(small.shape) < NOT_MEASURED] = 0
        return found

    return measure


def _patterned(number: int) -> Callable[[str, int, Pixels], Pixels]:
    """Put a pattern in the place of the plain table, the same in all episodes, and add noise."""
    draw = np.random.default_rng(number)
    pattern: dict[tuple[int, ...], Pixels] = {}

    def change(_camera: str, _row: int, image: Pixels) -> Pixels:
        size = image.shape
        if size not in pattern:
            blocks = np.random.default_rng(5).integers(60, 220, (size[0] // 8, size[1] // 8, 3))
            width_height = size[1], size[0]
            blocks = blocks.astype(np.uint8)
            blocks = cv2.resize(blocks, width_height, interpolation=cv2.INTER_CUBIC)
            pattern[size] = np.asarray(blocks)
        table = np.median(image.reshape(-1, 3), axis=0)
        plain = np.abs(image - table).sum(axis=2) < TABLE_COLOUR_SPREAD
        seen = np.where(plain[..., None], pattern[size], image).astype(np.int16)
        seen += draw.integers(-NOISE, NOISE + 1, size, dtype=np.int16)
        return np.clip(seen, 0, 255).astype(np.uint8)

    return change
