# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy demo` and `teach`: trials and lessons over ROS in processes that always end."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import judged_policies
import pytest
import torch
from killed_at_last import killed_at_last

pytest.importorskip('rclpy')

from motion_policy.cli.demo import _VideoProcess
from motion_policy.cli.main import main
from motion_policy.cli.processes import NodeProcesses
from motion_policy.episodes import EpisodeReader, check_episode, list_episodes

pytestmark = [pytest.mark.slow, pytest.mark.ros]

MARK = 'MOTION_POLICY_TEST_MARK'
PATIENCE_S = 300.0
COMMAND = [sys.executable, '-c', 'import sys; from motion_policy.cli.main import main; '
           'sys.exit(main())']  # fmt: skip


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned nothing."""
    torch.set_num_threads(1)
    return judged_policies.sarnn_checkpoint(tmp_path_factory.mktemp('models') / 'random')


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """A variable by which every process that a test starts is found again."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    return mark


def processes(mark: str) -> dict[int, str]:
    """Return pid and command line of every living process that inherited the mark."""
    found = {}
    for entry in Path('/proc').iterdir():
        try:
            environment = (entry / 'environ').read_bytes()
            if f'{MARK}={mark}'.encode() in environment and int(entry.name) != os.getpid():
                found[int(entry.name)] = (entry / 'cmdline').read_text().replace('\0', ' ')
        except (OSError, ValueError):
            continue
    return {pid: line for pid, line in found.items() if line}


def wait_for(condition: object, what: str) -> None:
    """Wait until `condition()` holds; the bound only ends a broken test."""
    end = time.monotonic() + PATIENCE_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_trials_run_over_ros_and_are_counted(
    checkpoint: Path, mark: str, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each trial has its line, the last line counts, and the video shows every trial."""
    import av

    finish, beside = _VideoProcess.finish, []

    def noting(video: _VideoProcess) -> None:
        beside.extend(processes(mark).values())
        finish(video)

    monkeypatch.setattr(_VideoProcess, 'finish', noting)
    video, numbers = tmp_path / 'demo.mp4', tmp_path / 'demo.json'
    code = main(
        ['demo', '--trials', '2', '--timeout', '1', '--speed', '2', '--checkpoint',
         str(checkpoint), '--out', str(video), '--json', str(numbers)]
    )  # fmt: skip
    lines = capfd.readouterr().out.strip().splitlines()
    assert code == 1
    assert lines[-1] == 'success 0/2'
    assert [line for line in lines if 'trial  1/2  cube at A (taught)  not lifted' in line]
    assert [line for line in lines if 'trial  2/2  cube at B (not taught)  not lifted' in line]
    report = json.loads(numbers.read_text())
    assert (report['successes'], report['trials'], report['met']) == (0, 2, False)
    assert report['positions']['B'] == {
        'successes': 0, 'trials': 1, 'mean_time_to_success_s': None, 'taught': False,
    }  # fmt: skip
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(video=0))
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ('h264', 'yuv420p')
        assert (stream.width, stream.height) == (960, 540)
    assert len(beside) == 1 and 'video_process' in beside[0]  # the nodes have ended by then
    # 1.6 simulated seconds each at double speed, and four seconds at the end.
    assert frames >= 2 * 18 + 100
    assert processes(mark) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ['demo.json', 'demo.mp4']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_demo(
    checkpoint: Path, mark: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Whatever ends the demo ends its nodes and the video, and no video is left half drawn."""
    video = tmp_path / 'demo.mp4'
    arguments = ['demo', '--checkpoint', str(checkpoint), '--out', str(video), '--timeout', '600']
    # A shell lets its background jobs ignore SIGINT, and the demo would inherit that.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with killed_at_last(
        [*COMMAND, *arguments], stdout=subprocess.DEVNULL, preexec_fn=heeding
    ) as demo:
        wait_for(lambda: len(processes(mark)) == 4, 'the demo with two nodes and the video')
        demo.send_signal(number)
        demo.wait(PATIENCE_S)
    wait_for(lambda: not processes(mark), f'the end of {processes(mark)}')
    assert not video.exists()


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize(
    ('number', 'ending'), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_that_python_swallows_ends_the_command_at_its_next_check(
    number: signal.Signals, ending: type[BaseException]
) -> None:
    """What a handler raises within a destructor is lost; the wish to end is not."""

    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(number)

    former = signal.getsignal(number)
    with NodeProcesses() as processes:
        processes.check()
        Destroyed()
        with pytest.raises(ending):
            processes.check()
    assert signal.getsignal(number) is former


def test_a_video_whose_demo_is_gone_gets_no_name(tmp_path: Path) -> None:
    video = tmp_path / 'demo.mp4'
    words = [sys.executable, '-m', 'motion_policy.cli.video_process', str(video)]
    assert subprocess.run(words, input=b'').returncode == 1
    assert list(tmp_path.iterdir()) == []
    assert subprocess.run(words, input=b'\n').returncode == 0
    assert video.stat().st_size > 0


def test_a_node_that_dies_is_told_with_its_last_words(
    checkpoint: Path, mark: str, tmp_path: Path
) -> None:
    """The demo ends with exit code 1, names the node and keeps its log."""
    arguments = ['demo', '--checkpoint', str(checkpoint), '--no-film', '--timeout', '600']
    with killed_at_last(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ,
        'TMPDIR': str(tmp_path)},
    ) as demo:  # fmt: skip
        wait_for(lambda: len(processes(mark)) == 3, 'the demo with two nodes')
        [simulation] = [pid for pid, line in processes(mark).items() if 'sim_node' in line]
        os.kill(simulation, signal.SIGKILL)
        output = demo.communicate(timeout=PATIENCE_S)[0]
    assert demo.returncode == 1
    assert 'failed: sim_node ended with exit code -9' in output
    [log] = tmp_path.glob('motion_policy_*/sim_node.log')
    assert str(log) in output


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--checkpoint', 'nowhere'], 'nowhere'),
        (['--trials', '0'], '--trials is 0'),
        (['--require', '2'], '--require is 2'),
        (['--out', 'demo.avi'], 'demo.avi'),
    ],
)
def test_bad_usage_is_one_line_before_anything_starts(
    arguments: list[str], words: str, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 names the argument."""
    assert main(['demo', *arguments]) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count('\n') == 1
    assert processes(mark) == {}


def test_teach_records_sound_demonstrations(
    mark: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Recorded by recorder_node over ROS: sound files, judged a success, leader as action."""
    out = tmp_path / 'lesson'
    code = main(['teach', '--out', str(out), '--positions', '0.02', '--per-position', '1'])
    assert code == 0, capfd.readouterr().out
    [file] = list_episodes(out)  # a busy machine may need attempts, which are in `discarded`
    assert {path.name for path in out.iterdir()} <= {file.name, 'discarded'}
    assert check_episode(file) == []
    with EpisodeReader(file) as episode:
        assert (episode.task, episode.success, episode.sim) == ('grasp', True, True)
        # A demonstration lasts seven to eight seconds.
        assert 340 <= episode.length <= 480
        # The leader goes ahead and the follower comes after; the gripper closes on the cube.
        lag = episode.action[:-10, :4] - episode.qpos[10:, :4]
        assert abs(lag).mean() < 0.05
        assert episode.action[:, 4].min() < episode.qpos[:, 4].min() - 0.001
    assert processes(mark) == {}


def test_teach_names_a_position_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the places that there are."""
    assert main(['teach', '--out', 'lesson', '--positions', 'A', 'Q']) == 2
    assert "cube position 'Q'" in capsys.readouterr().err
