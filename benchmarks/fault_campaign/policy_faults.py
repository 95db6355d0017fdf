# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the policy, in a thread of the node or in a process of its own."""

from __future__ import annotations

import signal
import time

import numpy as np

from fault_campaign.fault import Evidence, Fault, Inject
from fault_campaign.harness import Harness, Step
from fault_campaign.policy_with_faults import REJECTED

FRESH_PERIODS = 2
STEP_PATIENCE_S = 5.0
WORKER_PATIENCE_S = 60.0  # until it is there again
LATE_ANSWER_S = 1.0  # longer than the policy hangs
SLOW = r'hold: policy: no new action'
ENDED = r'hold: policy: RuntimeError: the inference process ended: '
CLAMPED = r'clamped by (position|velocity)='
MEMORY = r'hold: policy: .*([Mm]emory)'
RAISED = r'hold: policy: .*fault \d+ of the'


def policy(kind: str, count: int, *, by_silence: bool = False) -> Inject:
    """A policy whose next steps fail.

    `by_silence`: to be known when two policy periods have passed since what the last good step
    saw, else when the first bad step ends.
    """

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        first, begin_ns = len(harness.steps), time.time_ns()
        harness.ask_policy(kind, count)

        def bad() -> list[Step]:
            return [step for step in harness.steps[first:] if step.kind == kind]

        def good_again() -> bool:
            # A step that was begun and replaced by the next one is never told.
            return bool(bad()) and harness.steps[-1].kind == ''

        harness.spin_until(lambda: good_again() or not harness.alive, STEP_PATIENCE_S)
        if not bad() or not good_again():
            harness.ask_policy('', 0)
            return Evidence(begin_ns, None, time.time_ns(), took_place=False)
        begun = harness.steps.index(bad()[0])
        if by_silence:
            known_ns = harness.steps[begun - 1].seen_ns + FRESH_PERIODS * harness.policy_period_ns
            return Evidence(begin_ns, known_ns, bad()[0].end_ns)
        last = harness.steps.index(bad()[-1])
        return Evidence(begin_ns, bad()[0].end_ns, harness.steps[last + 1].end_ns)

    return inject


def worker(number: signal.Signals) -> Inject:
    """A signal to the policy's own process, at any time.

    To be known when the step ends that has waited for it; over when the next one has begun it
    anew and says so.
    """

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        first, begin_ns = len(harness.steps), time.time_ns()
        harness.signal_worker(number)

        def rejected() -> list[int]:
            return [step.end_ns for step in harness.steps[first:] if step.kind == REJECTED]

        harness.spin_until(lambda: len(rejected()) > 1 or not harness.alive, WORKER_PATIENCE_S)
        known = rejected()
        if not known:
            return Evidence(begin_ns, None, time.time_ns(), took_place=False)
        return Evidence(begin_ns, known[0], known[1] if len(known) > 1 else time.time_ns())

    return inject


def _answers_late(harness: Harness, rng: np.random.Generator) -> Evidence:
    """The policy answers when the arm was disabled meanwhile."""
    begin_ns = time.time_ns()
    harness.ask_policy('hang', 1)
    harness.spin(rng.uniform(0.15, 0.3))
    harness.disable()
    known_ns = time.time_ns()
    harness.spin(LATE_ANSWER_S)
    return Evidence(begin_ns, known_ns, time.time_ns())


def _answers_late_after_enable(harness: Harness, rng: np.random.Generator) -> Evidence:
    """The policy answers when the arm was disabled and enabled again meanwhile."""
    begin_ns = time.time_ns()
    harness.ask_policy('hang', 1)
    harness.spin(rng.uniform(0.15, 0.3))
    off, on = harness.switch(False), harness.switch(True)
    harness.spin_until(lambda: off.done() and on.done(), STEP_PATIENCE_S)
    harness.spin(LATE_ANSWER_S)
    return Evidence(begin_ns, None, time.time_ns())


POLICY_FAULTS = (
    Fault('policy: NaN', 'policy', 'hold', r'hold: finite: ', policy('nan', 3)),
    Fault('policy: infinity', 'policy', 'hold', r'hold: finite: ', policy('infinite', 3)),
    # The arm may be led into the table, and is disabled then.
    Fault(
        'policy: huge steps', 'policy', 'limits', CLAMPED, policy('huge', 3), 'either',
        leads_away=True,
    ),
    Fault('policy: wrong width', 'policy', 'hold', r'hold: width: ', policy('width', 3)),
    Fault('inference: raises', 'policy', 'hold', RAISED, policy('raise', 3)),
    Fault('inference: hangs 0.7 s', 'policy', 'hold', SLOW, policy('hang', 1, by_silence=True)),
    Fault('inference: 10 times slower', 'policy', 'go on', '', policy('slow', 10)),
    Fault(
        'inference: 0.3 s per step', 'policy', 'hold', SLOW, policy('beyond', 2, by_silence=True)
    ),
    Fault('inference: out of memory', 'policy', 'hold', MEMORY, policy('memory', 3)),
    Fault(
        'inference: answers after disable', 'policy', 'silence', '', _answers_late, 'operator',
        every=2,
    ),
    Fault(
        'inference: answers after disable and enable', 'policy', 'limits', '',
        _answers_late_after_enable, 'either', every=2,
    ),
    Fault(
        'inference process: killed', 'process', 'hold', f'{ENDED}signal 9',
        worker(signal.SIGKILL), every=3,
    ),
    Fault(
        'inference process: crashes', 'process', 'hold', f'{ENDED}signal 11',
        worker(signal.SIGSEGV), every=5,
    ),
    Fault(
        'inference process: hangs', 'process', 'hold', f'{ENDED}no response for',
        worker(signal.SIGSTOP), every=5,
    ),
    Fault('inference process: raises', 'process', 'hold', RAISED, policy('raise', 2)),
    Fault('inference process: out of memory', 'process', 'hold', MEMORY, policy('memory', 2)),
    Fault('inference process: NaN', 'process', 'hold', r'hold: finite: ', policy('nan', 2)),
)  # fmt: skip
