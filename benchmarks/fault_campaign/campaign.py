# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Campaign of faults: one kind after the other, in rounds, while the arm follows its policy.

Nothing is judged here: what was done is kept, and judged when the section is over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np
from rich.progress import Progress

from fault_campaign.fault import HOLDS_S, Evidence, Fault
from fault_campaign.harness import LATE, Harness, HarnessError
from fault_campaign.setups import SETUPS, Where
from fault_campaign.verdicts import QUIET_S, Injection, Section
from motion_policy.cli.processes import NodeProcesses

TRIES = 3
GOES_ON_S = 20.0  # of a busy machine
SETTLES_S = 1.0  # an arm that is still on its way is not enabled
STOOD_NS = 100_000_000
STALE = r'disabled: \w+: stale'
STOOD = 'disabled: tracking error'
WATCHED_S = 0.4  # without a command, before the operator enables the arm
AFTERWARDS_S = 1.2  # until diagnostics, which come once a second, have told of it


def run_section(
    where: Where, faults: Sequence[Fault], rounds: int, seconds: float, seed: int = 0
) -> Section:
    """Inject every fault of a section in every round that it is due in, or in as many rounds as
    fit into `seconds` per kind, >= 1. One that is interrupted ends there.
    """
    kinds = [fault for fault in faults if fault.where == where]
    with Progress(transient=True) as progress, NodeProcesses() as processes:
        total = injections_in_full(kinds, rounds)
        task = progress.add_task(f'faults of the {where}', total=total)
        harness = Harness(processes, SETUPS[where])
        section = _Section(harness, where, np.random.default_rng(seed))
        try:
            section.begin()
            end = time.monotonic() + seconds * len(kinds)
            for number in count():
                if number == rounds or (number and time.monotonic() >= end):
                    break
                for fault in (kind for kind in kinds if number % kind.every == 0):
                    section.inject(fault)
                    progress.advance(task)
        except (KeyboardInterrupt, SystemExit) as stop:
            section.interrupted = stop
        finally:
            harness.close()
        return section.result()


def sections_of(faults: Sequence[Fault]) -> list[Where]:
    """The sections in which these faults are, in the order of the setups."""
    return [where for where in SETUPS if any(fault.where == where for fault in faults)]


def injections_in_full(faults: Sequence[Fault], rounds: int) -> int:
    """How many faults so many rounds inject when there is time for all of them."""
    return sum(-(-rounds // fault.every) for fault in faults)


class _Section:
    """The faults that one harness bears."""

    def __init__(self, harness: Harness, where: str, rng: np.random.Generator) -> None:
        self._harness = harness
        self._where = where
        self._rng = rng
        self._injections: list[Injection] = []
        self._loads = [os.getloadavg()[0]]
        self._interventions = 0
        self._lost_ns = 0  # by the simulated arm, before this fault
        self._begun = time.monotonic()
        self.interrupted: BaseException | None = None

    def begin(self) -> None:
        """Let the arm run for the first time."""
        self._harness.new_trial()

    def inject(self, fault: Fault) -> None:
        """Inject one fault into a moving arm, and see whether the arm goes on afterwards."""
        harness = self._harness
        moving, evidence = self._bring_about(fault)
        recovered, leave_ns = self._recover(fault, evidence)
        named = self._wait_for_name(fault, evidence)
        late = not named and fault.must == 'disable' and self._late_since(evidence.injected_ns)
        if not recovered:
            self._interventions += 1
        if not recovered or fault.leads_away:
            self._restart()
        self._injections.append(
            Injection(
                fault=fault,
                evidence=evidence,
                moving=moving,
                named=named or late,
                recovered=recovered,
                said=harness.journal.lines_since(evidence.injected_ns)[:12],
                leave_ns=leave_ns,
                by_machine=late or (fault.recovery == 'itself' and leave_ns is not None),
            )
        )
        self._loads.append(os.getloadavg()[0])

    def result(self) -> Section:
        """Everything that was done, and what went over the wire meanwhile."""
        harness = self._harness
        missed = [values.get('missed ticks', '0') for _, values in harness.journal.diagnostics]
        return Section(
            where=self._where,
            robot=harness.scene.robot,
            log=harness.scene.log,
            injections=self._injections,
            seconds=time.monotonic() - self._begun,
            loads=self._loads,
            trials=harness.trials,
            interventions=self._interventions,
            missed_ticks=max(map(int, missed), default=0),
            scene_lost_s=harness.scene.lost_ns * 1e-9,
            interrupted=self.interrupted,
        )

    def _bring_about(self, fault: Fault) -> tuple[bool, Evidence]:
        """Whether the arm moved, and what was done."""
        for _ in range(TRIES):
            moving = self._prepare()
            self._lost_ns = self._harness.scene.lost_ns
            self._harness.spin(float(self._rng.uniform(0.0, 0.05)))
            evidence = fault.inject(self._harness, self._rng)
            if evidence.took_place:
                return moving, evidence
        return moving, replace(evidence, problem=f'did not take place in {TRIES} tries')

    def _prepare(self) -> bool:
        try:
            return self._harness.get_moving()
        except HarnessError:
            self._interventions += 1
            self._restart()
            return self._harness.get_moving()

    def _restart(self) -> None:
        """Begin anew, with a new process if the old one does not do its work any more."""
        try:
            self._harness.new_trial()
        except HarnessError:
            self._harness.kill_node()
            self._harness.start_node()
            self._harness.new_trial()

    def _recover(self, fault: Fault, evidence: Evidence) -> tuple[bool, int | None]:
        """Whether the arm goes on, and when the operator asked for it."""
        harness = self._harness
        if fault.recovery != 'operator' and self._goes_on(fault, evidence):
            return True, None
        if fault.recovery == 'itself' and not self._disabled_by_machine():
            return False, None
        if harness.journal.state == 'disabled' and fault.must != 'disable':
            harness.spin(SETTLES_S)
        if fault.must == 'disable':
            known_ns = evidence.known_ns or evidence.over_ns
            wait_ns = round((fault.holds_s + QUIET_S + WATCHED_S) * 1e9)
            harness.spin_to(max(known_ns + wait_ns, evidence.over_ns + round(WATCHED_S * 1e9)))
        leave_ns = time.time_ns()
        return harness.enable(), leave_ns

    def _disabled_by_machine(self) -> bool:
        """Also by an arm that stood still, for nobody computed it."""
        journal, lost_ns = self._harness.journal, self._harness.scene.lost_ns - self._lost_ns
        stood = lost_ns > STOOD_NS and journal.disabled_by(STOOD)
        return stood or journal.disabled_by_machine(HOLDS_S)

    def _late_since(self, time_ns: int) -> bool:
        """Whether messages that came late, or an arm that nobody computed, for want of a core,
        disabled it before.
        """
        lost_ns = self._harness.scene.lost_ns - self._lost_ns
        late = rf'{LATE}|{STALE}|{STOOD}'
        return lost_ns > STOOD_NS and self._harness.journal.names(late, time_ns)

    def _goes_on(self, fault: Fault, evidence: Evidence) -> bool:
        harness, journal, begin_ns = self._harness, self._harness.journal, time.time_ns()
        since_ns = evidence.known_ns or 0 if fault.must == 'hold' else 0

        def decided() -> bool:
            follows = journal.state == 'run' and journal.state_since_ns >= since_ns
            # Commands may be waiting for this process, which waits for a core.
            speaks = fault.must == 'hold' or harness.scene.log.since(begin_ns) > 0
            return (follows and speaks) or journal.state == 'disabled'

        return harness.spin_until(decided, GOES_ON_S) and journal.state == 'run'

    def _wait_for_name(self, fault: Fault, evidence: Evidence) -> bool:
        if not fault.named:
            return True
        journal, since_ns = self._harness.journal, evidence.injected_ns

        def named() -> bool:
            return journal.names(fault.named, since_ns) or journal.shows(fault.named, since_ns)

        return self._harness.spin_until(named, AFTERWARDS_S)
