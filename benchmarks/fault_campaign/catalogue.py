# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Every kind of fault: how it is brought about, from when on it can be known, what must follow.

`known` is when the node could know at the earliest: the last good sample got too old, the bad
message was sent, the bad picture was looked at, the bad chunk came, the arm waited for two policy
periods for a new action, the policy's own process was seen to be gone.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fault_campaign.policy_with_faults import REJECTED
from fault_campaign.rig import START_PATIENCE_S, Rig, Step
from fault_campaign.scene import ImageFault, JointFault
from fault_campaign.setups import Where
from fault_campaign.spoilt import (
    JUMP_NS,
    black,
    from_another_time,
    late,
    not_a_number,
    reordered,
    same_again,
    same_picture,
    silent,
    small,
    stalled,
    stamped,
    without_a_joint,
)
from motion_policy.control.picture_watch import FROZEN_AT_REST_S

Must = Literal['hold', 'go on', 'silence']

LASTING_S = (0.25, 0.5)  # of a fault, from when it can be known
FROZEN_PATIENCE_S = 3.0  # longer than the node's, for the arm must move meanwhile
PICTURE_PATIENCE_S = 2.0
STANDING_STEPS = 200  # of the policy; the rest is taken back
REST_S = 3.0  # and ten looks at its camera
CLOCK_JUMP_NS = 5_000_000_000
FRESH_PERIODS = 2
STEP_PATIENCE_S = 5.0
WORKER_PATIENCE_S = 60.0  # until it is there again
TOGGLES = 24
DIAGNOSED_S = 6.0
CAPPED = r"not enabled: camera 'top'.*black"
TICKS_CEASED = r'tick rate \[Hz\]=[0-5]\.'


@dataclass(frozen=True)
class Evidence:
    """What was done, in system time; `known_ns` is None where nothing could be known."""

    injected_ns: int
    known_ns: int | None
    over_ns: int


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: what is said of it in tables.
        where: which rig it needs.
        must: 'hold': brake in time, go on by itself when it is over. 'go on': stay within all
            limits. 'silence': no command while it lasts.
        named: regular expression that the log, or `key=value` of a diagnostic, must match; ''
            where nobody is left to name it.
        inject: brings it about and ends it.
        by_operator: whether the operator has to enable the arm again.
        every: it comes in each so many-th round, for it takes long.
    """

    name: str
    where: Where
    must: Must
    named: str
    inject: Callable[[Rig, np.random.Generator], Evidence]
    by_operator: bool = False
    every: int = 1


def _last(rng: np.random.Generator) -> int:
    return round(rng.uniform(*LASTING_S) * 1e9)


def _camera(
    make: Callable[[Rig], ImageFault], *, at_once: bool = False
) -> Callable[[Rig, np.random.Generator], Evidence]:
    """A camera whose messages are spoilt.

    `at_once`: it can be known from the first bad message, else when the last good one is too old.
    """

    def inject(rig: Rig, rng: np.random.Generator) -> Evidence:
        scene, good_ns = rig.scene, rig.scene.last_stamps_ns['camera']
        begin_ns = time.time_ns()
        scene.image_fault = make(rig)
        known_ns = good_ns + round(scene.robot.cameras[scene.camera].max_age * 1e9)
        if at_once:
            scene.publish_image()
            known_ns = time.time_ns()
        rig.spin_to(known_ns + _last(rng))
        return Evidence(begin_ns, known_ns, _mend_camera(rig))

    return inject


def _picture(
    make: Callable[[Rig], ImageFault], patience_s: float
) -> Callable[[Rig, np.random.Generator], Evidence]:
    """A camera whose messages are in order while its pictures are not.

    To be known when the inference thread has looked at one, which the node tells.
    """

    def inject(rig: Rig, rng: np.random.Generator) -> Evidence:
        begin_ns, first = time.time_ns(), len(rig.steps)
        rig.scene.image_fault = make(rig)

        def rejected() -> list[int]:
            return [step.end_ns for step in rig.steps[first:] if step.kind == REJECTED]

        known = rig.spin_until(lambda: rejected() or not rig.alive, patience_s) and rejected()
        if known:
            rig.spin_to(known[0] + _last(rng))
        return Evidence(begin_ns, known[0] if known else None, _mend_camera(rig))

    return inject


def _freeze(rig: Rig, rng: np.random.Generator) -> Evidence:
    """The picture stays, the stamps go on, while the arm reaches for the cube anew."""
    rig.new_trial()
    rig.get_moving()
    return _picture(same_picture, FROZEN_PATIENCE_S)(rig, rng)


def _freeze_at_rest(rig: Rig, rng: np.random.Generator) -> Evidence:
    """The camera, which has noise, freezes while the policy lets the arm stand."""
    rig.ask_policy('stay', STANDING_STEPS)
    rig.spin(REST_S)
    evidence = _picture(same_picture, FROZEN_PATIENCE_S + FROZEN_AT_REST_S)(rig, rng)
    rig.ask_policy('', 0)
    return evidence


def _capped(rig: Rig, _rng: np.random.Generator) -> Evidence:
    """A node comes up before a camera that wears its cap, and is asked to move the arm."""
    begin_ns = time.time_ns()
    rig.scene.image_fault = black(rig)
    dead_ns = rig.kill_node()
    rig.start_node()
    end = time.monotonic() + START_PATIENCE_S
    while not rig.journal.names(CAPPED, begin_ns) and time.monotonic() < end:
        rig.switch(True)
        rig.spin(0.5)
    return Evidence(begin_ns, dead_ns, _mend_camera(rig))


def _mend_camera(rig: Rig) -> int:
    """End the fault; return when."""
    rig.scene.image_fault = None
    over_ns = time.time_ns()
    rig.scene.publish_image()
    return over_ns


def _joints(
    make: Callable[[np.random.Generator], JointFault], *, at_once: bool = False
) -> Callable[[Rig, np.random.Generator], Evidence]:
    """Joint states that are spoilt; `at_once`: to be known from the first bad message."""

    def inject(rig: Rig, rng: np.random.Generator) -> Evidence:
        scene, good_ns = rig.scene, rig.scene.last_stamps_ns['state']
        begin_ns = time.time_ns()
        scene.joint_fault = make(rng)
        known_ns = good_ns + round(scene.robot.joints.state[0].max_age * 1e9)
        if at_once:
            scene.publish_joints()
            known_ns = time.time_ns()
        rig.spin_to(known_ns + _last(rng))
        scene.joint_fault = None
        over_ns = time.time_ns()
        scene.publish_joints()
        return Evidence(begin_ns, known_ns, over_ns)

    return inject


def _policy(kind: str, count: int, *, by_silence: bool = False) -> Callable[..., Evidence]:
    """A policy whose next steps fail.

    `by_silence`: to be known when two policy periods have passed since what the last good step
    saw, else when the first bad step ends.
    """

    def inject(rig: Rig, _rng: np.random.Generator) -> Evidence:
        first, begin_ns = len(rig.steps), time.time_ns()
        rig.ask_policy(kind, count)

        def bad() -> list[Step]:
            return [step for step in rig.steps[first:] if step.kind == kind]

        def good_again() -> bool:
            return len(bad()) == count and rig.steps[-1].kind == ''

        rig.spin_until(lambda: good_again() or not rig.alive, STEP_PATIENCE_S)
        if not bad() or not good_again():
            return Evidence(begin_ns, None, time.time_ns())
        begun = rig.steps.index(bad()[0])
        if by_silence:
            known_ns = rig.steps[begun - 1].seen_ns + FRESH_PERIODS * rig.policy_period_ns
            return Evidence(begin_ns, known_ns, bad()[0].end_ns)
        last = rig.steps.index(bad()[-1])
        return Evidence(begin_ns, bad()[0].end_ns, rig.steps[last + 1].end_ns)

    return inject


def _worker(number: signal.Signals) -> Callable[..., Evidence]:
    """A signal to the policy's own process, at any time.

    To be known when the step ends that has waited for it; over when the next one has begun it
    anew and says so.
    """

    def inject(rig: Rig, _rng: np.random.Generator) -> Evidence:
        first, begin_ns = len(rig.steps), time.time_ns()
        rig.signal_worker(number)

        def rejected() -> list[int]:
            return [step.end_ns for step in rig.steps[first:] if step.kind == REJECTED]

        rig.spin_until(lambda: len(rejected()) > 1 or not rig.alive, WORKER_PATIENCE_S)
        known = rejected()
        return Evidence(begin_ns, known[0] if known else None, time.time_ns())

    return inject


def _kill(rig: Rig, _rng: np.random.Generator) -> Evidence:
    begin_ns = time.time_ns()
    dead_ns = rig.kill_node()
    rig.start_node()
    rig.spin(1.0)
    return Evidence(begin_ns, dead_ns, time.time_ns())


def _toggle(rig: Rig, rng: np.random.Generator) -> Evidence:
    """Enable and disable in quick turns; in the end it is disabled."""
    begin_ns = time.time_ns()
    answers = []
    for turn in range(TOGGLES):
        answers.append(rig.switch(turn % 2 == 1))
        rig.spin(rng.uniform(0.005, 0.12))
    last = rig.switch(False)
    rig.spin_until(last.done, STEP_PATIENCE_S)
    known_ns = time.time_ns()
    rig.spin(0.6)
    return Evidence(begin_ns, known_ns, time.time_ns())


def _clock_jumps(by_ns: int) -> Callable[..., Evidence]:
    def inject(rig: Rig, _rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        known_ns = rig.scene.jump(by_ns)
        rig.spin(0.05)
        return Evidence(begin_ns, known_ns, known_ns)

    return inject


def _clock_stands(rig: Rig, _rng: np.random.Generator) -> Evidence:
    # The last halt of the clock may be told still.
    rig.spin_until(lambda: not rig.journal.shows_now(TICKS_CEASED), DIAGNOSED_S)
    begin_ns = time.time_ns()
    rig.scene.clock_stands = True
    rig.spin(0.05)
    known_ns = time.time_ns()
    # Diagnostics come once a second, and tell the mean over that second.
    rig.spin_until(lambda: rig.journal.shows(TICKS_CEASED, begin_ns), DIAGNOSED_S)
    over_ns = time.time_ns()
    rig.scene.clock_stands = False
    return Evidence(begin_ns, known_ns, over_ns)


# Where the arm already held for another reason, only the reason to hold changes.
STALE_TOP = r"(stream 'top'|hold: .*top:).*(stale|missing)"
STALE_STATE = r"(stream 'state'|hold: .*state:).*(stale|missing)"
SLOW = r'hold: policy: no new action'
ENDED = r'hold: policy: RuntimeError: the inference process ended: '

FAULTS = (
    Fault('camera: dies', 'arm', 'hold', STALE_TOP, _camera(silent)),
    Fault('camera: same frame again', 'arm', 'hold', STALE_TOP, _camera(same_again)),
    Fault('camera: 0.35 s late', 'arm', 'hold', STALE_TOP, _camera(late)),
    Fault(
        'camera: stamps 10 s behind', 'arm', 'hold', STALE_TOP,
        _camera(stamped(-JUMP_NS), at_once=True),
    ),
    Fault('camera: stamps 10 s ahead', 'arm', 'hold', STALE_TOP, _camera(stamped(JUMP_NS))),
    Fault('joint state: stalls', 'arm', 'hold', STALE_STATE, _joints(stalled)),
    Fault('joint state: out of order', 'arm', 'go on', '', _joints(reordered)),
    Fault(
        'joint state: loses a joint', 'arm', 'hold',
        r"(stream 'state'|hold: .*state:).*joint '\w+' is not in the message",
        _joints(without_a_joint, at_once=True),
    ),
    Fault(
        'joint state: NaN or infinity', 'arm', 'hold',
        r"(stream 'state'|hold: .*state:).*joint '\w+': position is -?(nan|inf)",
        _joints(not_a_number, at_once=True),
    ),
    Fault(
        'joint state: stamps 10 s behind', 'arm', 'hold', STALE_STATE,
        _joints(from_another_time, at_once=True),
    ),
    Fault(
        'node: killed and restarted', 'arm', 'silence', '', _kill, by_operator=True, every=2
    ),
    Fault(
        'camera: capped from the start', 'arm', 'silence', CAPPED, _capped, by_operator=True,
        every=2,
    ),
    Fault(
        'enable: toggled fast', 'arm', 'hold', r'disabled: the arm brakes', _toggle,
        by_operator=True,
    ),
    Fault(
        'camera: same picture, new stamps', 'policy', 'hold',
        r"hold: .*camera 'top'.*same picture",
        _freeze, every=2,
    ),
    Fault(
        'camera: freezes at rest', 'policy', 'hold',
        r"hold: .*camera 'top'.*its pictures had noise",
        _freeze_at_rest, every=2,
    ),
    Fault(
        'camera: black', 'policy', 'hold', r"hold: .*camera 'top'.*black",
        _picture(black, PICTURE_PATIENCE_S),
    ),
    Fault(
        'camera: another size', 'policy', 'hold', r"hold: .*camera 'top'.*64x64",
        _picture(small, PICTURE_PATIENCE_S),
    ),
    Fault('policy: NaN', 'policy', 'hold', r'hold: finite: ', _policy('nan', 3)),
    Fault('policy: infinity', 'policy', 'hold', r'hold: finite: ', _policy('infinite', 3)),
    Fault(
        'policy: huge steps', 'policy', 'go on', r'clamped by (position|velocity)=',
        _policy('huge', 3),
    ),
    Fault('policy: wrong width', 'policy', 'hold', r'hold: width: ', _policy('width', 3)),
    Fault(
        'inference: raises', 'policy', 'hold', r'hold: policy: RuntimeError: fault \d+ of the',
        _policy('raise', 3),
    ),
    Fault('inference: hangs 0.7 s', 'policy', 'hold', SLOW, _policy('hang', 1, by_silence=True)),
    Fault('inference: 10 times slower', 'policy', 'go on', '', _policy('slow', 10)),
    Fault(
        'inference: 0.3 s per step', 'policy', 'hold', SLOW, _policy('beyond', 3, by_silence=True)
    ),
    Fault(
        'inference: out of memory', 'policy', 'hold', r'hold: policy: .*([Mm]emory)',
        _policy('memory', 3),
    ),
    Fault(
        'clock: 5 s ahead', 'clock', 'hold', r'hold: .*clock: jumped 5\.\d+ s ahead',
        _clock_jumps(CLOCK_JUMP_NS),
    ),
    Fault(
        'clock: 5 s back', 'clock', 'hold', r'hold: .*clock: jumped [45]\.\d+ s back',
        _clock_jumps(-CLOCK_JUMP_NS),
    ),
    Fault('clock: stands still', 'clock', 'silence', TICKS_CEASED, _clock_stands),
    Fault(
        'inference process: killed', 'process', 'hold', f'{ENDED}signal 9',
        _worker(signal.SIGKILL), every=2,
    ),
    Fault(
        'inference process: crashes', 'process', 'hold', f'{ENDED}signal 11',
        _worker(signal.SIGSEGV), every=4,
    ),
    Fault(
        'inference process: hangs', 'process', 'hold', f'{ENDED}no answer for',
        _worker(signal.SIGSTOP), every=2,
    ),
    Fault(
        'inference process: raises', 'process', 'hold', r'hold: policy: .*fault \d+ of the',
        _policy('raise', 2), every=2,
    ),
    Fault(
        'inference process: out of memory', 'process', 'hold', r'hold: policy: .*([Mm]emory)',
        _policy('memory', 2), every=2,
    ),
    Fault(
        'inference process: NaN', 'process', 'hold', r'hold: finite: ', _policy('nan', 2), every=2,
    ),
    Fault('chunks: camera dies', 'chunks', 'hold', STALE_TOP, _camera(silent), every=2),
    Fault('chunks: joint state stalls', 'chunks', 'hold', STALE_STATE, _joints(stalled), every=2),
    Fault('chunks: NaN', 'chunks', 'hold', r'hold: finite: ', _policy('nan', 2), every=2),
    Fault(
        'chunks: huge steps', 'chunks', 'go on', r'clamped by (position|velocity)=',
        _policy('huge', 2), every=2,
    ),
    Fault('chunks: wrong width', 'chunks', 'hold', r'hold: width: ', _policy('width', 2), every=2),
    Fault(
        'chunks: inference raises', 'chunks', 'hold', r'hold: policy: .*fault \d+ of the',
        _policy('raise', 2), every=2,
    ),
    Fault(
        'chunks: inference process killed', 'chunks', 'hold', f'{ENDED}signal 9',
        _worker(signal.SIGKILL), every=4,
    ),
    Fault(
        'chunks: node killed and restarted', 'chunks', 'silence', '', _kill, by_operator=True,
        every=4,
    ),
    Fault(
        'chunks: enable toggled fast', 'chunks', 'hold', r'disabled: the arm brakes', _toggle,
        by_operator=True, every=2,
    ),
)  # fmt: skip
