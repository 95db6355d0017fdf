# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The scripted teacher takes over where a policy goes wrong, within limits, and gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_policies import act_checkpoint
from numbered_frames import NumberedFrames

from motion_policy.cli.main import main
from motion_policy.control import Command, Controller
from motion_policy.episodes import EpisodeReader, RolloutRow, check_episode
from motion_policy.evaluation.closed_loop import RolloutResult, rollout
from motion_policy.evaluation.corrections import DRIVES_S, PATIENCE, Corrector
from motion_policy.evaluation.scenes import find_scene
from motion_policy.robot import load_robot_spec
from motion_policy.simulation import GraspExpert, TabletopSim
from motion_policy.streams import Observation, Row

pytestmark = pytest.mark.slow

PERIOD_NS = 100_000_000


class Driver:
    """A policy that knows the way, and turns joint1 too far by `off` rad until `better_s`."""

    def __init__(self, sim: TabletopSim, off: float = 0.0, better_s: float = 1e9) -> None:
        self._sim, self._off, self._better_s = sim, off, better_s

    def reset(self) -> None:
        """Plan for the cube as it stands."""
        self._way = GraspExpert(seed=5).plan(self._sim.cube_pose[:2], self._sim.qpos)

    def infer(
        self, observation: Observation, explain: bool = True, *times: int | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Say where to be one period from now."""
        time_s = self._sim.time_ns / 1e9
        # One that was led elsewhere goes on from the nearest place of its way.
        places = np.arange(0.0, self._way.duration_s, 0.02)
        path = np.stack([self._way(place) for place in places])
        if time_s > self._better_s:
            place = places[np.abs(path - observation.qpos)[:, :4].max(axis=1).argmin()]
            time_s = place + 0.2
        target = self._way(time_s + PERIOD_NS / 1e9)
        target[0] += self._off * (self._sim.time_ns / 1e9 < self._better_s)
        return target[None], {}


class Standing(Driver):
    """A policy that stays where it is."""

    def infer(
        self, observation: Observation, explain: bool = True, *times: int | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Say where the way begins."""
        return self._way(0.0)[None], {}


class Corrected:
    """A corrected rollout and all its rows."""

    def __init__(self, driver: type[Driver] = Driver, **wrong: float) -> None:
        sim = NumberedFrames()
        sim.reset('A', seed=3)
        self.robot = load_robot_spec('tabletop_sim')
        controller = Controller(self.robot, PERIOD_NS)
        self.corrector = Corrector(
            driver(sim, **wrong), controller, find_scene('sim:tabletop').teacher(), sim,
            self.robot, rows=1, period_ns=PERIOD_NS, first_due_ns=PERIOD_NS, seed=1,
        )  # fmt: skip
        self.rows: list[tuple[np.ndarray, RolloutRow]] = []
        self.result: RolloutResult = rollout(
            sim, controller, self.corrector, self.robot, cameras=(), horizon_s=30.0,
            camera_rate_hz=25, watch=self.corrector.watch, record=self._record,
        )  # fmt: skip

    def _record(self, row: Row, _: Observation, command: Command) -> None:
        wanted = self.corrector.policy_action(row.time_ns)
        self.rows.append((command.position, RolloutRow(self.corrector.drives, wanted)))

    @property
    def driven(self) -> np.ndarray:
        return np.array([who.intervention for _, who in self.rows])


def test_a_policy_that_knows_the_way_is_left_alone() -> None:
    corrected = Corrected()
    assert corrected.result.success
    assert corrected.corrector.count == 0
    assert not corrected.driven.any()


def test_a_policy_that_goes_elsewhere_is_corrected_within_all_limits() -> None:
    corrected = Corrected(off=-0.25)
    assert corrected.result.success
    assert 1 <= corrected.corrector.count <= 2
    driven = corrected.driven
    assert 0.2 < driven.mean() < 0.95 and not driven[:20].any() and driven[-1]
    sent = np.stack([command for command, _ in corrected.rows])
    limits = corrected.robot.joints.limits
    speed = np.diff(sent, axis=0) * 50
    assert (np.abs(speed) <= limits.velocity_array() + 1e-9).all()
    assert (np.abs(np.diff(speed, axis=0)) * 50 <= limits.acceleration_array() + 1e-6).all()
    # While the teacher drives, the policy goes on saying what it wants: something else.
    wanted = [who.policy_action for _, who in corrected.rows]
    assert wanted[0] is None
    known = np.array([row is not None for row in wanted])
    assert known[driven].mean() > 0.9
    apart = [
        abs(w[0] - s[0])
        for w, s, d in zip(wanted, sent, driven, strict=True)
        if d and w is not None
    ]
    assert np.median(apart) > 0.1


def test_it_gives_back_when_the_policy_wants_the_same() -> None:
    corrected = Corrected(off=-0.25, better_s=3.0)
    assert corrected.result.success
    driven = corrected.driven
    assert corrected.corrector.count == 1
    assert not driven[-1]
    assert driven.sum() / 50 >= DRIVES_S


def test_a_policy_that_gets_nowhere_is_waited_for_and_corrected() -> None:
    corrected = Corrected(Standing)
    assert corrected.result.success
    begin = int(np.flatnonzero(corrected.driven)[0])
    way = GraspExpert(seed=1).plan(np.array([0.2, 0.08]), np.zeros(5))
    assert begin / 50 == pytest.approx(PATIENCE * way.duration_s, rel=0.1)


def test_the_command_records_rollouts_that_were_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('motion_policy.evaluation.corrections.PATIENCE', 0.2)
    policy, out = act_checkpoint(tmp_path / 'act'), tmp_path / 'out'
    command = ['teach', '--correct', str(policy), '--out', str(out), '--positions', 'C']
    assert main([*command, '--episodes', '1']) == 0
    assert '1 corrected rollouts' in ' '.join(capsys.readouterr().out.split())
    [path] = out.iterdir()
    assert check_episode(path) == []
    with EpisodeReader(path) as episode:
        assert (episode.success, episode.sim) == (True, True)
        assert episode.operator == 'policy, corrected by the scripted expert'
        assert episode.interventions is not None and episode.interventions.count == 1
        assert episode.policy_action is not None and episode.intervention is not None
        own = ~episode.intervention & np.isfinite(episode.policy_action).all(axis=1)
        np.testing.assert_allclose(
            episode.action[own][5:], episode.policy_action[own][5:], atol=0.05
        )
        assert episode.stamps('top').counters.received > 100


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--over-ros'], '--correct and --over-ros were both given'),
        (['--per-position', '3'], '--per-position is not for'),
        (['--positions', 'F'], "cube position 'F'"),
        (['sim:tabletop:push'], '--correct is not for sim:tabletop:push'),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    assert main(['teach', '--correct', 'sarnn_tabletop', '--out', str(out), *options]) == 2
    errors = capsys.readouterr().err
    assert words in errors and errors.count('\n') == 1
    assert not out.exists()
