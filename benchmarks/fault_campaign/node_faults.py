# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of the node's process, and requests of people while the arm moves."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from std_msgs.msg import Float64

from fault_campaign.bystanders import LISTEN, VIEW, Bystander
from fault_campaign.camera_faults import STALE_TOP, camera
from fault_campaign.corrupted_messages import silent
from fault_campaign.fault import HOLDS_S, Evidence, Fault, Inject, disables
from fault_campaign.harness import Harness
from fault_campaign.policy_with_faults import TALKS, TICK_ENDS, TICK_HANGS, TICK_RAISES

ENDS_S = 20.0  # a node that ends is given so long
SERVED_NS = 80_000_000  # until a node that was idle sees a signal or a call: it looks each 50 ms
LOOK_NS = 250_000_000  # a timer of 0.1 s, looked at as often
TOGGLES = 24
RESETS = 20
STEP_PATIENCE_S = 5.0
BUSY_S, BUSY_PROCESSES = 1.0, 4
VIEWERS, VIEWED = 3, ('sensor_msgs/msg/Image', 'policy_node/attention')
DIAGNOSTICS, DIAGNOSTICS_PERIOD_S = ('diagnostic_msgs/msg/DiagnosticArray', '/diagnostics'), 1.0
BYSTANDER_PATIENCE_S = 15.0
WATCHED_S, HELD_UP_S = 5.0, 2.0  # of a busy machine; shared memory held commands up for 5 s
PIPE_BYTES = 4096
# Settings that make no sense, or cannot change while the arm moves.
NONSENSE: tuple[tuple[str, object], ...] = (
    ('speed', 7.0), ('speed', -1.0), ('speed', float('nan')), ('ramp_speed', 0.0),
    ('auto_resume', -5.0), ('interpolation', 'nonsense'), ('max_jerk', -1.0),
    ('dead_man_button', -3), ('speed', 'fast'), ('effort_limit', -1.0),
)  # fmt: skip
STATED = r'disabled: the arm brakes'
DROPPED = r'dropped log lines=[1-9]'


def killed(harness: Harness, _rng: np.random.Generator) -> Evidence:
    begin_ns = time.time_ns()
    dead_ns = harness.kill_node()
    harness.start_node()
    harness.spin(1.0)
    return Evidence(begin_ns, dead_ns, time.time_ns())


def _ends_by(number: signal.Signals) -> Inject:
    """A signal that ends the node, which has to brake first."""

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        sent_ns = harness.signal_node(number)
        ended = harness.spin_until(lambda: not harness.alive, ENDS_S)
        code = harness.process.returncode if harness.process is not None else None
        problem = '' if ended and code == 0 else f'exit code {code}'
        harness.spin(0.2)
        over_ns = time.time_ns()
        harness.kill_node()
        harness.start_node()
        return Evidence(sent_ns, sent_ns + SERVED_NS, over_ns, problem)

    return inject


def _stands_still(milliseconds: int) -> Inject:
    """The process is stopped and goes on."""

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        begin_ns = harness.signal_node(signal.SIGSTOP)
        harness.spin(milliseconds * 1e-3)
        over_ns = harness.signal_node(signal.SIGCONT)
        harness.spin(0.3)
        return Evidence(begin_ns, over_ns, over_ns)

    return inject


def _busy(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """Other programs take every core."""
    begin_ns = time.time_ns()
    words = [sys.executable, '-c', 'while True: pass']
    others = [subprocess.Popen(words) for _ in range(BUSY_PROCESSES)]
    try:
        harness.spin(BUSY_S)
    finally:
        for other in others:
            other.kill()
            other.wait()
    return Evidence(begin_ns, begin_ns, time.time_ns())


def _viewers(end: Callable[[Bystander], None]) -> Inject:
    """Who looks at what the node shows is stopped while it takes an image, and maybe killed."""

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        command = harness.scene.robot.joints.command[0]
        controller = Bystander(LISTEN, command.type, command.topic, *DIAGNOSTICS)
        viewers = [Bystander(VIEW, *VIEWED) for _ in range(VIEWERS)]
        everybody = [controller, *viewers]
        try:
            there = _all_there(harness, everybody)
            begin_ns = time.time_ns()
            if not there:
                return Evidence(begin_ns, None, begin_ns, 'somebody sees nothing of the node')
            controller.read()
            _waits(harness, controller)  # what was before is no matter
            held = all([viewer.stop() for viewer in viewers])
            for viewer in viewers:
                end(viewer)
            harness.spin(WATCHED_S)
            waits_s = _waits(harness, controller)
        finally:
            for bystander in everybody:
                bystander.kill()
        # An arm that the busy machine disabled gets no commands, but its node still speaks.
        speaks = 'disabled' in harness.journal.states_since(begin_ns)
        late_s = waits_s[1] - DIAGNOSTICS_PERIOD_S if speaks else waits_s[0]
        problem = f'held up for {late_s:.1f} s' if late_s > HELD_UP_S else ''
        return Evidence(
            begin_ns, None, time.time_ns(), problem if held else 'a viewer has no lock to hold'
        )

    return inject


def _all_there(harness: Harness, everybody: Sequence[Bystander]) -> bool:
    """Wait until each has seen a message; an arm that was disabled meanwhile is enabled again."""
    for _ in range(2):
        if harness.spin_until(lambda: all(b.answered() for b in everybody), BYSTANDER_PATIENCE_S):
            return True
        harness.get_moving()
    return False


def _waits(harness: Harness, controller: Bystander) -> list[float]:
    controller.ask()
    harness.spin_until(controller.answered, BYSTANDER_PATIENCE_S)
    return [float(word) for word in controller.read().split()]


def _full_pipe(harness: Harness, rng: np.random.Generator) -> Evidence:
    """Nobody reads what the node says; a camera that dies makes it say more."""
    begin_ns = time.time_ns()
    reading, writing = os.pipe()
    flags = fcntl.fcntl(writing, fcntl.F_GETFL)
    fcntl.fcntl(writing, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b'.' * PIPE_BYTES)
    fcntl.fcntl(writing, fcntl.F_SETFL, flags)
    harness.kill_node()
    harness.start_node(writing)
    os.close(writing)
    problem = '' if harness.enable() and harness.get_moving() else 'the arm does not run'
    evidence = camera(silent)(harness, rng)
    goes_on = harness.wait_for_run(evidence.over_ns, STEP_PATIENCE_S)
    if not goes_on and not (harness.journal.disabled_by_machine(HOLDS_S) and harness.enable()):
        problem = problem or 'the arm does not go on'
    sent_ns = harness.signal_node(signal.SIGTERM)
    if not harness.spin_until(lambda: not harness.alive, ENDS_S):
        problem = problem or f'deaf to SIGTERM for {(time.time_ns() - sent_ns) / 1e9:.0f} s'
    os.close(reading)
    harness.kill_node()
    harness.start_node()
    return Evidence(begin_ns, evidence.known_ns, evidence.over_ns, problem)


def _drain_stopped(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """The process that takes what the node says is stopped, and the node says 2.5 MB."""
    begin_ns, first = time.time_ns(), len(harness.steps)
    drain = harness.log_drain()
    os.kill(drain, signal.SIGSTOP)
    harness.ask_policy(TALKS, 1)

    def said() -> bool:
        return any(step.kind == TALKS for step in harness.steps[first:])

    problem = '' if harness.spin_until(said, ENDS_S) else 'the node was held up'
    os.kill(drain, signal.SIGCONT)
    over_ns = time.time_ns()
    return Evidence(begin_ns, over_ns, over_ns, problem)


def toggled(harness: Harness, rng: np.random.Generator) -> Evidence:
    """Enable and disable in quick turns; in the end it is disabled."""
    begin_ns = time.time_ns()
    answers = []
    for turn in range(TOGGLES):
        answers.append(harness.switch(turn % 2 == 1))
        harness.spin(rng.uniform(0.005, 0.12))
    last = harness.switch(False)
    harness.spin_until(last.done, STEP_PATIENCE_S)
    known_ns = time.time_ns()
    harness.spin(0.6)
    return Evidence(begin_ns, known_ns, time.time_ns())


def _enable_twice(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """Two people enable the arm at once."""
    harness.disable()
    begin_ns = time.time_ns()
    both = harness.switch(True), harness.switch(True)
    harness.spin_until(lambda: all(answer.done() for answer in both), STEP_PATIENCE_S)
    harness.wait_for_run(begin_ns)
    return Evidence(begin_ns, None, time.time_ns())


def _resets(harness: Harness, rng: np.random.Generator) -> Evidence:
    """`~/reset` again and again."""
    begin_ns = time.time_ns()
    for _ in range(RESETS):
        harness.ask('reset')
        harness.spin(rng.uniform(0.002, 0.06))
    harness.spin(0.3)
    return Evidence(begin_ns, None, time.time_ns())


def _nonsense(harness: Harness, rng: np.random.Generator) -> Evidence:
    """`ros2 param set` with what makes no sense, while the arm moves."""
    begin_ns = time.time_ns()
    taken = []
    for place in rng.permutation(len(NONSENSE))[:4]:
        name, value = NONSENSE[place]
        request = SetParameters.Request(parameters=[_parameter(name, value)])
        answer = harness.call('set_parameters', request)
        if answer is not None and answer.results[0].successful:
            taken.append(f'{name} {value}')
    problem = f'taken: {", ".join(taken)}' if taken else ''
    return Evidence(begin_ns, None, time.time_ns(), problem)


def _parameter(name: str, value: object) -> Parameter:
    kinds: dict[type, tuple[int, str]] = {
        float: (ParameterType.PARAMETER_DOUBLE, 'double_value'),
        int: (ParameterType.PARAMETER_INTEGER, 'integer_value'),
        str: (ParameterType.PARAMETER_STRING, 'string_value'),
    }
    kind, key = kinds[type(value)]
    return Parameter(name=name, value=ParameterValue(type=kind, **{key: value}))


def _speeds(*speeds: float) -> Inject:
    """The speed override changes while the arm moves, and is 1 in the end."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        for speed in (*speeds, 1.0):
            harness.speed.publish(Float64(data=speed))
            harness.spin(rng.uniform(0.3, 0.6))
        return Evidence(begin_ns, None, time.time_ns())

    return inject


def _deactivate(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """The lifecycle node is deactivated while the arm moves, and activated again."""
    begin_ns = time.time_ns()
    off, on = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE
    answer = harness.call('change_state', _change(off), ENDS_S)
    over_ns = time.time_ns()
    problem = '' if answer is not None and answer.success else 'not deactivated'
    harness.spin(0.3)
    again = harness.call('change_state', _change(on), ENDS_S)
    if again is None or not again.success:
        problem = problem or 'not activated'
    return Evidence(begin_ns, begin_ns + SERVED_NS, over_ns, problem)


def _change(transition: int) -> ChangeState.Request:
    return ChangeState.Request(transition=Transition(id=transition))


def _tick(
    kind: str, after_ns: int, end: Callable[[Harness], None] = lambda harness: None
) -> Inject:
    """A defect in the control tick, at once or noticed by another thread."""

    def inject(harness: Harness, _rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        harness.ask_policy(kind, 1)
        harness.spin(0.5 + after_ns * 1e-9)
        over_ns = time.time_ns()
        end(harness)
        return Evidence(begin_ns, begin_ns + after_ns, over_ns)

    return inject


def _tick_hangs(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """A tick that takes long, and the node's lock with it; nothing can brake before it is over."""
    begin_ns, first = time.time_ns(), len(harness.steps)

    def over() -> list[int]:
        return [step.end_ns for step in harness.steps[first:] if step.kind == TICK_HANGS]

    harness.ask_policy(TICK_HANGS, 1)
    went_on = harness.spin_until(over, ENDS_S)
    known_ns = over()[0] if went_on else None
    harness.spin(0.5)
    return Evidence(begin_ns, known_ns, time.time_ns(), '' if went_on else 'no tick hung')


def _start_anew(harness: Harness) -> None:
    harness.spin(1.0)
    harness.kill_node()
    harness.start_node()


NODE_FAULTS = (
    Fault('node: killed and restarted', 'node', 'silence', '', killed, 'operator', every=5),
    *(
        Fault(
            f'node: {number.name}', 'node', 'hold', '', _ends_by(number), 'operator', every=5,
        )
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)
    ),
    Fault('node: stopped for 50 ms', 'node', 'limits', '', _stands_still(50), 'either'),
    Fault('node: stopped for 150 ms', 'node', 'hold', '', _stands_still(150), 'either'),
    Fault('node: stopped for 600 ms', 'node', 'hold', '', _stands_still(600), 'either'),
    Fault('node: the machine is busy for 1 s', 'node', 'limits', '', _busy, 'either', every=2),
    Fault(
        'node: stdout is a full pipe', 'node', 'hold', STALE_TOP, _full_pipe, 'operator', every=5,
    ),
    Fault(
        'node: its log drain is stopped', 'node', 'go on', DROPPED, _drain_stopped, 'either',
        every=2,
    ),
    Fault(
        'viewers: stopped', 'node', 'go on', '', _viewers(lambda viewer: None), 'either', every=2,
    ),
    Fault('viewers: killed', 'node', 'go on', '', _viewers(Bystander.kill), 'either', every=2),
    disables(
        'node: a tick raises', 'node', r'(brake|disabled): defect: ',
        _tick(TICK_RAISES, 60_000_000),
    ),
    disables(
        'node: the tick thread ends', 'node', r'the thread of the control tick ended',
        _tick(TICK_ENDS, LOOK_NS, _start_anew), every=5,
    ),
    disables(
        'node: a tick hangs', 'node', r'(brake|disabled): defect: the control tick hung',
        _tick_hangs, every=2,
    ),
    Fault('node: deactivated', 'node', 'hold', '', _deactivate, 'operator', every=2),
    Fault('enable: toggled fast', 'node', 'hold', STATED, toggled, 'operator'),
    Fault('enable: twice at once', 'node', 'go on', r'already enabled', _enable_twice),
    Fault('reset: twenty times', 'node', 'limits', '', _resets, 'either'),
    Fault('parameters: nonsense', 'node', 'go on', '', _nonsense),
    Fault('speed: 1, 0, 1', 'node', 'go on', r'speed override: 0', _speeds(0.0)),
    Fault('speed: 0.3, 0.8', 'node', 'go on', r'speed override: 0\.3', _speeds(0.3, 0.8)),
)  # fmt: skip
