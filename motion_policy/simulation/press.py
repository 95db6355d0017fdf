# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""The tabletop arm over a pad on a spring and its task `press`: press with 5 N and hold that.

Height and stiffness of the pad differ from trial to trial and are not seen from above; the force
is felt by a force/torque sensor in the wrist. Nothing here reads a clock, and a seed fixes every
draw.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from motion_policy.errors import UserError
from motion_policy.simulation.graphics import mujoco
from motion_policy.simulation.tabletop_arm import TabletopArm

Float64Array = npt.NDArray[np.float64]

SCENE_FILE = Path(__file__).with_name('press.xml')
CLOSED_M = -0.009
HOME = (0.0, -1.05, 0.45, 0.95, CLOSED_M)
FORCE_N, TOLERANCE_N, GREATEST_FORCE_N = 5.0, 1.0, 10.0
HOLD_DURATION_S = 1.5
GAUGE_S = 0.02  # time constant of what measures the force on the pad
# Where the middle of the pad's top is, and how stiff its spring: drawn evenly, the stiffness
# evenly in its logarithm.
PAD_X_M, PAD_Y_M, PAD_Z_M = (0.192, 0.208), (-0.05, 0.05), (0.092, 0.108)
STIFFNESS_N_PER_M = (80.0, 400.0)
# Servos as those of a stiff arm, and encoders of 12 bits: the joints tell little of a force.
SERVO_STIFFNESS = 360.0  # N m/rad
ENCODER_STEP_RAD = 2 * math.pi / 4096
# Noise of the sensor: standard deviations of force [N] and torque [N m], anew every 10 ms.
NOISE = np.repeat((0.1, 0.005), 3)
NOISE_PERIOD_NS = 10_000_000
NOISE_VALUES = 1024  # then they begin again


class PressSim(TabletopArm):
    """The arm, its gripper closed, over a pad on a spring (press.xml); cameras: top, view.

    `success`: the pad was pressed with 4 to 6 N for 1.5 s on end, and never with more than 10 N.

    Attributes:
        stiffness_n_per_m: of the pad's spring.
        greatest_force_n: on the pad since the reset.
    """

    robot = 'tabletop_press'
    usual_place = 'random'
    places = "'random'"

    def __init__(self, seed: int = 0) -> None:
        super().__init__(SCENE_FILE, HOME, seed)
        stiffer = SERVO_STIFFNESS / self.model.actuator_gainprm[:4, 0]
        self.model.actuator_gainprm[:4, 0] *= stiffer
        self.model.actuator_biasprm[:4, 1] *= stiffer
        self.model.actuator_biasprm[:4, 2] *= np.sqrt(stiffer)  # as strongly damped
        self._pad = self.model.body('pad').id
        self._spring = self.model.joint('pad').id
        self._slide = int(self.model.joint('pad').qposadr[0])
        self._sensors = {
            name: int(self.model.sensor(name).adr[0])
            for name in ('wrist_force', 'wrist_torque', 'pad_force')
        }
        self.reset()

    @property
    def positions(self) -> dict[str, float]:
        """Named places of the pad: none; it stands at random."""
        return {}

    def reset(self, cube: str = 'random', seed: int | None = None) -> None:
        """Put the arm home and another pad before it.

        Args:
            cube: 'random'.
            seed: fixes place, height and stiffness of the pad; without one the draws go on.
        """
        if cube != 'random':
            raise UserError(f"pad position '{cube}': expected 'random'")
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        place = [self._rng.uniform(*span) for span in (PAD_X_M, PAD_Y_M, PAD_Z_M)]
        low, high = map(math.log, STIFFNESS_N_PER_M)
        self.stiffness_n_per_m = math.exp(self._rng.uniform(low, high))
        self.model.body_pos[self._pad] = place
        self.model.jnt_stiffness[self._spring] = self.stiffness_n_per_m
        self._noise = self._rng.normal(0.0, NOISE, (NOISE_VALUES, 6))
        self._put_home()
        mujoco.mj_forward(self.model, self.data)
        self._held_s = self.greatest_force_n = self._pad_force_n = 0.0
        self.success = False

    def _judge(self) -> None:
        touched_n = float(self.data.sensordata[self._sensors['pad_force']])
        self._pad_force_n += (touched_n - self._pad_force_n) * self.model.opt.timestep / GAUGE_S
        force_n = self._pad_force_n
        self.greatest_force_n = max(self.greatest_force_n, force_n)
        pressed = abs(force_n - FORCE_N) <= TOLERANCE_N
        self._held_s = self._held_s + self.model.opt.timestep if pressed else 0.0
        unhurt = self.greatest_force_n <= GREATEST_FORCE_N
        self.success = unhurt and (self.success or self._held_s >= HOLD_DURATION_S)

    @property
    def qpos(self) -> Float64Array:
        """Measured joint positions, (5,) [rad, m], in the steps of the encoders."""
        measured = super().qpos
        measured[:4] = np.round(measured[:4] / ENCODER_STEP_RAD) * ENCODER_STEP_RAD
        return measured

    @property
    def pad_force_n(self) -> float:
        """Force with which the pad is pressed [N], as its gauge says: the task is judged by it."""
        return self._pad_force_n

    @property
    def pad_travel_m(self) -> float:
        """How far the pad is pressed down [m]."""
        return -float(self.data.qpos[self._slide])

    @property
    def wrench(self) -> Float64Array:
        """What acts on the hand, felt in the wrist: force [N] and torque [N m], (6,).

        In the frame of the hand: x towards the finger tips, y to the left, z to its back. Its own
        weight and inertia are in it, as in a sensor that nobody has set to zero, and noise.
        """
        force, torque = self._sensors['wrist_force'], self._sensors['wrist_torque']
        values = self.data.sensordata
        felt = -np.concatenate([values[force : force + 3], values[torque : torque + 3]])
        return np.asarray(felt + self._noise[self.time_ns // NOISE_PERIOD_NS % NOISE_VALUES])

    @property
    def cube_pose(self) -> Float64Array:
        """Position of the middle of the pad's top [m] and quaternion (w, x, y, z), (7,)."""
        place = np.array(self.data.xpos[self._pad])
        return np.concatenate([place, (1.0, 0.0, 0.0, 0.0)])
