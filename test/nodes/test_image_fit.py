# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""What comes over ROS is seen by the policy as it was in training, and drawn where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_robots import formula_arm
from recordings import scene, write_episode

pytest.importorskip('rclpy')

import torch
from fake_arm import FakeArm, MakeNode, stand_before_policy
from rcl_interfaces.msg import Log
from rclpy.lifecycle import TransitionCallbackReturn
from ros_testing import Bench
from sensor_msgs.msg import Image
from training_runs import SARNN_RUN, small_run

from motion_policy.control.attention_drawing import ENCODER_COLOUR, FRAME_COLOUR
from motion_policy.policies import make_policy, save_policy
from motion_policy.robot import robot_spec_from_yaml
from motion_policy.training import train_config
from motion_policy.training.autoencoders import Autoencoders
from motion_policy.training.demonstrations import Demonstration, load_demonstrations
from motion_policy.training.learning import learning_of
from motion_policy.training.train import no_progress, policy_spec

pytestmark = pytest.mark.slow

ROW = 2  # of the episode whose image the camera shows
FIT = {'crop': [6, 2, 24, 20], 'rotate': 90, 'fit': 'pad'}


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Demonstration]:
    """A random policy as a run would make it of an episode, and what that run would see."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('fit')
    robot = formula_arm()
    write_episode(folder / 'episode_000000.hdf5', 30, robot=robot, compress=False, leader=False)
    run = {**SARNN_RUN, 'image_size': [16, 12], 'fit': {'top': FIT}, 'target': 'qpos'}
    config = train_config(small_run(folder, folder / 'run', **run))
    data = load_demonstrations(config, no_progress)
    spec = policy_spec(config, data, learning_of(config), Autoencoders((), ()))
    return save_policy(make_policy(spec), folder / 'policy'), (*data.train, *data.validation)[0]


@pytest.fixture(scope='module')
def checkpoint(trained: tuple[Path, Demonstration]) -> Path:
    return trained[0]


def test_an_image_over_ros_is_the_one_of_training_and_points_are_drawn_on_it(
    trained: tuple[Path, Demonstration],
    bench: Bench,
    arm: FakeArm,
    make_node: MakeNode,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    seen: list[Any] = []
    points: list[Any] = []
    drawn: list[Image] = []
    log: list[str] = []

    def watched(infer: Callable[..., Any]) -> Callable[..., Any]:
        def watching(images: Any, *arguments: Any) -> Any:
            answer = infer(images, *arguments)
            seen.append(images['top'][0].clone())
            if 'encoder_points/top' in answer[2]:
                answer[2]['encoder_points/top'][0] = points[0]
                answer[2]['decoder_points/top'][0] = torch.nan  # left out
            return answer

        return watching

    def image_of(_name: str) -> np.ndarray:
        arm.images += 1
        image = scene(ROW, 24, 32)
        image[0, 0, 0] = arm.images % 60  # outside of the crop, as a living camera
        return image

    # The part is 20x24 when it is turned, and lies in the rows 1 to 14 of the policy's image.
    points.append(torch.tensor([[0.5, 1 / 15], [1.0, 14 / 15], [torch.nan, 0.0]]))
    stand_before_policy(monkeypatch, watched, 'infer')
    monkeypatch.setattr(arm, 'image_of', image_of)
    bench.client.create_subscription(Image, 'policy_node/attention', drawn.append, 10)
    bench.client.create_subscription(Log, '/rosout', lambda m: log.append(m.msg), 100)
    other = formula_arm().to_yaml().replace('height: 24', 'height: 24, rotate: 180')
    (tmp_path / 'other.yaml').write_text(other)
    make_node(backend='eager', robot=str(tmp_path / 'other.yaml'))
    arm.enable_when_ready()
    bench.spin_until(lambda: drawn and len(seen) > 8, 'steps and an attention image')

    expected = trained[1].images['top'][ROW].permute(2, 0, 1) / 255
    assert any(torch.equal(image, expected) for image in seen[-3:])
    assert all(torch.equal(image, seen[-1]) for image in seen[-3:])

    pixels = np.frombuffer(drawn[-1].data, np.uint8).reshape(480, 640, 3)

    def at(x: float, y: float) -> tuple[int, ...]:
        """The colour of a pixel of the camera's image, which is drawn 20 times as large."""
        return tuple(pixels[round(20 * y + 10), round(20 * x + 10)].tolist())

    # What is seen above was left before it was turned; the corner below on the right was above.
    assert at(6 + 24 * 0.5 / 14 - 0.5, 11.5) == ENCODER_COLOUR
    assert at(6 + 24 * 13.5 / 14 - 0.5, 2 + 20 * 0.5 / 12 - 0.5) == ENCODER_COLOUR
    assert at(5, 12) == at(30, 12) == at(12, 1) == at(12, 22) == FRAME_COLOUR
    [line] = {entry for entry in log if 'is seen as in training' in entry}
    assert 'crop [6, 2, 24, 20], rotate 90, fit pad' in line and 'says rotate 180' in line


def test_a_camera_of_another_size_than_its_crop_is_refused(
    arm: FakeArm, make_node: MakeNode, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = formula_arm().to_yaml().replace('width: 32, height: 24', 'width: 64, height: 48')
    other = robot_spec_from_yaml(text, 'other')
    (tmp_path / 'other.yaml').write_text(other.to_yaml())
    node = make_node(autostart=False, robot=str(tmp_path / 'other.yaml'))
    capfd.readouterr()
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    [line] = [x for x in capfd.readouterr().err.splitlines() if 'cannot configure' in x]
    assert "camera 'top' was 32x24 in training, where crop [6, 2, 24, 20] was taken" in line
