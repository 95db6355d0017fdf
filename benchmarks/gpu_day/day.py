# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The stages of benchmarks/on_gpu.sh, each a process of its own with a time to end by.

What a stage found goes to summary.json at once; nothing that a stage does can end another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from plan import (
    SCENE,
    Plan,
    bench_call,
    command,
    teach_calls,
    train_call,
    trials_call,
    unused_seed,
)

from motion_policy.files import settle, write_text

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 8.0  # from SIGINT to SIGKILL
LOG_BYTES = 400_000  # of each stage's output
SUMMARY = 'summary.json'
BENCHES = ('infer', 'train-step', 'predict', 'train')
PRESETS = {
    'benches': ('machine', 'tests', *BENCHES, 'smoke'),
    'policy': ('machine', 'demonstrations', 'step-time', 'training', 'trials'),
    'all': (
        'machine', 'infer', 'train-step', 'demonstrations', 'step-time', 'training', 'trials',
        'tests', 'predict', 'train',
    ),
}  # fmt: skip
AFTER_TRAINING_S = {'trials': 90.0, 'tests': 20.0, 'predict': 40.0, 'train': 40.0}


@dataclass
class Day:
    """What is asked for, when it ends, and what was found so far."""

    plan: Plan
    out: Path
    work: Path
    end_s: float
    summary: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def left_s(self) -> float:
        """Seconds until everything is to be over."""
        return self.end_s - time.monotonic()

    def log(self, name: str) -> Path:
        """The file of a process's output."""
        folder = self.work / 'logs'
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f'{name}.log'

    def start(self, name: str, call: list[str]) -> subprocess.Popen[bytes]:
        """Start a process with its output in its log."""
        with self.log(name).open('ab') as log:
            log.write(f'$ {" ".join(call)}\n'.encode())
            log.flush()
            return subprocess.Popen(
                call, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def call(
        self, name: str, call: list[str], limit_s: float, watch: Callable[[], None] = lambda: None
    ) -> int:
        """Run a process for at most `limit_s`; its exit code, 124 if it was stopped."""
        return self.wait({name: self.start(name, call)}, limit_s, watch)[name]

    def wait(
        self,
        processes: dict[str, subprocess.Popen[bytes]],
        limit_s: float,
        watch: Callable[[], None] = lambda: None,
    ) -> dict[str, int]:
        """Wait until all have ended; those that have not in time are stopped."""
        end_s = time.monotonic() + min(limit_s, self.left_s - PATIENCE_S / 2)
        while any(p.poll() is None for p in processes.values()) and time.monotonic() < end_s:
            watch()
            time.sleep(0.2)
        late = [name for name, process in processes.items() if process.poll() is None]
        for number in (signal.SIGINT, signal.SIGKILL):
            for process in processes.values():
                if process.poll() is None:
                    os.killpg(process.pid, number)
            end_s = time.monotonic() + PATIENCE_S
            while any(p.poll() is None for p in processes.values()) and time.monotonic() < end_s:
                time.sleep(0.1)
        watch()
        return {
            name: 124 if name in late else process.returncode
            for name, process in processes.items()
        }

    def write(self) -> None:
        """The three files of OUT, as far as it has come."""
        write_text(self.out / SUMMARY, json.dumps(self.summary, indent=2) + '\n')
        write_text(self.out / 'table.md', table(self.summary))
        parts = []
        for path in sorted(self.work.rglob('logs/*.log'), key=lambda p: p.stat().st_mtime):
            text = path.read_text(errors='replace')
            parts.append(f'===== {path.stem}\n{text[-LOG_BYTES:]}\n')
        write_text(self.out / 'log.txt', ''.join(parts)[-15_000_000:])


class StageError(RuntimeError):
    """A stage that has not done what it is for."""


def machine(day: Day) -> dict[str, Any]:
    """Where this is; and who draws the images of the simulation."""
    found: dict[str, Any] = {'python': platform.python_version(), 'cores': day.plan.cores}
    if not day.plan.dry:
        day.call('machine', ['nvidia-smi'], 20)
    told = day.work / 'machine.json'
    day.call('machine', command('gpu_day/machine.py', str(told)), 60)
    found |= json.loads(told.read_text())
    given = os.environ.get('MUJOCO_GL')
    for drawer in [given] if given else ['egl', 'osmesa']:
        day.environment['MUJOCO_GL'] = drawer
        if day.call(f'drawing-{drawer}', command('gpu_day/machine.py', '--draw'), 60) == 0:
            found['drawn_by'] = drawer
            return found
    raise StageError('nothing draws without a screen: neither EGL nor OSMesa')


TESTS = ('test/control/test_runner.py', 'test/policies/recurrent/test_mtrnn.py')


def tests(day: Day) -> dict[str, Any]:
    """The tests of what only a GPU can do."""
    words = 'cpu' if day.plan.dry else 'gpu or cuda'
    options = ['-q', '-p', 'no:cacheprovider', '-k', words, '--tb', 'long']
    code = day.call('tests', [sys.executable, '-m', 'pytest', *options, *TESTS], 60)
    last = day.log('tests').read_text().strip().splitlines()[-1]
    if code:
        raise StageError(f'exit code {code}: {last}')
    return {'told': last}


def bench(name: str) -> Callable[[Day], dict[str, Any]]:
    """One benchmark on the GPU."""

    def measure(day: Day) -> dict[str, Any]:
        path = day.work / f'bench-{name}.json'
        path.unlink(missing_ok=True)
        code = day.call(f'bench-{name}', bench_call(day.plan, name, path), 150)
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        if code:
            day.summary.setdefault('partial', {})[name] = found
            raise StageError(f'exit code {code}; failed: {found.get("failed")}')
        day.summary.get('partial', {}).pop(name, None)
        return found

    return measure


def demonstrations(day: Day) -> dict[str, Any]:
    """The scripted expert's demonstrations, made by as many processes as there are cores."""
    folder = day.plan.demonstrations
    folder.mkdir(parents=True, exist_ok=True)
    there = len(list(folder.glob('*.hdf5')))
    failed: dict[str, int] = {}
    if there < day.plan.episodes:
        seed = unused_seed(day.plan)
        calls = teach_calls(day.plan, day.plan.episodes - there, first_seed=seed)
        begun = {f'teach-{own:02d}': day.start(f'teach-{own:02d}', c) for own, c in calls}
        codes = day.wait(begun, 100)
        for path in sorted(day.plan.parts.glob('*/episode_*.hdf5')):
            settle(path, folder / f'episode_{len(list(folder.glob("*.hdf5"))):06d}.hdf5')
        failed = {name: code for name, code in codes.items() if code}
    episodes = len(list(folder.glob('*.hdf5')))
    if not episodes:
        raise StageError(f'no demonstrations; exit codes: {failed}')
    return {'episodes': episodes, 'failed': failed}


def step_time(day: Day) -> dict[str, Any]:
    """How long one step of the training takes."""
    path = day.work / 'step.json'
    code = day.call(
        'step-time', command('gpu_day/step_time.py', *day.plan.step_words, str(path)), 60
    )
    if code:
        raise StageError(f'exit code {code}')
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def training(day: Day) -> dict[str, Any]:
    """ACT until the time is up that the rest does not need."""
    after = [AFTER_TRAINING_S.get(name, 0) for name in day.summary['stages_asked']]
    seconds = day.left_s - (10 if day.plan.dry or day.plan.short else sum(after))
    step_ms = day.summary.get('stages', {}).get('step-time', {}).get('step_ms', 80.0)
    planned = day.plan.training(seconds, step_ms / 1e3)
    told = {'available_s': seconds, 'step_ms': step_ms, 'planned': planned}
    curve: list[dict[str, float]] = []
    begin = time.monotonic()

    def watch() -> None:
        metrics = day.plan.metrics()
        if metrics and (not curve or metrics['steps'] != curve[-1]['steps']):
            curve.append({'after_s': round(time.monotonic() - begin, 1), **metrics})
            day.summary['training_so_far'] = curve
            day.write()

    code = day.call('training', train_call(day.plan, planned), seconds, watch)
    if not curve:
        raise StageError(f'exit code {code}, and no policy was written')
    return {**told, 'exit_code': code, 'curve': curve, 'weights': day.plan.weights}


def trials(day: Day) -> dict[str, Any]:
    """How often the policy succeeds in simulation; on the CPU if the GPU cannot."""
    found = {}
    for device in dict.fromkeys((day.plan.device, 'cpu')):
        path = day.work / f'trials-{device}.json'
        code = day.call(f'trials-{device}', trials_call(day.plan, device, path), day.left_s)
        found[device] = f'exit code {code}'
        if code == 0:
            return {'device': device, **json.loads(path.read_text())}
    raise StageError(str(found))


def smoke(day: Day) -> dict[str, Any]:
    """The way from demonstrations to trials, cut short: whether it works on this machine."""
    work = day.work / 'smoke'
    plan = replace(day.plan, short=True, work=work, episodes=day.plan.cores)
    short = replace(day, plan=plan, work=work, end_s=min(day.end_s, time.monotonic() + 120))
    found = {stage.__name__: stage(short) for stage in (demonstrations, training, trials)}
    day.summary.pop('training_so_far', None)
    return found


STAGES: dict[str, Callable[[Day], dict[str, Any]]] = {
    'machine': machine,
    'tests': tests,
    'demonstrations': demonstrations,
    'smoke': smoke,
    'step-time': step_time,
    'training': training,
    'trials': trials,
    **{name: bench(name) for name in BENCHES},
}


def table(summary: dict[str, Any]) -> str:
    """The stages and the figures of the benchmarks, as Markdown."""
    lines = ['| stage | state | s |', '|---|---|---|']
    for name, found in summary.get('stages', {}).items():
        lines.append(f'| {name} | {found["state"]} | {found["seconds"]} |')
    lines += ['', '| what | ours | reference | ratio | target | |', '|---|---|---|---|---|---|']
    stages, partial = summary.get('stages', {}), summary.get('partial', {})
    for name in BENCHES:
        found = {**partial.get(name, {}), **stages.get(name, {})}
        for row in found.get('results', []):
            lines.append(
                f'| {row["what"]} | {row["ours"]:.3f} | {row["reference"]:.3f} {row["unit"]} | '
                f'{row["ratio"]:.2f} | {row["target"]:.2f} | {"met" if row["met"] else "missed"} |'
            )
    curve = stages.get('training', {}).get('curve', [])
    lines += ['', f'training for {SCENE}:', *(f'- {point}' for point in curve)]
    judged = stages.get('trials', {})
    lines += [
        f'- {key}: {judged[key]}' for key in ('positions', 'success', 'total') if key in judged
    ]
    return '\n'.join(lines) + '\n'


def found_before(out: Path, dry: bool) -> dict[str, Any]:
    """What earlier calls found, if there is anything and it is no dry run beside real ones."""
    try:
        earlier: dict[str, Any] = json.loads((out / SUMMARY).read_text())
    except (OSError, ValueError):
        return {}
    return earlier if earlier.get('dry') == dry else {}


def main() -> int:
    """Do the stages in turn; 0 if all of them succeeded."""
    parser = argparse.ArgumentParser(description='Measure on a GPU; see benchmarks/on_gpu.sh.')
    parser.add_argument('preset', nargs='?', default='all', choices=list(PRESETS))
    parser.add_argument('--minutes', type=float, default=9.0)
    parser.add_argument('--stages', default='', help=f'instead, some of: {",".join(STAGES)}')
    parser.add_argument('--work', type=Path)
    parser.add_argument('--episodes', type=int, default=100)
    parser.add_argument('--seconds', type=float, default=4.0, help='of each line of a benchmark')
    parser.add_argument(
        '--backbone-weights', default='', help='a file with the keys of torchvision'
    )
    parser.add_argument('--dry-run', action='store_true')
    given = parser.parse_args()
    if not os.environ.get('OUT'):
        parser.error('OUT is not set, expected the folder for the results')
    names = tuple(given.stages.split(',')) if given.stages else PRESETS[given.preset]
    for name in names:
        if name not in STAGES:
            parser.error(f"--stages: '{name}', expected some of: {', '.join(STAGES)}")
    out = Path(os.environ['OUT']).resolve()
    out.mkdir(parents=True, exist_ok=True)
    work = given.work or Path(tempfile.gettempdir(), 'motion_policy_gpu_day')
    work.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        dry=given.dry_run, work=work.resolve(), episodes=2 if given.dry_run else given.episodes,
        seconds=0.1 if given.dry_run else given.seconds, weights_file=given.backbone_weights,
    )  # fmt: skip
    day = Day(plan, out, work, time.monotonic() + 60 * given.minutes)
    asked = {'minutes': given.minutes, 'dry': given.dry_run, 'stages_asked': names}
    day.summary = {'stages': {}, **found_before(out, given.dry_run), **asked}
    states = [_stage(day, name) for name in names]
    print(table(day.summary))
    return 0 if all(state == 'done' for state in states) else 1


def _stage(day: Day, name: str) -> str:
    """Do one stage and keep what it found, or what went wrong."""
    begin = time.monotonic()
    found: dict[str, Any] = {}
    if day.left_s < 2 * PATIENCE_S:
        state = 'no time left'
    else:
        try:
            found, state = STAGES[name](day), 'done'
        except Exception as error:
            state, found = f'failed: {error}', {'traceback': traceback.format_exc()}
    taken_s = round(time.monotonic() - begin, 1)
    print(f'{name}: {state} ({taken_s} s, {day.left_s:.0f} s left)', flush=True)
    told = {'state': state, 'seconds': taken_s, **found}
    if state != 'done' and day.summary['stages'].get(name, {}).get('state') == 'done':
        day.summary.setdefault('not_done_again', {})[name] = told
    else:
        day.summary['stages'][name] = told
    day.write()
    return state


if __name__ == '__main__':
    raise SystemExit(main())
