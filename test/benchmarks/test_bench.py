# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""`motion-policy bench` offers what there is, compares in turns and writes figures that add up."""

from __future__ import annotations

import gc
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from chain_arm import chain_urdf
from known_times import OURS, REFERENCE, know_the_times
from measuring.timing import interleaved_ms, plain_network, random_policy
from measuring.turns import TurnProcess
from pretended_gpu import GPU, on_gpu
from processors import has_bf16_by_its_flags
from reference.act_steps import act_batch, act_policy, our_act_step, plain_act_step
from repository import ROOT

from motion_policy.cli.bench import benchmark_files
from motion_policy.cli.main import main
from motion_policy.cli.measurement import Measurement
from motion_policy.policies.cpu.layers import Convolutions, UpConvolution
from motion_policy.robot import load_robot_spec
from motion_policy.share import share_dir

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
SMALL_ACT = {
    'chunk': 5, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 24, 'encoder_layers': 1,
    'posterior_layers': 1, 'latent_dim': 4,
}  # fmt: skip
FIELDS = ('what', 'ours', 'reference', 'unit', 'ratio', 'target', 'met')


def load(name: str) -> ModuleType:
    """The module of a benchmark."""
    spec = importlib.util.spec_from_file_location(name, benchmark_files()[name])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    gc.freeze()  # or each line would begin by collecting what was imported
    return module


def measure(module: ModuleType, seconds: float, *more: object) -> list[Measurement]:
    """All lines of a benchmark, on the CPU."""
    return [result for line in module.lines(seconds, 'cpu', *more) for result in line()]


def test_what_is_offered_is_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(benchmark_files()) == [
        'cockpit', 'control', 'crashes', 'damaged', 'faults', 'guards', 'infer', 'kinematics',
        'matrix', 'memory', 'predict', 'quality', 'record', 'storage', 'takeover', 'train',
        'train-step',
    ]  # fmt: skip
    assert main(['bench', '--help']) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in benchmark_files())


@pytest.mark.parametrize('arguments', [[], ['soufflé'], ['infer', '--seconds', '0']])
def test_what_cannot_be_measured_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['bench', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: bench') and error.count('\n') == 1


@pytest.fixture(scope='module')
def graph_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of graphs for this module: an export is made once for the same small ACT."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture
def gpu_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of benchmarks/on_gpu.sh can be imported."""
    monkeypatch.syspath_prepend(str(share_dir() / 'benchmarks' / 'gpu_day'))


def test_infer_writes_every_field(
    tmp_path: Path, graph_cache: None, gpu_day: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pretend

    path = tmp_path / 'bench.json'
    module = load('infer')
    changes = {
        **{name: pretend.TINY['infer'][name] for name in ('ACT_SIZE', 'ACT_HYPER')},
        'CASES': [(kind, 32, target) for kind, _, target in module.CASES],
    }  # fmt: skip
    for name, value in changes.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr('motion_policy.cli.bench._load', lambda name, file: module)
    threads = torch.get_num_threads()
    with ExitStack() as stack:

        @cache
        def begun(*arguments: str) -> TurnProcess:
            return stack.enter_context(TurnProcess(*arguments))

        # Both lines compare with the same network: one process is enough.
        monkeypatch.setattr(module, 'TurnProcess', lambda *given: nullcontext(begun(*given)))
        assert main(['bench', 'infer', '--seconds', '0.01', '--json', str(path)]) == 0
    assert torch.get_num_threads() == threads
    content = json.loads(path.read_text())
    assert len(content['results']) == 6
    exact, coarse = (r for r in content['results'] if r['what'].startswith('act'))
    assert exact['greatest_difference'] <= 1e-5
    assert coarse['greatest_difference'] <= 0.05
    # A processor without bf16 computes in float32, and the line says so.
    assert coarse['precision'] == ('bf16' if has_bf16_by_its_flags() else 'float32')
    assert ('float32 here' in coarse['what']) is (coarse['precision'] == 'float32')
    assert (coarse['greatest_difference'] > 1e-5) is (coarse['precision'] == 'bf16')
    for result in content['results']:
        assert set(FIELDS) <= set(result)
        assert result['ratio'] == pytest.approx(result['ours'] / result['reference'])
        assert result['met'] is (result['ratio'] <= result['target'])
        assert result['ours'] > 0
    assert content['machine']['torch']


@pytest.mark.parametrize('kind', ['sarnn', 'cnnrnn', 'cnnrnnln'])
def test_train_step_compares_the_same_loss_and_gradient(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load('train-step')
    for name, value in (('EPISODES', 2), ('ROWS', 7)):
        monkeypatch.setattr(module, name, value)
    policy = random_policy(kind, 32, load_robot_spec('tabletop_sim'))
    plain = plain_network(policy.network)
    assert not any(isinstance(part, Convolutions | UpConvolution) for part in plain.modules())
    batch = module.random_batch(policy)
    ours, loop = module.our_loss(policy, batch), module.loop_loss(policy, plain, batch)
    assert ours.item() == pytest.approx(loop.item(), rel=1e-5)
    ours.backward()
    loop.backward()
    gradients = dict(policy.network.named_parameters())
    for name, weights in plain.named_parameters():
        torch.testing.assert_close(gradients[name].grad, weights.grad, rtol=1e-3, atol=1e-5)


def test_train_step_compares_the_same_loss_of_act() -> None:
    policy = act_policy((32, 64), **SMALL_ACT, dropout=0.0)
    batch = act_batch(policy, 2)
    plain, ours = plain_act_step(policy, batch), our_act_step(policy, batch)
    before = plain()
    assert ours() == pytest.approx(before, rel=1e-5)
    after = plain()
    assert after != before
    assert ours() == pytest.approx(after, rel=1e-4)


@pytest.mark.parametrize('step', [our_act_step, plain_act_step])
def test_the_steps_of_act_compute_where_the_policy_is(
    step: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = 'reference.act_steps._update'
    monkeypatch.setattr(where, lambda optimizer, loss: loss.device.type)
    policy = act_policy((32, 64), **SMALL_ACT, backbone='small')
    batch = act_batch(policy, 2)
    with on_gpu():
        policy.to(GPU)
        assert step(policy, batch.to(GPU))() == GPU


def test_train_step_measures_time_and_memory_of_every_family(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load('train-step')
    changes = {
        'EPISODES': 2, 'ROWS': 7, 'SIZES': {'sarnn': 16},
        'SEQUENCES': {'cae_rnn-mtrnn': 'mtrnn'},
        'ACT_SIZE': (32, 64), 'ACT_BATCH': 2, 'ACT_HYPER': {**SMALL_ACT, 'backbone': 'small'},
    }  # fmt: skip
    for name, value in changes.items():
        monkeypatch.setattr(module, name, value)
    know_the_times(module, monkeypatch, in_processes=('sarnn',))
    results = measure(module, 0.0)
    assert [result.what.partition(',')[0] for result in results] == [
        'sarnn 16x16', 'sarnn 16x16', 'cae_rnn', 'act 32x64',
    ]  # fmt: skip
    assert [(result.ours, result.reference) for result in results] == [(OURS, REFERENCE)] * 4
    assert [result.target for result in results] == [0.9, 1.2, 0.125, 0.85]


def small_act(
    module: ModuleType, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> list[Measurement]:
    """Run a benchmark of the control path with images, a network and times small enough here."""
    from control_path import driving, harness, scenario
    from control_path.full_size import Size

    for part in (driving, harness):
        monkeypatch.setattr(part, 'SETTLING_S', seconds)
    for name, value in (('WIDTH', 64), ('HEIGHT', 48)):
        monkeypatch.setattr(scenario, name, value)

    hyper = {
        'chunk': 100, 'hidden_dim': 16, 'heads': 2, 'feedforward_dim': 16, 'encoder_layers': 1,
        'backbone': 'small',
    }  # fmt: skip
    return measure(module, seconds, Size(48, 64, tuple(hyper.items())))


@pytest.mark.ros
def test_control_measures_ticks_gaps_latency_and_idle_of_real_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load('control')
    for name, value in (('RATES', (50,)), ('OTHERS', ())):
        monkeypatch.setattr(module, name, value)
    # The one between is the first again, of another network. The first takes the run of the last,
    # whose node does all that its own would do.
    offered, run = module.lines, module._beside_bare
    monkeypatch.setattr(module, 'lines', lambda *given: offered(*given)[::-2])
    runs: list[Any] = []

    def run_once(*given: Any, idle: bool = True) -> Any:
        if not runs:
            runs.append(run(*given))
        return runs[0]

    monkeypatch.setattr(module, '_beside_bare', run_once)
    results = {result.what: result for result in small_act(module, 1.0, monkeypatch)}
    late = results['lateness of ticks at 50 Hz']
    assert late.details['ticks'] > 20 and late.details['inferences'] > 0
    assert (late.target - 1) * late.reference == pytest.approx(2.0)
    missed = results['missed ticks at 50 Hz']
    assert (missed.target - 1) * missed.reference == pytest.approx(0.5)
    gaps = results['gaps between commands at 50 Hz']
    assert gaps.details['commands_ours'] > 50 and gaps.details['commands_reference'] > 50
    parts = results['from image to command at 50 Hz without inference, median'].details
    assert parts['chunks'] > 0
    for part in parts['parts_ms'].values():
        assert 0 <= part['median'] <= part['p99'] <= part['greatest']
    counted = results['messages dropped, beside depth and a wrench'].details
    counts = counted['received_and_dropped']
    assert counts['wrench'][0] > 300 and counts['depth_top'][0] > 10
    idle = results['policy node at idle, two cameras, 50 Hz']
    assert idle.ours > 0 and 'control_tick' in idle.details['threads']


@pytest.mark.ros
def test_memory_counts_the_node_and_its_inference_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load('memory')
    from control_path import harness

    nodes: list[float] = []  # without their children
    resident_mib = harness.resident_mib

    def noted(pid: int) -> float:
        with monkeypatch.context() as alone:
            alone.setattr(harness, 'children', lambda pid: [])
            nodes.append(resident_mib(pid))
        return resident_mib(pid)

    monkeypatch.setattr(harness, 'resident_mib', noted)
    (result,) = small_act(module, 0.4, monkeypatch)
    assert result.ours > 1.5 * max(nodes)  # each of the two holds torch
    assert result.ratio == pytest.approx(result.ours / result.reference)


@pytest.mark.ros
def test_record_counts_every_message_that_was_sent() -> None:
    module = load('record')
    from record_path.scene import Load

    results = {
        r.what.partition(':')[0]: r
        for r in measure(module, 1.0, (Load(1, depth=True, width=64, height=48),))
    }
    lost = results['messages lost']
    streams = lost.details['streams']
    assert list(streams) == ['camera1', 'state', 'leader', 'wrench', 'depth_depth']
    assert streams['wrench']['sent'] > 500 and streams['camera1']['sent'] > 15
    assert lost.ours == 1 + sum(stream['lost'] for stream in streams.values())
    assert lost.details['rows'] >= 40 and 'rows in' in lost.details['told']
    wrong = results['messages by which the recorder counts wrong']
    assert wrong.ours == 1 + sum(abs(s['lost'] - s['dropped']) for s in streams.values())
    assert results['rows that the sampler makes otherwise offline'].ours == 1
    assert results['CPU'].ours > 0 and results['CPU'].reference > 0
    assert results['time to stop'].ours > 0 and results['memory'].ours > 50


def test_kinematics_measures_errors_steps_and_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load('kinematics')
    for name, value in (('LEAST_POSES', 20), ('WALKS', 2)):
        monkeypatch.setattr(module, name, value)
    arm = module.Arm(chain_urdf(tmp_path / 'arm.urdf'), 'tool', ('joint',))
    position, rotation, cost, cost_of_walks, step = module.measure('chain', arm, 0.0)
    assert position.met and rotation.met and step.met
    assert position.details['poses'] == 20 and cost.ours > 0 and cost_of_walks.ours > 0
    assert step.ours == pytest.approx(module.PERIOD_S * module.SPEED)  # it was held back


def test_storage_tells_size_times_and_error_of_each() -> None:
    found = measure(load('storage'), 0.1, 48, 64)
    assert len(found) == 20 and all(each.ours > 0 < each.reference for each in found)
    exact = {each.what.split(',')[0] for each in found if each.what.endswith('exact')}
    assert exact == {'raw', 'png'}


@pytest.mark.ros
def test_a_cell_of_the_matrix_is_recorded_imported_trained_and_driven() -> None:
    module = load('matrix')
    from signal_matrix.cells import COMMANDS, SIGNALS, STATES, Cell, all_cells

    assert len(set(all_cells())) == len(STATES) * len(COMMANDS) * len(SIGNALS) == 81
    (found,) = measure(module, 1.0, (Cell('partial', 'PoseStamped', 'depth'),))
    told = found.details
    # What a loaded machine does to the times of commands is not judged here.
    assert [line for line in told['wrong'] if 'beyond a limit' not in line] == []
    assert told['rows'] > 20 and told['values_compared'] > 1e5 and told['commands'] > 20


def test_what_an_image_waits_for_is_told_apart() -> None:
    load('control')
    from control_path.figures import latency, tick_lateness_ms

    ms = 1_000_000
    notes = {
        # Deadline and begin of every tick; the one that asks is 2 ms late.
        'ticks': [(0, 0), (20 * ms, 22 * ms), (40 * ms, 41 * ms), (60 * ms, 60 * ms)],
        'sends': [1 * ms, 23 * ms, 43 * ms, 61 * ms],
        # Observation 7 has an image of 10 ms that came at 13 ms.
        'asks': [(7, 22 * ms, 10 * ms, 13 * ms)],
        'inferences': [(7, 25 * ms, 35 * ms)],
        'steps': [(7, 36 * ms)],
    }
    found = latency(notes, 0, 100 * ms)
    parts = (found.transport, found.handling, found.answer, found.sending, found.inference)
    assert [part.tolist() for part in parts] == [[3.0], [5.0], [1.0], [3.0], [10.0]]
    assert found.added.tolist() == [12.0]
    assert found.whole.tolist() == [23.0]  # with 7 ms for the tick that asks, 4 for the next
    late = tick_lateness_ms(notes, 20 * ms, 0, 100 * ms)
    np.testing.assert_allclose(late, [0, 2, 1, 0])


def test_lateness_counts_from_every_deadline() -> None:
    load('control')  # which makes its parts importable
    from control_path.figures import lateness_ms

    ms = 1_000_000
    on_time = [0, 10 * ms, 20 * ms, 30 * ms]
    np.testing.assert_allclose(lateness_ms(on_time, 0, 10 * ms), 0)
    # One tick is 3 ms late; then one never comes, and the next serves its deadline too.
    times = [0, 13 * ms, 20 * ms, 41 * ms]
    np.testing.assert_allclose(lateness_ms(times, 0, 10 * ms), [0, 3, 0, 11, 1])


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('infer', [(OURS, REFERENCE)] * 4),
        ('train-step', [(OURS, REFERENCE)] * 2),
        # The reference, then ours in float32 and bf16; one prediction, and each of 16 plans.
        ('predict', [(2.0, 1.0), (3.0, 1.0), (2.0, 1.0), (2.0 / 16, 1.0)]),
        ('train', [(OURS, REFERENCE)] * 3),
    ],
)
def test_the_lines_of_a_gpu_are_measured(
    name: str, expected: list[tuple[float, float]], graph_cache: None, gpu_day: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import pretend

    for call, answer in pretend.no_gpu().items():
        monkeypatch.setattr(torch.cuda, call, answer)
    module = pretend.pretend(load)(name)
    assert 'cuda' in module.DEVICES
    know_the_times(module, monkeypatch)
    assert [(line.ours, line.reference) for line in measure(module, 0.01)] == expected


def test_the_gpu_day_runs_every_file_that_has_tests_for_a_gpu_alone(gpu_day: None) -> None:
    from day import TESTS

    asking = re.compile(r'skipif\(not torch\.cuda\.is_available|if torch\.cuda\.is_available')
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding='utf-8')
        for path in (ROOT / 'test').rglob('test_*.py')
    }
    assert {name for name, text in files.items() if asking.search(text)} == {*TESTS}


def test_a_training_for_a_gpu_fits_its_time(gpu_day: None) -> None:
    from plan import plan_training

    planned = plan_training(300, 0.05)
    assert planned['steps'] % planned['validate_every'] == 0
    assert 290 < 1.5 * 0.05 * planned['steps'] <= 300
    assert plan_training(1, 10.0)['steps'] > 0


def failing_lines(seconds: float, device: str) -> list[Any]:
    """One line that is measured, one that is not, one more."""

    def good() -> list[Measurement]:
        return [Measurement('good', 1.0, 2.0, 'other', 'ms', 0.6)]

    def bad() -> list[Measurement]:
        raise RuntimeError('no kernel image')

    return [good, bad, good]


def test_a_line_that_fails_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'bench.json'
    module = ModuleType('infer')
    module.SUMMARY, module.lines = 'of three', failing_lines  # type: ignore[attr-defined]
    monkeypatch.setattr('motion_policy.cli.bench._load', lambda name, file: module)
    assert main(['bench', 'infer', '--json', str(path)]) == 1
    content = json.loads(path.read_text())
    assert [result['what'] for result in content['results']] == ['good', 'good']
    assert content['failed'] == ['infer, part 2']
    assert 'no kernel image' in capsys.readouterr().out


def test_a_line_that_is_stopped_leaves_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> Iterator[Measurement]:
        yield Measurement('half', 1.0, 2.0, 'other', 'ms', 0.6)
        raise KeyboardInterrupt

    path = tmp_path / 'bench.json'
    module = ModuleType('infer')
    module.SUMMARY = 'of two'  # type: ignore[attr-defined]
    module.lines = lambda *given: [*failing_lines(*given)[:1], interrupted]  # type: ignore[attr-defined]
    monkeypatch.setattr('motion_policy.cli.bench._load', lambda name, file: module)
    assert main(['bench', 'infer', '--json', str(path)]) == 130
    results = json.loads(path.read_text())['results']
    assert [result['what'] for result in results] == ['good', 'half']


def test_a_gpu_is_refused_where_there_is_none_or_no_use_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['bench', 'memory', '--device', 'cuda']) == 2
    assert 'memory measures on the CPU only' in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert main(['bench', 'infer', '--device', 'cuda']) == 2
    assert 'finds no GPU' in capsys.readouterr().err


def test_calls_take_turns() -> None:
    order: list[str] = []
    calls = (lambda: order.append('a'), lambda: order.append('b'))
    first, second = interleaved_ms(calls, 0.0, least=3, warm_up=2)
    assert len(first) == len(second) == 3
    assert order == ['a'] * 2 + ['b'] * 2 + ['a', 'b'] * 3


def test_a_target_is_met_when_the_ratio_is_not_above_it() -> None:
    met = Measurement('x', 3.0, 10.0, 'other', 'ms', 0.3)
    missed = Measurement('x', 3.1, 10.0, 'other', 'ms', 0.3)
    assert met.met and not missed.met
    assert met.to_json()['ratio'] == pytest.approx(0.3)
