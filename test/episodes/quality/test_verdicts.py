# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A good episode passes every check, and each defect in a file is the verdict of its kind."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import cv2
import h5py
import judged_episodes
import numpy as np
import pytest
import yaml

from motion_policy.cli.main import main
from motion_policy.documents import parse_yaml
from motion_policy.episodes import examine_episode
from motion_policy.episodes.quality.camera_motion import camera_shift, features_of
from motion_policy.episodes.quality.images import ImageWatch
from motion_policy.episodes.quality.sets import EpisodeProfile, EpisodeSet
from motion_policy.episodes.quality.verdict import QualityVerdict, odd_verdicts
from motion_policy.files import read_text
from motion_policy.robot import RobotSpecError, robot_spec_from_yaml
from motion_policy.robot.quality import QualitySpec

Damage = Callable[[h5py.File], None]
ROWS = 120
QPOS, ACTION, TOP = 'observations/qpos', 'action', 'observations/images/top'


@pytest.fixture(scope='module')
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_episodes.write(tmp_path_factory.mktemp('good') / 'episode_000000.hdf5', ROWS)


def verdicts_on(path: Path) -> list[QualityVerdict]:
    known = EpisodeSet()
    examined = examine_episode(path, known)
    return [*examined.verdicts, *known.verdicts(path)]


def by_kind(verdicts: list[QualityVerdict]) -> dict[str, str]:
    return {each.kind: each.level for each in reversed(odd_verdicts(verdicts))}


def test_a_good_episode_passes_every_check_with_a_number(good: Path) -> None:
    verdicts = verdicts_on(good)
    assert odd_verdicts(verdicts) == []
    # What is told only beside other episodes, of a rate in the spec, or of a depth camera.
    other = {'length', 'rate', 'moved', 'start_pose', 'end_pose', 'coverage', 'usual_coverage'}
    alone = {*QualitySpec.model_fields} - other
    assert {each.kind for each in verdicts} == alone
    lag = next(each for each in verdicts if each.kind == 'lag')
    assert lag.value == pytest.approx(judged_episodes.LAG_ROWS / judged_episodes.RATE, abs=0.01)


def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(file: h5py.File) -> None:
        file[name][...] = change(file[name][()])

    return damage


def delayed(rows: int) -> Damage:
    """Let the last sample before row 40 stand for `rows` more, as a camera that stops does."""

    def damage(file: h5py.File) -> None:
        stamps, times = file['stamps/top'], file['time_ns'][()]
        for field in ('header_ns', 'receive_ns'):
            stamps[field][40 : 40 + rows] = stamps[field][39]
        stamps['age_ns'][40 : 40 + rows] += times[40 : 40 + rows] - times[39]
        stamps.attrs['max_gap_ns'] = (rows + 1) * (times[1] - times[0])

    return damage


def dropped(file: h5py.File) -> None:
    file['stamps/leader'].attrs['dropped'] = 20


def stamped_late(file: h5py.File) -> None:
    file['stamps/top/header_ns'][...] += 31_000_000


def shows(rows: slice, pixels: Callable[[int], np.ndarray]) -> Damage:
    """Replace images by other ones, encoded as the recorder does."""

    def damage(file: h5py.File) -> None:
        for row in range(ROWS)[rows]:
            data = cv2.imencode('.jpg', pixels(row), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].ravel()
            file[TOP][row] = np.pad(data, (0, file[TOP].shape[1] - len(data)))
            file['compress_len'][0, row] = len(data)

    return damage


def flat(brightness: int) -> Callable[[int], np.ndarray]:
    size = judged_episodes.HEIGHT, judged_episodes.WIDTH, 3
    return lambda row: np.full(size, brightness + row % 2, np.uint8)


def frozen(file: h5py.File) -> None:
    file[TOP][40:80] = file[TOP][40]
    file['compress_len'][0, 40:80] = file['compress_len'][0, 40]


def cut_out(file: h5py.File) -> None:
    """Take bytes out of the middle of a JPEG, whose end stays."""
    length = int(file['compress_len'][0, 30])
    data = file[TOP][30][:length]
    file[TOP][30] = 0
    file[TOP][30, : length - 300] = np.delete(data, slice(length // 2, length // 2 + 300))
    file['compress_len'][0, 30] = length - 300


def still(values: np.ndarray) -> np.ndarray:
    return np.where(np.arange(2) == 1, values[0], values)


def moved_fast(values: np.ndarray) -> np.ndarray:
    return values[0] + 4.0 * (values - values[0])


def trembling(values: np.ndarray) -> np.ndarray:
    return values + 0.06 * np.sin(np.pi / 3 * np.arange(len(values)))[:, None]


def spike(values: np.ndarray) -> np.ndarray:
    return values + np.where(abs(np.arange(len(values)) - 60) < 4, 0.5, 0)[:, None]


def held(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[:12], np.repeat(values[12:13], len(values) - 12, axis=0)])


def both(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(file: h5py.File) -> None:
        put(QPOS, change)(file)
        put(ACTION, change)(file)

    return damage


@pytest.mark.parametrize(
    ('damage', 'kind', 'level', 'words'),
    [
        (delayed(3), 'gap', 'warn', ["'top'", '0.160 s']),
        (delayed(3), 'age', 'pass', []),
        (delayed(6), 'gap', 'fail', ["'top'", '0.280 s']),
        (delayed(5), 'age', 'fail', ["'top'", '0.205 s']),
        (dropped, 'dropped', 'fail', ["'leader'", '20 of 140']),
        (stamped_late, 'lead', 'fail', ["'top'", '0.0300 s after']),
        (frozen, 'frozen', 'fail', ["'top'", '1.56 s of motion']),
        (shows(slice(0, 2), flat(0)), 'exposure', 'warn', ["'top'", 'black in 2 of 120']),
        (shows(slice(0, 60), flat(253)), 'exposure', 'fail', ['white in 60']),
        (shows(slice(0, 60), flat(90)), 'exposure', 'fail', ['of one colour in 60']),
        (cut_out, 'damaged', 'fail', ["'top'", 'in 1 of 120']),
        (put(QPOS, still), 'still', 'fail', ["'elbow'", 'moves by 0,', 'command']),
        (both(lambda v: 0 * v), 'still', 'fail', ['moves by 0 % of its range']),
        (both(lambda v: np.minimum(v + 1.8, 2.0)), 'clipped', 'fail', ["'shoulder'", '[-2, 2]']),
        (both(moved_fast), 'speed', 'fail', ["'shoulder'", '2.']),
        (both(trembling), 'jerk', 'fail', ['jerk']),
        (put(ACTION, lambda v: v + 0.12), 'offset', 'fail', ['0.12 from its position']),
        (put(QPOS, lambda v: np.roll(v, 12, axis=0)), 'lag', 'fail', ['follows', '0.5']),
        (put(ACTION, spike), 'action', 'fail', ['from its position']),
        (both(held), 'idle_tail', 'warn', ['in the last']),
        (both(lambda v: held(v)[::-1]), 'idle_head', 'warn', ['in the first']),
    ],
)  # fmt: skip
def test_a_defect_is_the_verdict_of_its_kind(
    good: Path, tmp_path: Path, damage: Damage, kind: str, level: str, words: list[str]
) -> None:
    path = tmp_path / good.name
    shutil.copy(good, path)
    with h5py.File(path, 'r+') as file:
        damage(file)
    found = [each for each in verdicts_on(path) if each.kind == kind]
    worst = (odd_verdicts(found) or found)[0]
    assert worst.level == level, worst
    for word in words:
        assert word in worst.sentence


def test_a_short_episode_and_one_of_a_single_row_are_judged(tmp_path: Path) -> None:
    short = judged_episodes.write(tmp_path / 'short.hdf5', 7)
    assert by_kind(verdicts_on(short))['duration'] == 'fail'
    one = judged_episodes.write(tmp_path / 'one.hdf5', judged_episodes.LAG_ROWS + 1)
    with h5py.File(one, 'r+') as file:
        names: list[str] = []
        file.visititems(lambda n, item: names.append(n) if hasattr(item, 'shape') else None)
        for name in names:
            file[name].resize(1, axis=1 if name == 'compress_len' else 0)
    assert by_kind(verdicts_on(one))['duration'] == 'fail'


def test_messages_that_stand_in_no_row_are_not_missed_where_rows_were_taken_away(
    tmp_path: Path,
) -> None:
    """Of a leader with 100 messages a second, 25 rows a second hold every fourth."""
    spec = yaml.safe_load(judged_episodes.arm().to_yaml())
    spec['joints']['leader'][0]['rate'], spec['cameras']['top']['rate'] = 100.0, 50.0
    robot = robot_spec_from_yaml(yaml.safe_dump(spec), 'arm')
    path = judged_episodes.write(tmp_path / 'episode_000000.hdf5', 60, robot=robot)
    with h5py.File(path, 'r+') as file:
        file['stamps/leader'].attrs['received'] = 240
        file['stamps/top'].attrs['received'] = 30
        for name in ('header_ns', 'receive_ns', 'age_ns'):  # every other image is lost
            sign = -1 if name == 'age_ns' else 1
            file[f'stamps/top/{name}'][1::2] -= sign * robot.period_ns
    assert by_kind(verdicts_on(path)) == {'rate': 'fail'}  # the camera's
    assert main(['edit', 'trim', str(path), '--head', '0.4', '--tail', '0.4']) == 0
    with h5py.File(path, 'r+') as file:
        counted = file['stamps/leader'].attrs
        assert counted['received'] == 40
        counted['dropped'] = 20
    odd = odd_verdicts(verdicts_on(path))
    assert [(each.kind, each.level) for each in odd] == [('rate', 'fail')]
    assert "'top' came 12.5 times" in odd[0].sentence


def test_thresholds_are_those_of_the_spec_in_the_episode(good: Path, tmp_path: Path) -> None:
    path = tmp_path / good.name
    shutil.copy(good, path)
    with h5py.File(path, 'r+') as file:
        file.attrs['robot'] += 'quality: {duration: {warn: 20, fail: null}, lag: null}\n'
    verdicts = verdicts_on(path)
    assert by_kind(verdicts) == {'duration': 'warn'}
    assert 'lag' not in {each.kind for each in verdicts}


@pytest.mark.parametrize(
    ('quality', 'words'),
    [
        ('{drop: {fail: 1}}', ['quality.drop', 'dropped']),
        ('{dropped: {fail: 0.001}}', ['dropped', '0.001', 'fail >= warn']),
        ('{duration: {fail: 5}}', ['duration', 'fail <= warn']),
        ('{jerk: {warn: true}}', ['quality.jerk.warn', 'number']),
        ('{jerk: 3}', ['quality.jerk', '3']),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(quality: str, words: list[str]) -> None:
    text = judged_episodes.arm().to_yaml()
    with pytest.raises(RobotSpecError) as caught:
        robot_spec_from_yaml(f'{text}quality: {quality}\n', 'arm.yaml')
    for word in words:
        assert word in str(caught.value)


def test_a_spec_keeps_its_thresholds_and_none_is_written_where_none_was_given() -> None:
    robot = judged_episodes.arm()
    assert 'quality' not in robot.to_yaml()
    text = robot.to_yaml() + 'quality: {jerk: null, dropped: {fail: null}}\n'
    given = robot_spec_from_yaml(text, 'arm.yaml')
    assert given.quality.jerk is None
    assert given.quality.dropped is not None and given.quality.dropped.fail is None
    assert given.quality.dropped.warn == robot.quality.dropped.warn  # type: ignore[union-attr]
    assert robot_spec_from_yaml(given.to_yaml(), 'arm.yaml') == given


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight episodes; in the seventh the camera was moved, the eighth begins elsewhere, longer."""
    folder = tmp_path_factory.mktemp('set')
    for number in range(6):
        judged_episodes.write(folder / f'episode_{number:06d}.hdf5', 40 + number)
    judged_episodes.write(folder / 'episode_000006.hdf5', 42, moved=12)
    judged_episodes.write(folder / 'episode_000007.hdf5', 150, start=0.9)
    return folder


def assert_one_page_with_the_worst_first(page: str) -> None:
    """It needs nothing else, and what is in a file is text in it."""
    titles = re.findall(r'<h2>(?:<span class="(\w+)">\w+</span>)?([^<]*)</h2>', page)
    assert titles[0] == ('', 'What was measured')
    assert [level for level, _ in titles[1:]] == ['fail'] * 2 + ['pass'] * 6
    assert {name for _, name in titles[1:3]} == {'episode_000006.hdf5', 'episode_000007.hdf5'}
    assert page.count('data:image/jpeg') == 8 * 3
    assert page.count('<polyline') == 8 * 2 * 2
    assert 'wave &lt;b&gt;' in page and 'wave <b>' not in page
    for fetched in ('http', '<script', '<link', 'src="/', 'href='):
        assert fetched not in page
    ElementTree.fromstring(re.search(r'<svg.*?</svg>', page, re.DOTALL)[0])  # type: ignore[index]


def test_what_differs_from_the_set_is_told_and_fails_where_that_is_wanted(
    folder: Path, tmp_path: Path
) -> None:
    report = tmp_path / 'check.json'
    page = tmp_path / 'set.html'
    options = ['--json', str(report), '--report', str(page)]
    assert main(['check', str(folder), '--strict', *options]) == 1
    assert_one_page_with_the_worst_first(read_text(page, 10**7))
    content = parse_yaml(read_text(report, 10**7), str(report))
    levels = {Path(path).stem[-1]: level for path, level in content['quality'].items()}
    assert levels == {**dict.fromkeys('012345', 'pass'), '6': 'fail', '7': 'fail'}
    found = {
        Path(path).stem[-1]: {v['kind']: v for v in verdicts if v['level'] != 'pass'}
        for path, verdicts in content['verdicts'].items()
    }
    assert {*found['6']} == {'moved'}
    assert found['6']['moved']['value'] == pytest.approx(12 / judged_episodes.WIDTH, abs=0.004)
    assert {*found['7']} == {'length', 'start_pose', 'end_pose'}


def test_a_failed_verdict_alone_changes_no_exit_code(tmp_path: Path) -> None:
    path = str(judged_episodes.write(tmp_path / 'short.hdf5', 7))
    assert main(['check', path]) == 0
    assert main(['check', path, '--strict']) == 1


def test_a_report_shows_files_that_are_none_and_damaged_images(good: Path, tmp_path: Path) -> None:
    path = tmp_path / good.name
    shutil.copy(good, path)
    (tmp_path / 'foreign.hdf5').write_bytes(b'x' * 100)
    with h5py.File(path, 'r+') as file:
        file[TOP][0] = 0
    assert main(['check', str(tmp_path), '--report', str(tmp_path / 'page')]) == 1
    page = read_text(tmp_path / 'page' / 'report.html', 10**7)
    assert 'Unsound files' in page and 'foreign.hdf5' in page
    assert page.count('data:image/jpeg') == 2


@pytest.mark.parametrize('size', [(1, 1), (1, 640), (640, 1), (3, 900), (16, 16)])
def test_an_image_of_any_size_is_looked_at(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    found = features_of(image, [image])
    assert camera_shift(found, found) in (None, 0.0)
    watch = ImageWatch()
    for each in (image, None, image):
        watch.add('top', each)


@pytest.mark.parametrize(
    ('starts', 'told'),
    [
        ([0.0] * 6 + [0.5], {6: 'fail'}),
        ([0.0] * 6 + [0.15], {6: 'warn'}),
        ([0.0] * 5 + [0.5, 0.51, 0.49], {}),  # poses of two places
        ([0.0, 0.2, -0.3, 0.4, -0.1, 0.3, 0.45], {}),  # anywhere
        ([0.0] * 5, {}),  # too few others to tell
    ],
)
def test_a_start_is_far_from_the_set_if_it_is_nobody_elses(
    starts: list[float], told: dict[int, str]
) -> None:
    known, robot = EpisodeSet(), judged_episodes.arm()
    for number, start in enumerate(starts):
        pose = np.array([start, 0.0])
        known.add(
            EpisodeProfile(
                Path(f'set/{number}'), robot, pose, np.zeros(2), np.ones(2), 4.0, (0, 0), {}, {}
            )
        )
    found = {
        number: each.level
        for number in range(len(starts))
        for each in odd_verdicts(known.verdicts(Path(f'set/{number}')))
    }
    assert found == told
