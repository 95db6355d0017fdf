# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Holds the rows of an episode against those that the sampler makes of its messages offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring.publishers import MESSAGES, messages_of

from motion_policy.episodes import EpisodeReader
from motion_policy.episodes.images import encode_jpeg
from motion_policy.nodes.subscriptions import fields_of
from motion_policy.robot import CameraSpec, load_robot_spec
from motion_policy.robot.spec import DepthSpec
from motion_policy.streams import GridSampler, Row, Sample, observation_from_row
from motion_policy.streams.frames import ImageReading, decode_image
from motion_policy.streams.images import own_jpeg
from motion_policy.streams.message_fields import with_known_fields

QUALITY = 95  # of the recorder's JPEG


def differing_rows(
    spec: str, roles: tuple[str, ...], sent: dict[str, list[int]], notes: npt.NDArray[Any],
    path: Path,
) -> int:  # fmt: skip
    """How many rows of the episode are not, to the bit, those of the messages in the notes."""
    robot = with_known_fields(load_robot_spec(spec), fields_of)
    names = [stream.name for stream in robot.streams()]
    messages = {name: made for role in roles for name, made in messages_of(robot, role).items()}
    for stream in robot.streams():
        if isinstance(stream.source, (CameraSpec, DepthSpec)):
            messages[stream.name] = [  # decoded once, not in every turn
                ImageReading(decode_image(message, stream.source), own_jpeg(message))
                for message in messages[stream.name]
            ]
    turns = {name: {ns: n % MESSAGES for n, ns in enumerate(sent[name])} for name in names}
    encoded: dict[tuple[str, int], npt.NDArray[np.uint8]] = {}

    def samples() -> Iterator[tuple[str, Sample]]:
        for note in notes[np.argsort(notes['receive_ns'], kind='stable')]:
            name, header_ns = names[note['stream']], int(note['header_ns'])
            message = messages[name][turns[name][header_ns]]
            jpeg = getattr(message, 'jpeg', None)
            yield name, Sample(header_ns, int(note['receive_ns']), message, jpeg=jpeg)

    def jpeg(camera: str, sample: Sample, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if sample.jpeg is not None:
            return sample.jpeg
        place = camera, turns[camera][sample.header_ns]
        if place not in encoded:
            encoded[place] = encode_jpeg(image, QUALITY)
        return encoded[place]

    with EpisodeReader(path) as episode:
        stored = {camera: episode.stored_images(camera) for camera in robot.cameras}
        stamps = {name: episode.stamps(name) for name in names}
        vectors = {name: episode.vector(name) for name in robot.vectors}
        times = episode.time_ns.tolist()
        place = {time_ns: row for row, time_ns in enumerate(times)}
        same = np.zeros(len(times), bool)

        def bytes_of(camera: str, index: int) -> npt.NDArray[np.uint8]:
            return stored[camera].data(stored[camera].source(index))

        def equals(row: Row, index: int) -> bool:
            observation = observation_from_row(row, robot)
            pairs: list[tuple[Any, Any]] = [
                (observation.qpos, episode.qpos[index]),
                (observation.qvel, episode.qvel[index]),
                (observation.effort, episode.effort[index]),
                (observation.action, episode.action[index]),
            ]
            pairs += [(observation.vectors[name], vectors[name][index]) for name in vectors]
            pairs += [
                (observation.depth[name], episode.depth(name, index)) for name in robot.depth
            ]
            pairs += [
                (jpeg(camera, row.samples[camera], image), bytes_of(camera, index))
                for camera, image in observation.images.items()
            ]
            for name, stamp in stamps.items():
                sample = row.samples[name]
                pairs += [
                    (sample.header_ns, stamp.header_ns[index]),
                    (sample.receive_ns, stamp.receive_ns[index]),
                    (row.ages_ns[name], stamp.age_ns[index]),
                ]
            return all(np.array_equal(one, other) for one, other in pairs)

        sampler: GridSampler | None = None
        for name, sample in samples():
            sampler = sampler or GridSampler(robot.streams(), robot.rate, sample.receive_ns)
            for row in sampler.advance(sample.receive_ns - 1):
                if row.time_ns in place:
                    same[place[row.time_ns]] = equals(row, place[row.time_ns])
            sampler.push(name, sample)
        assert sampler is not None
        for row in sampler.advance(times[-1]):
            if row.time_ns in place:
                same[place[row.time_ns]] = equals(row, place[row.time_ns])
    return int((~same).sum())
