# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""An episode for Rerun, read back by Rerun's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import viewed_episodes
from full_disks import largest_file
from recordings import START_NS, scene
from viewed_episodes import HEIGHT, JOINTS, ROWS, WIDTH, true_colours

from motion_policy.cli.main import main
from motion_policy.episodes import EpisodeReader

chunk = pytest.importorskip('rerun.chunk')

PERIOD_NS = 50_000_000


class Read:
    """What a file of Rerun holds: (time [ns], row, value) by entity and component."""

    def __init__(self, path: Path) -> None:
        self.values: dict[tuple[str, str], list[tuple[int, int, Any]]] = {}
        self.static: dict[tuple[str, str], Any] = {}
        for each in chunk.RrdReader(str(path)).stream():
            batch = each.to_record_batch()
            columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
            for name, column in columns.items():
                key = (str(each.entity_path), name)
                if name in ('time', 'row', 'rerun.controls.RowId'):
                    continue
                if each.is_static:
                    self.static[key] = column[0]
                    continue
                times = batch.column('time').cast('int64').to_pylist()
                rows = zip(times, columns['row'], column, strict=True)
                self.values.setdefault(key, []).extend(rows)

    def scalars(self, entity: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return times, rows and values of an entity."""
        found = sorted(self.values[entity, 'Scalars:scalars'], key=lambda each: each[1])
        times, rows, values = zip(*found, strict=True)
        return np.array(times), np.array(rows), np.array(values)[:, 0]


@pytest.fixture(scope='module')
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('viewed')
    return viewed_episodes.write_viewed(folder / 'episode_000000.hdf5')


@pytest.fixture(scope='module')
def found(episode: Path) -> Read:
    out = episode.parent / 'out.rrd'
    assert main(['inspect', str(episode), '--rerun', str(out)]) == 0
    return Read(out)


def test_every_curve_is_that_of_the_file_on_both_timelines(found: Read, episode: Path) -> None:
    with EpisodeReader(episode) as reader:
        assert reader.effort is not None
        curves = {
            f'/joints/{joint}/{kind}': values[:, place]
            for kind, values in (
                ('measured', reader.qpos), ('action', reader.action),
                ('velocity', reader.qvel), ('effort', reader.effort),
            )
            for place, joint in enumerate(JOINTS)
        }  # fmt: skip
        for name, vector in reader.robot.vectors.items():
            newest = reader.vector(name).reshape(ROWS, -1)[:, -len(vector.columns) :]
            for place, column in enumerate(vector.columns):
                escaped = column.replace('[', r'\[').replace(']', r'\]')
                curves[f'/vectors/{name}/{escaped}'] = newest[:, place]
        told = {entity for entity, component in found.values if component == 'Scalars:scalars'}
        assert told == set(curves)
        for entity, expected in curves.items():
            times, rows, values = found.scalars(entity)
            np.testing.assert_array_equal(times, reader.time_ns)
            np.testing.assert_array_equal(rows, np.arange(ROWS))
            np.testing.assert_array_equal(values, expected)


def test_images_have_their_colours_and_depth_its_metres(found: Read, episode: Path) -> None:
    for camera, rows, shift in (
        ('top', range(0, ROWS, 2), 0), ('side', range(ROWS), 1),
    ):  # fmt: skip
        images = sorted(
            found.values[f'/cameras/{camera}', 'EncodedImage:blob'], key=lambda e: e[1]
        )
        assert [(time, row) for time, row, _ in images] == [
            (START_NS + row * PERIOD_NS, row) for row in rows
        ]
        for _, row, (blob,) in images:
            assert camera == 'side' or bytes(blob) == viewed_episodes.sent_jpeg(row)
            image = true_colours(bytes(blob)).astype(int)
            assert np.abs(image - scene(row + shift, HEIGHT, WIDTH)).mean() < 4
    depths = sorted(found.values['/depth/top', 'DepthImage:buffer'], key=lambda e: e[1])
    with EpisodeReader(episode) as reader:
        for row, (_, _, (buffer,)) in enumerate(depths):
            pixels = np.frombuffer(bytes(buffer), '<u2').reshape(30, 40)
            np.testing.assert_array_equal(pixels, reader.depth('top', row))
    assert found.values['/depth/top', 'DepthImage:meter'][0][2] == [1000.0]


def test_the_tool_and_remarks_are_there(found: Read, episode: Path) -> None:
    poses = found.values['/poses/tool/action', 'Transform3D:translation']
    with EpisodeReader(episode) as reader:
        for _, row, (place,) in poses:
            a, b, c = reader.action[row].astype(float)
            x = 0.4 * np.cos(a) + 0.3 * np.cos(a + b)
            y = 0.4 * np.sin(a) + 0.3 * np.sin(a + b)
            np.testing.assert_allclose(place, (x, y, c), atol=1e-6)
    assert len(poses) == ROWS and ('/poses/vectors/tcp', 'Transform3D:quaternion') in found.values
    lines = [text for _, _, (text,) in found.values['/remarks', 'TextLog:text']]
    assert lines == [
        'task: stack: failure',
        'jerk: joint1 trembles (jerk: expected at most 2)',
        f'edits: {viewed_episodes.EDIT}',
    ]
    (robot,) = found.static['/robot', 'TextDocument:text']
    assert 'name: planar' in robot


def test_pixels_stay_pixels_and_several_episodes_are_told_apart(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        viewed_episodes.write_viewed(tmp_path / f'{name}.hdf5', compress=False)
    out = tmp_path / 'out.rrd'
    assert main(['inspect', str(tmp_path), '--rerun', str(out)]) == 0
    found = Read(out)
    for name in ('a', 'b'):
        images = {
            row: image for _, row, image in found.values[f'/{name}/cameras/side', 'Image:buffer']
        }
        pixels = np.frombuffer(bytes(images[3][0]), np.uint8).reshape(HEIGHT, WIDTH, 3)
        np.testing.assert_array_equal(pixels, scene(4, HEIGHT, WIDTH))


def test_a_file_that_cannot_be_written_leaves_none(
    tmp_path: Path, episode: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out.rrd'
    with largest_file(5_000):
        assert main(['inspect', str(episode), '--rerun', str(out)]) == 2
    assert f'error: {out}: cannot be written: ' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
