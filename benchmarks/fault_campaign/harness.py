# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Policy node in a process of its own, the arm that it drives, and the operator of both.

The harness sees of the node what any other program sees: commands, log, `/diagnostics`, services.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from control_path.harness import children
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64, String
from std_srvs.srv import SetBool, Trigger

from fault_campaign.policy_with_faults import DEPTH, FAULT_FILE, WORKER
from fault_campaign.scene import TabletopOnWire
from fault_campaign.setups import HAND, Setup
from fault_campaign.signals import Hand, Signals
from fault_campaign.switches import Switches
from motion_policy.cli.processes import NodeProcesses
from motion_policy.nodes.transports import transports

STATE_LINE = re.compile(r'(disabled|ramp|run|hold|brake): ')
PATIENCE_S = 20.0  # of the operator, on a busy machine
START_PATIENCE_S = 90.0
CALL_PATIENCE_S = 5.0
STEADY_S = 1.0  # the arm has been running so long when a fault is injected: it is a new one then
MOVING_SHARE = 0.01  # of a joint's greatest speed
MOTION_PATIENCE_S = 3.0
PAUSE_NS = 1_100_000_000  # after the last command the arm may be put elsewhere
SPINS_OF_SILENCE = 50  # each takes one message in
LOG_DEPTH = 1000
TOLD_LATE_S = 0.2  # the log tells of a state so late
LAST_LINES = 20
LATE = r'disabled: (state: .*stale|control tick: |policy: no )'
SERVICES: dict[str, Any] = {
    'reset': Trigger, 'home': Trigger, 'set_parameters': SetParameters,
    'change_state': ChangeState,
}  # fmt: skip
PLACES = ('A', 'B', 'C', 'D', 'E')


class HarnessError(RuntimeError):
    """The harness cannot go on; the message says why."""


@dataclass(frozen=True)
class Step:
    """One step of the policy, as `policy_with_faults` tells it."""

    kind: str
    seen_ns: int
    begin_ns: int
    end_ns: int


class Journal:
    """What the node said, and when: lines of its log, values of its diagnostics."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, str]] = []
        self._states: list[tuple[int, str]] = [(0, 'disabled')]
        self.diagnostics: list[tuple[int, dict[str, str]]] = []

    def add_line(self, time_ns: int, text: str) -> None:
        """Note a line of the log."""
        self._lines.append((time_ns, text))
        found = STATE_LINE.match(text)
        if found:
            self._states.append((time_ns, found[1]))

    def add_diagnostics(self, time_ns: int, message: DiagnosticArray) -> None:
        """Note values by key."""
        values = {pair.key: pair.value for status in message.status for pair in status.values}
        self.diagnostics.append((time_ns, values))

    @property
    def state(self) -> str:
        """What the controller does, by the last line that told it."""
        return self._states[-1][1]

    @property
    def state_since_ns(self) -> int:
        """When that line was written."""
        return self._states[-1][0]

    def disabled_by_machine(self, held_s: float) -> bool:
        """Whether the arm was disabled because it held for so long, or messages came late, for
        want of a core: not by what was injected.
        """
        told = [(time_ns, state) for time_ns, state in self._states if state != 'brake']
        if len(told) < 2 or told[-1][1] != 'disabled':
            return False
        held_ns = told[-1][0] - told[-2][0] if told[-2][1] == 'hold' else 0
        return self.disabled_by(LATE) or held_ns >= (held_s - TOLD_LATE_S) * 1e9

    def disabled_by(self, pattern: str) -> bool:
        """Whether the arm is disabled, and this is why."""
        reasons = [text for _, text in self._lines[-LAST_LINES:] if text.startswith('disabled: ')]
        disabled = self.state == 'disabled' and bool(reasons)
        return disabled and re.search(pattern, reasons[-1]) is not None

    def forget_state(self) -> None:
        """The node was ended from outside."""
        self._states.append((time.time_ns(), 'disabled'))

    def states_since(self, time_ns: int) -> list[str]:
        """The states that were told from a time on."""
        return [state for _, state in self._states[bisect_left(self._states, (time_ns, '')) :]]

    def names(self, pattern: str, since_ns: int) -> bool:
        """Whether a line since then says this."""
        lines = self._lines[bisect_left(self._lines, (since_ns, '')) :]
        return any(re.search(pattern, text) for _, text in lines)

    def shows(self, pattern: str, since_ns: int) -> bool:
        """Whether a diagnostic, as `key=value`, changed to say this since then.

        A count that was there before says nothing.
        """
        before = [values for time_ns, values in self.diagnostics if time_ns < since_ns]
        old = before[-1] if before else {}
        return any(
            re.match(pattern, f'{key}={value}') and old.get(key) != value
            for time_ns, values in self.diagnostics
            if time_ns >= since_ns
            for key, value in values.items()
        )

    def shows_now(self, pattern: str) -> bool:
        """Whether the newest diagnostics say this."""
        newest = self.diagnostics[-1][1] if self.diagnostics else {}
        return any(re.match(pattern, f'{key}={value}') for key, value in newest.items())

    def lines_since(self, time_ns: int) -> list[str]:
        """What the node said from a time on."""
        return [text for _, text in self._lines[bisect_left(self._lines, (time_ns, '')) :]]


class Harness:
    """Starts the node of a setup, spins it together with the scene, enables and disables it."""

    def __init__(self, processes: NodeProcesses, setup: Setup) -> None:
        self.processes = processes
        self.journal = Journal()
        self.steps: list[Step] = []
        self.trials = 0
        self._setup = setup
        self._starts = 0
        self._served = False
        self.process: subprocess.Popen[bytes] | None = None
        self.context = rclpy.Context()
        with transports('none'):  # so that stopped viewers hold up nobody but the node
            rclpy.init(context=self.context)
            self._executor = SingleThreadedExecutor(context=self.context)
            self.node = self.new_node('fault_bench')
        self.spy = self.new_node('fault_spy')
        prepared = setup.prepare(processes.log_dir)
        self._parameters, camera, self.policy_period_ns = prepared
        self.scene = TabletopOnWire(
            self.node, setup.robot, camera, clock=setup.sim_time, spy=self.spy
        )
        self.switches = Switches(self) if setup.switches else None
        self._signals: Signals | None = None
        if setup.signals:
            hand = Hand(self.new_node('hand_driver'), HAND.name)
            self._signals = Signals(self.node, self.scene, hand)
            self.scene.each_step = self._signals.step
        self._listen()
        self.start_node()

    @property
    def signals(self) -> Signals:
        """What is sensed beside the cameras, of a setup that has it."""
        assert self._signals is not None
        return self._signals

    def new_node(self, name: str) -> Node:
        """A node of the bench, spun with the others."""
        node = Node(name, context=self.context)
        self._executor.add_node(node)
        return node

    def remove_node(self, node: Node) -> None:
        """End a node of the bench."""
        self._executor.remove_node(node)
        node.destroy_node()

    def start_node(self, output: int | None = None) -> None:
        """Start the node; it configures and activates itself. Its `output` is a file's number."""
        robot = self.scene.robot
        parameters = {
            **self._parameters,
            'autostart': 'true',
            f'qos_overrides./{robot.joints.command[0].topic}.publisher.depth': DEPTH,
        }
        words = [f'{name}:={value}' for name, value in parameters.items()]
        arguments = ['--ros-args', *(word for line in words for word in ('-p', line))]
        paths = [str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH', '')]
        environment = {
            **os.environ,
            'PYTHONPATH': os.pathsep.join(filter(None, paths)),
            FAULT_FILE: str(self.processes.log_dir / 'fault'),
        }
        self._starts += 1
        self._served = False  # it takes long to start
        options = {} if output is None else {'stdout': output, 'stderr': output}
        self.process = self.processes.start(
            self._name, self._setup.module, arguments, env=environment, **options
        )

    def kill_node(self) -> int:
        """Kill the node as the system does; return when it was dead at the latest."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.journal.forget_state()
        return time.time_ns()

    @property
    def alive(self) -> bool:
        """Whether the node's process runs."""
        return self.process is not None and self.process.poll() is None

    def last_words(self) -> str:
        """The end of the node's own output."""
        return self.processes.last_words(self._name)

    def signal_worker(self, number: signal.Signals) -> None:
        """Send a signal to the process that the policy has for itself."""
        assert self.process is not None
        for pid in children(self.process.pid):
            words = Path(f'/proc/{pid}/cmdline').read_bytes()
            if WORKER.encode() in words:
                os.kill(pid, number)

    def log_drain(self) -> int:
        """The process that takes what the node says."""
        assert self.process is not None
        return next(
            pid for pid in children(self.process.pid)
            if b'log_drain' in Path(f'/proc/{pid}/cmdline').read_bytes()
        )  # fmt: skip

    def signal_node(self, number: signal.Signals) -> int:
        """Send a signal to the node itself; return when."""
        assert self.process is not None
        sent_ns = time.time_ns()
        os.kill(self.process.pid, number)
        return sent_ns

    @property
    def _name(self) -> str:
        return f'{self._setup.module.rpartition(".")[2]}_{self._starts}'

    def spin_until(self, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> bool:
        """Let the world go on until something holds; False when it never did."""
        end = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() >= end:
                return False
            self._executor.spin_once(timeout_sec=self.scene.wait_s())
            if self.scene.wait_s() <= 0:
                self.scene.step()
        return True

    def spin(self, seconds: float) -> None:
        """Let the world go on for a while."""
        self.spin_until(lambda: False, seconds)

    def spin_to(self, time_ns: int) -> None:
        """Let the world go on until this time of the system's clock."""
        self.spin_until(lambda: time.time_ns() >= time_ns)

    def switch(self, on: bool) -> Any:
        """Ask for `~/enable`; return the future of its answer."""
        return self._enable.call_async(SetBool.Request(data=on))

    def enable(self) -> bool:
        """Enable, again and again until it is granted, and wait until the arm follows."""
        patience_s = PATIENCE_S if self._served else START_PATIENCE_S
        end, begin_ns = time.monotonic() + patience_s, time.time_ns()
        while time.monotonic() < end:
            if not self._enable.service_is_ready():
                self.spin(0.05)
                continue
            answer = self.switch(True)
            self.spin_until(answer.done, CALL_PATIENCE_S)
            if answer.done() and answer.result().success:
                self._served = True
                self.spin_until(lambda: self._decided(begin_ns), end - time.monotonic())
                if self.journal.state == 'run':
                    return True
            if self.switches is not None:
                self.switches.make_safe()
            self.spin(0.1)
        return False

    def call(self, name: str, request: Any = None, patience_s: float = CALL_PATIENCE_S) -> Any:
        """Ask a service of the node; return its answer, None without one."""
        client, kind = self._clients[name]
        answer = client.call_async(kind.Request() if request is None else request)
        self.spin_until(answer.done, patience_s)
        return answer.result() if answer.done() else None

    def ask(self, name: str) -> Any:
        """Ask a service of the node that takes no arguments; return the future of its answer."""
        client, kind = self._clients[name]
        return client.call_async(kind.Request())

    def granted(self) -> str:
        """Try to enable an arm that must not be; return what is wrong: '' if it was refused."""
        answer = self.switch(True)
        self.spin_until(answer.done, CALL_PATIENCE_S)
        if not answer.done():
            return ''
        said = answer.result()
        return f'enabled: {said.message}' if said.success else ''

    def _decided(self, since_ns: int) -> bool:
        """Whether the arm follows its policy since then, or was disabled again."""
        states = self.journal.states_since(since_ns)
        return 'run' in states or ('ramp' in states and states[-1] == 'disabled')

    def wait_for_run(self, since_ns: int, patience_s: float = PATIENCE_S) -> bool:
        """Wait until the node says that it follows its policy, later than `since_ns`."""

        def runs() -> bool:
            return self.journal.state == 'run' and self.journal.state_since_ns >= since_ns

        return self.spin_until(runs, patience_s)

    def disable(self) -> bool:
        """Disable and wait until nothing is sent any more."""
        answer = self.switch(False)
        self.spin_until(answer.done, CALL_PATIENCE_S)
        return self.spin_until(self._silence())

    def new_trial(self) -> None:
        """Stop, put arm and cube back, and let the policy begin anew."""
        if not self.alive:
            raise HarnessError(f'the node died: {self.last_words()}')
        if self.journal.state != 'disabled':
            self.disable()
        else:  # commands may be waiting for this process, which waits for a core
            self.spin_until(self._silence())
        place = PLACES[self.trials % len(PLACES)]
        self.trials += 1
        self.scene.reset(place, seed=self.trials)
        self.spin(0.2)
        if not self.enable():
            raise HarnessError(f'the arm does not run: {self.last_words()}')

    def get_moving(self) -> bool:
        """Bring about a running arm, moving if it can be; return whether it moves."""
        if self.journal.state != 'run' and not self.wait_for_run(0, 3.0):
            self.new_trial()
        for _ in range(2):
            if self.spin_until(self._moves_steadily, MOTION_PATIENCE_S):
                return True
            self.new_trial()
        return False

    def ask_policy(self, kind: str, count: int) -> None:
        """Have the next steps of the policy fail."""
        self._faults.publish(String(data=json.dumps({'kind': kind, 'count': count})))

    def close(self) -> None:
        """Disable, and end what runs in this process."""
        if self.alive and self.journal.state != 'disabled':
            self.disable()
        self.scene.close()
        self._executor.shutdown()
        self.spy.destroy_node()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _listen(self) -> None:
        self._enable = self.node.create_client(SetBool, 'policy_node/enable')
        self._clients = {
            name: (self.node.create_client(kind, f'policy_node/{name}'), kind)
            for name, kind in SERVICES.items()
        }
        self.speed = self.node.create_publisher(Float64, 'policy_node/speed', 1)
        self._faults = self.node.create_publisher(String, 'fault', DEPTH)
        for kind, topic, callback, depth in (
            (Log, '/rosout', self._take_log, LOG_DEPTH),
            (DiagnosticArray, '/diagnostics', self._take_diagnostics, DEPTH),
            (String, 'fault/steps', self._take_step, DEPTH),
        ):
            self.node.create_subscription(kind, topic, callback, QoSProfile(depth=depth))

    def _silence(self) -> Callable[[], bool]:
        """Return what says whether no command has come for a while.

        It has to be asked often: this process may have waited for a core, with commands waiting.
        """
        count, asked, since_ns = len(self.scene.log), 0, time.time_ns()

        def silent() -> bool:
            nonlocal count, asked, since_ns
            asked += 1
            if len(self.scene.log) != count:
                count, asked, since_ns = len(self.scene.log), 0, time.time_ns()
            return asked > SPINS_OF_SILENCE and time.time_ns() - since_ns > PAUSE_NS

        return silent

    def _moves_steadily(self) -> bool:
        journal, robot = self.journal, self.scene.robot
        if journal.state != 'run' or time.time_ns() - journal.state_since_ns < STEADY_S * 1e9:
            return False
        limit = MOVING_SHARE * robot.joints.limits.velocity_array() * robot.period_ns * 1e-9
        step = self.scene.log.last_step(time.time_ns(), robot.period_ns)
        return bool((abs(step) > limit).any())

    def _take_log(self, message: Log) -> None:
        if message.name.split('.')[-1] == 'policy_node':
            stamp = message.stamp
            self.journal.add_line(stamp.sec * 1_000_000_000 + stamp.nanosec, message.msg)

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        self.journal.add_diagnostics(time.time_ns(), message)

    def _take_step(self, message: String) -> None:
        self.steps.append(Step(**json.loads(message.data)))
