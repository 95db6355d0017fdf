# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Whoever computes a policy's steps gives the policy's own numbers, or computes nothing."""

from __future__ import annotations

import ctypes
import gc
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_examples import FAMILIES, family, random_observation, small_policy, small_robot
from processors import needs_openvino
from reference.plain_act import PlainACT
from torch import Tensor

from motion_policy.errors import UserError
from motion_policy.policies import Policy, load_policy, save_policy
from motion_policy.policies.act.act import ACTPolicy
from motion_policy.policies.backends import selection
from motion_policy.policies.backends.cache import KEPT, cache_dir, cached
from motion_policy.policies.backends.cuda_graph import StaticStep
from motion_policy.policies.backends.selection import BackEndChoice, Checks, chosen, use_back_end
from motion_policy.policies.base import BackEnd, ObservationBatch
from motion_policy.policies.recurrent.base import RecurrentNetwork

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
SMALL = {
    'chunk': 6,
    'hidden_dim': 32,
    'heads': 4,
    'feedforward_dim': 48,
    'encoder_layers': 1,
    'latent_dim': 8,
    'posterior': False,
}
VARIANTS: dict[str, dict[str, Any]] = {
    'resnet18': {},
    'small': {'hyper': {**SMALL, 'backbone': 'small', 'latent_dim': 0}},
    'points': {'hyper': {**SMALL, 'backbone': 'points', 'latent_dim': 0}},
    'two cameras': {
        'cameras': ('top', 'wrist'),
        'hyper': {
            **SMALL,
            'backbone': 'small',
            'backbone_per_camera': True,
            'camera_embedding': True,
            'encoder_layers': 2,
            'decoder_layers': 2,
            'image_mean': ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3)),
            'image_std': ((0.2, 0.3, 0.4), (0.5, 0.6, 0.7)),
        },
    },
    'resnet50': {'hyper': {**SMALL, 'backbone': 'resnet50'}},
    'state only': {'cameras': ()},
}
OPENVINO = pytest.param('openvino', marks=needs_openvino)
CPU_BACK_ENDS = ('torch', 'onnx', OPENVINO)


@pytest.fixture(scope='module', autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make each graph once for this module, and leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a test an empty cache of its own."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return cache_dir()


def small_act(variant: str = 'resnet18', seed: int = 0) -> ACTPolicy:
    """A small ACT whose batch norms, embeddings and biases are not those of a fresh network."""
    robot = small_robot()
    cameras = dict(robot.cameras)
    cameras['wrist'] = cameras['top'].model_copy(update={'topic': 'wrist/image_raw'})
    robot = robot.model_copy(update={'cameras': cameras})
    given = {'kind': 'act', 'image_size': (64, 96), 'robot': robot, 'hyper': SMALL}
    policy = small_policy(seed, **{**given, **VARIANTS[variant]})
    assert isinstance(policy, ACTPolicy)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in (*policy.named_parameters(), *policy.named_buffers()):
            if name.endswith('running_var'):
                values.copy_(0.5 + torch.rand(values.shape, generator=generator))
            elif name.startswith('network') and values.ndim == 1:
                values.add_(0.05 * torch.randn(values.shape, generator=generator))
            elif name.endswith('camera_embedding'):
                values.copy_(torch.randn(values.shape, generator=generator))
    return policy


def seen(policy: Policy, seed: int = 0, batch: int = 1) -> ObservationBatch:
    """An observation of camera frames that are not of the network's size."""
    observation = random_observation(batch, seed=seed)
    other = random_observation(batch, seed=seed + 100)['images']['top']
    frames = {'top': observation['images']['top'], 'wrist': other}
    return {
        'qpos': observation['qpos'],
        'images': {camera: frames[camera] for camera in policy.cameras},
    }


def choose(policy: Policy, name: str, precision: str = 'float32') -> list[str]:
    """Use a back end; return what was said."""
    lines: list[str] = []
    use_back_end(policy, BackEndChoice(name, precision), time.perf_counter_ns, lines.append)
    return lines


@pytest.mark.parametrize('name', CPU_BACK_ENDS)
@pytest.mark.parametrize('variant', ['resnet18', 'two cameras', 'state only'])
def test_act_gives_the_same_chunk_and_attention_by_every_back_end(variant: str, name: str) -> None:
    policy = small_act(variant)
    expected, _, extras = policy.act_and_explain(seen(policy), None)
    choose(policy, name)
    assert chosen(policy) == BackEndChoice(name)
    for chunk, more in (
        (policy.act(seen(policy), None)[0], {}),
        policy.act_and_explain(seen(policy), None)[::2],
    ):
        torch.testing.assert_close(chunk, expected, rtol=1e-5, atol=1e-5)
        for key, values in more.items():
            torch.testing.assert_close(values, extras[key], rtol=1e-4, atol=1e-6)
    assert set(more) == set(extras) == {f'attention/{camera}' for camera in policy.cameras}


@pytest.mark.parametrize('variant', ['small', 'points', 'resnet50'])
def test_folding_keeps_the_numbers_of_every_backbone(variant: str) -> None:
    policy = small_act(variant)
    expected, _ = policy.act(seen(policy), None)
    choose(policy, 'torch')
    torch.testing.assert_close(policy.act(seen(policy), None)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('kind', FAMILIES)
@pytest.mark.parametrize('name', CPU_BACK_ENDS)
def test_a_recurrent_policy_keeps_its_state_in_every_back_end(kind: str, name: str) -> None:
    policy, plain = family(kind), family(kind)
    choose(policy, name)
    ours: Any = None
    theirs: Any = None
    for step in range(6):
        observation = random_observation(1, seed=step)
        chunk, ours = policy.act(observation, ours)
        expected, theirs = plain.act(observation, theirs)
        torch.testing.assert_close(chunk, expected, rtol=1e-5, atol=1e-5)
    assert len(ours) == len(theirs)
    # What only the policy itself can tell, it tells from the same state.
    explained = policy.act_and_explain(observation, ours)[2]
    assert set(explained) == set(plain.explain(observation, theirs))


class SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2): where the signal handlers of a thread run."""

    _fields_ = (('start', ctypes.c_void_p), ('flags', ctypes.c_int), ('size', ctypes.c_size_t))


def signal_stack_is_there() -> bool:
    """Whether this thread has no stack for signal handlers of its own, or one in its memory."""
    stack = SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    ranges = [line.split()[0] for line in Path('/proc/self/maps').read_text().splitlines()]
    starts_ends = [[int(one, 16) for one in part.split('-')] for part in ranges]
    return not stack.start or any(start <= stack.start < end for start, end in starts_ends)


def test_openvino_is_refused_where_a_variable_would_make_it_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('ONEDNN_MAX_CPU_ISA', 'AVX2')
    monkeypatch.setattr(selection, 'WORTHWHILE_NS', {})
    refusal = "environment variable ONEDNN_MAX_CPU_ISA is 'AVX2', expected no such variable"
    policy = small_act('state only')
    with pytest.raises(UserError, match=refusal):
        choose(policy, 'openvino')
    lines = choose(policy, 'auto')
    assert any(line.startswith(f'not used: {refusal}') for line in lines)
    assert chosen(policy).name != 'openvino'


@needs_openvino
@pytest.mark.parametrize('how', ['in another thread', 'one after the other'])
def test_a_signal_finds_its_stack_after_policies_of_openvino_are_gone(how: str) -> None:
    policies = [family('sarnn'), family('sarnn')]
    for policy in policies:
        choose(policy, 'openvino')
    del policy

    def let_go() -> None:
        while policies:
            del policies[0]
            gc.collect()

    if how == 'in another thread':
        thread = threading.Thread(target=let_go)
        thread.start()
        thread.join()
    else:
        let_go()
    assert signal_stack_is_there()  # without it the next line would end this test run
    got: list[int] = []
    former = signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, former)
    assert got == [signal.SIGUSR1]


@pytest.mark.parametrize('name', ['torch', OPENVINO])
def test_bf16_is_coarser_and_stays_within_its_bound(name: str) -> None:
    policy = small_act()
    checks = Checks(policy)
    choose(policy, name, 'bf16')
    assert policy.back_end is not None
    difference, precision = checks.difference(policy.back_end), policy.back_end.precision
    assert difference <= selection.BOUNDS['bf16']
    # OpenVINO computes in float32 where the processor has no bf16, and must say which it did.
    assert precision == 'bf16' or name == 'openvino'
    assert (difference > selection.BOUNDS['float32']) is (precision == 'bf16')


@needs_openvino
def test_a_processor_without_bf16_computes_in_float32_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = selection.run_openvino
    monkeypatch.setattr(selection, 'has_bf16', lambda device: False)
    monkeypatch.setattr(
        selection, 'run_openvino', lambda model, names, precision: exact(model, names, 'float32')
    )
    for name in ('auto', 'openvino'):
        policy = small_act()
        lines = choose(policy, name, 'bf16')
        assert chosen(policy).precision == 'float32'
        assert lines[-1].endswith('in float32, as this processor has no bf16')


def test_torch_computes_in_bf16_on_any_processor_and_says_where_it_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selection, 'has_bf16', lambda device: False)
    policy = small_act()
    lines = choose(policy, 'torch', 'bf16')
    assert chosen(policy) == BackEndChoice('torch', 'bf16')
    assert lines[-1].endswith('which this processor has no instructions for: float32 is faster')


def test_several_observations_at_once_are_left_to_the_policy() -> None:
    policy = small_act()
    expected, _ = policy.act(seen(policy, batch=3), None)
    choose(policy, 'onnx')
    torch.testing.assert_close(policy.act(seen(policy, batch=3), None)[0], expected)


def test_frames_of_the_networks_size_are_not_changed() -> None:
    policy = small_act()
    choose(policy, 'torch')
    frame = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    before = frame.clone()
    policy.act({'qpos': torch.zeros(1, 5), 'images': {'top': frame}}, None)
    assert torch.equal(frame, before)


def test_the_static_step_gives_the_policys_numbers_and_keeps_what_it_gave() -> None:
    for policy in (small_act('two cameras'), family('sarnn')):
        static = StaticStep(policy, 'float32')
        state: Any = None
        given: list[tuple[Tensor, Tensor]] = []
        for step in range(3):
            observation = seen(policy, step)
            expected, following = policy.act(observation, state)
            chunk, state, _ = static.act(observation, state, explain=False)
            given.append((chunk, expected))
            for mine, own in zip(state or (), following or (), strict=True):
                torch.testing.assert_close(mine, own, rtol=1e-5, atol=1e-6)
        for chunk, expected in given:
            torch.testing.assert_close(chunk, expected, rtol=1e-5, atol=1e-5)


class Wrong:
    """A back end whose chunks are a little off."""

    name, precision = 'torch', 'float32'

    def __init__(self, policy: Policy, precision: str) -> None:
        self.policy = policy

    def takes(self, observation: ObservationBatch, explain: bool) -> bool:
        """Everything."""
        return True

    def act(
        self, observation: ObservationBatch, state: Any, explain: bool
    ) -> tuple[Tensor, Any, dict[str, Tensor]]:
        """The policy's own chunk, moved."""
        mine, self.policy.back_end = self.policy.back_end, None
        chunk, state = self.policy.act(observation, state)
        self.policy.back_end = mine
        return chunk + 1e-3, state, {}


def test_wrong_numbers_are_refused_by_name_and_left_out_by_auto(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = small_act()
    monkeypatch.setattr(selection, 'PackedACT', Wrong)
    monkeypatch.setattr(selection, 'WORTHWHILE_NS', {})
    monkeypatch.setattr(
        selection, 'missing_package', lambda name: name if name != 'torch' else None
    )
    with pytest.raises(UserError, match=r"'torch' in float32 differs .* expected at most 1e-05"):
        choose(policy, 'torch')
    assert policy.back_end is None
    lines = choose(policy, 'auto')
    assert chosen(policy).name == 'eager'
    assert any(line.startswith('not used') for line in lines)


@pytest.mark.parametrize(
    ('times', 'expected'),
    [
        pytest.param(
            {'eager': 10, 'torch': 8, 'openvino': 5, 'onnx': 6}, 'openvino', marks=needs_openvino
        ),
        ({'eager': 10, 'torch': 8, 'openvino': 7.5, 'onnx': 9}, 'torch'),
        ({'eager': 10, 'torch': 11, 'openvino': 12, 'onnx': 8}, 'onnx'),
        ({'eager': 10, 'torch': 11, 'openvino': 12, 'onnx': 9.5}, 'eager'),
    ],
)
def test_auto_takes_what_is_clearly_fastest(
    times: dict[str, float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(self: Checks, found: Sequence[BackEnd | None], now_ns: object) -> list[float]:
        return [1e9 * times['eager' if one is None else one.name] for one in found]

    monkeypatch.setattr(Checks, 'shortest_ns', measured)
    policy = small_act('state only')
    choose(policy, 'auto')
    assert chosen(policy).name == expected


def test_auto_makes_no_graph_for_short_steps(cache: Path) -> None:
    recurrent, short = family('sarnn'), small_act('state only')
    for policy in (recurrent, short):
        use_back_end(policy, BackEndChoice(), lambda: 0)  # a clock that stands
    assert chosen(recurrent) == BackEndChoice('torch')
    assert short.back_end is None
    assert not cache.exists()


class Unknown(RecurrentNetwork):
    """A network of a family of its own: nothing is known of it but its interface."""

    def __init__(self, network: RecurrentNetwork) -> None:
        super().__init__()
        self.inner = network

    def initial_state(self, batch_size: int) -> Any:
        return self.inner.initial_state(batch_size)

    def encode_images(self, images: Any) -> Tensor:
        return self.inner.encode_images(images)

    def step(self, features: Tensor, vector: Tensor, state: Any) -> Any:
        return self.inner.step(features, vector, state)

    def decode_joints(self, hidden: Tensor) -> Tensor:
        return self.inner.decode_joints(hidden)

    def decode_images(self, hidden: Tensor, images: Any) -> Any:
        return self.inner.decode_images(hidden, images)


@pytest.mark.parametrize('name', ['auto', 'torch'])
def test_a_family_that_nothing_is_known_of_runs_by_its_own_forward(name: str) -> None:
    policy, same = family('cnnrnn'), family('cnnrnn')
    policy.network = Unknown(policy.network)
    use_back_end(policy, BackEndChoice(name), lambda: 0)
    seen = random_observation(1)
    chunk, _ = policy.act(seen, policy.initial_state(1))
    expected, _ = same.act(seen, same.initial_state(1))
    assert torch.allclose(chunk, expected, atol=1e-6)


def test_a_packed_step_that_is_wrong_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    recurrent = family('cnnrnn')
    monkeypatch.setattr(selection, 'PackedRecurrent', lambda policy: Wrong(policy, 'float32'))
    lines: list[str] = []
    use_back_end(recurrent, BackEndChoice(), lambda: 0, lines.append)
    assert recurrent.back_end is None
    assert any(line.startswith('not used') for line in lines)


@pytest.mark.parametrize(
    ('name', 'precision', 'line'),
    [
        ('tpu', 'float32', "backend is 'tpu', expected one of: auto, eager, torch"),
        ('auto', 'int8', "precision is 'int8', expected one of: float32, bf16"),
        ('onnx', 'bf16', "precision is 'bf16', the backend 'onnx' has float32 only"),
    ],
)
def test_an_unknown_word_is_one_line(name: str, precision: str, line: str) -> None:
    with pytest.raises(UserError) as error:
        BackEndChoice(name, precision)
    assert str(error.value).startswith(line) and '\n' not in str(error.value)


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = 'motion_policy.policies.backends.runtimes.importlib.util.find_spec'
    monkeypatch.setattr(module, lambda name: None if name == 'onnxruntime' else object())
    with pytest.raises(UserError, match=r"'onnxruntime': pip install 'motion_policy\[onnx\]'"):
        choose(small_act(), 'onnx')


def making(lines: list[str]) -> bool:
    """Whether a graph was made."""
    return any('making' in line for line in lines)


def test_a_graph_is_made_once_for_the_same_weights_and_anew_where_it_is_of_others(
    tmp_path: Path, cache: Path
) -> None:
    folders = [save_policy(family('sarnn', seed), tmp_path / f'{seed}') for seed in range(2)]
    assert making(choose(load_policy(folders[0]), 'onnx'))
    (entry,) = cache.iterdir()
    right = entry.read_bytes()
    assert making(choose(load_policy(folders[1]), 'onnx'))
    (foreign,) = (path for path in cache.iterdir() if path != entry)
    entry.write_bytes(foreign.read_bytes())
    policy = load_policy(folders[0])
    assert making(choose(policy, 'onnx'))
    assert policy.back_end is not None
    assert Checks(policy).difference(policy.back_end) <= 1e-5
    assert len(entry.read_bytes()) == len(right)
    assert not making(choose(load_policy(folders[0]), 'onnx'))
    for folder in folders:  # no graph is put into a checkpoint
        assert {path.name for path in folder.iterdir()} == {'policy.yaml', 'weights.safetensors'}


@needs_openvino
def test_one_graph_serves_every_run_time() -> None:
    choose(small_act('state only'), 'onnx')
    assert not making(choose(small_act('state only'), 'openvino'))


@pytest.mark.parametrize('damage', ['cut', 'flip', 'empty'])
def test_a_damaged_entry_is_made_anew(damage: str, cache: Path) -> None:
    content = bytes(range(200))
    cached('00', lambda: content)
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    entry.write_bytes({'cut': whole[:-100], 'flip': flipped, 'empty': b''}[damage])
    assert cached('00', lambda: content[::-1]) == content[::-1]
    assert cached('00', lambda: b'never asked') == content[::-1]


def test_a_cache_keeps_the_newest_and_does_without_a_disk(cache: Path, tmp_path: Path) -> None:
    for index in range(KEPT + 3):
        assert cached(f'{index:02d}', lambda index=index: b'%d' % index) == b'%d' % index
        time.sleep(0.01)  # the entries are told apart by their time
    assert sorted(path.name for path in cache.iterdir()) == [
        f'{i:02d}' for i in range(3, KEPT + 3)
    ]
    assert cached('05', lambda: b'new') == b'5'
    for path in cache.iterdir():
        path.unlink()
    cache.rmdir()
    cache.write_text('a file where the folder should be')
    assert cached('05', lambda: b'new') == b'new'


@pytest.mark.parametrize('variant', ['resnet18', 'two cameras'])
def test_the_plain_reference_of_the_benchmarks_gives_our_numbers(variant: str) -> None:
    policy = small_act(variant)
    observation = seen(policy)
    expected, _ = policy.act(observation, None)
    images = [policy._image(observation, camera) for camera in policy.cameras]
    with torch.no_grad():
        targets = PlainACT(policy.network).eval()(
            images, policy.normalise_qpos(observation['qpos'])
        )
    chunk = policy.normalise_target.inverse(targets)
    torch.testing.assert_close(chunk, expected, rtol=1e-5, atol=1e-5)
