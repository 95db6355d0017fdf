# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of a camera's messages and of its images."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from fault_campaign.corrupted_messages import (
    JUMP_NS,
    RARE_NS,
    black,
    few_bytes,
    late,
    random_bytes,
    rare,
    same_again,
    same_image,
    silent,
    small,
    stamped,
    with_images,
)
from fault_campaign.fault import HOLDS_S, Evidence, Fault, Inject, disables, lasting_ns
from fault_campaign.harness import START_PATIENCE_S, Harness
from fault_campaign.policy_with_faults import REJECTED
from fault_campaign.scene import ImageFault
from motion_policy.control.camera_monitor import FROZEN_AT_REST_S

FROZEN_PATIENCE_S = 3.0  # longer than the node's, for the arm must move meanwhile
IMAGE_PATIENCE_S = 2.0
STANDING_STEPS = 200  # of the policy; the rest is taken back
REST_S = 3.0  # and ten looks at its camera
LONG_S = 2.0  # after which nobody expects the arm to go on
CAPPED = r"not enabled: camera 'top'.*black"
# Where the arm already held for another reason, only the reason to hold changes.
STALE_TOP = r"(stream 'top'|(hold|brake|disabled): .*top:).*(stale|missing)"
DISABLED_TOP = r'disabled: .*top:.*(stale|missing)'
AHEAD_TOP = r"(stream 'top'|(brake|disabled): .*top:).*clocks disagree by"
BAD_TOP = r'top unusable messages='


def camera(
    make: Callable[[Harness], ImageFault],
    *,
    at_once: bool = False,
    lasts_s: float | None = None,
) -> Inject:
    """A camera whose messages are corrupted.

    `at_once`: it can be known from the first bad message, else when the last good one is too old.
    """

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        scene, good_ns = harness.scene, harness.scene.last_stamps_ns['camera']
        begin_ns = time.time_ns()
        scene.image_fault = make(harness)
        known_ns = good_ns + round(scene.robot.cameras[scene.camera].max_age * 1e9)
        if at_once:
            scene.publish_image()
            known_ns = time.time_ns()
        harness.spin_to(known_ns + (lasting_ns(rng) if lasts_s is None else round(lasts_s * 1e9)))
        return Evidence(begin_ns, known_ns, _mend(harness))

    return inject


def _beside(make: Callable[[Harness], ImageFault]) -> Inject:
    """Bad messages among good ones."""

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        begin_ns = time.time_ns()
        harness.scene.image_fault = make(harness)
        harness.spin_to(begin_ns + lasting_ns(rng))
        return Evidence(begin_ns, begin_ns, _mend(harness))

    return inject


def _image(make: Callable[[Harness], ImageFault], patience_s: float) -> Inject:
    """A camera whose messages are in order while its images are not.

    To be known when the inference thread has looked at one, which the node tells.
    """

    def begin(harness: Harness) -> None:
        harness.scene.image_fault = make(harness)

    return looked_at(begin, _mend, patience_s)


def looked_at(
    begin: Callable[[Harness], None], mend: Callable[[Harness], int], patience_s: float
) -> Inject:
    """What is to be known when the inference thread has looked at an image; `mend` tells when it
    was over.
    """

    def inject(harness: Harness, rng: np.random.Generator) -> Evidence:
        begin_ns, first = time.time_ns(), len(harness.steps)
        begin(harness)

        def rejected() -> list[int]:
            return [step.end_ns for step in harness.steps[first:] if step.kind == REJECTED]

        known = (
            harness.spin_until(lambda: rejected() or not harness.alive, patience_s) and rejected()
        )
        if known:
            harness.spin_to(known[0] + lasting_ns(rng))
        problem = '' if known else 'nobody noticed'
        return Evidence(begin_ns, known[0] if known else None, mend(harness), problem)

    return inject


def _freeze(harness: Harness, rng: np.random.Generator) -> Evidence:
    """The image stays, the stamps go on, while the arm reaches for the cube anew."""
    harness.new_trial()
    harness.get_moving()
    return _image(same_image, FROZEN_PATIENCE_S)(harness, rng)


def _freeze_at_rest(harness: Harness, rng: np.random.Generator) -> Evidence:
    """The camera, which has noise, freezes while the policy lets the arm stand."""
    harness.ask_policy('stay', STANDING_STEPS)
    harness.spin(REST_S)
    evidence = _image(same_image, FROZEN_PATIENCE_S + FROZEN_AT_REST_S)(harness, rng)
    harness.ask_policy('', 0)
    return evidence


def _capped(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """A node comes up before a camera that wears its cap, and is asked to move the arm."""
    begin_ns = time.time_ns()
    harness.scene.image_fault = black(harness)
    dead_ns = harness.kill_node()
    harness.start_node()
    end = time.monotonic() + START_PATIENCE_S
    while not harness.journal.names(CAPPED, begin_ns) and time.monotonic() < end:
        harness.switch(True)
        harness.spin(0.5)
    return Evidence(begin_ns, dead_ns, _mend(harness))


def _at_2_hz(harness: Harness, _rng: np.random.Generator) -> Evidence:
    """Gone, there, gone, there: to be disabled at the first of them after `auto_resume`."""
    begin_ns = time.time_ns()
    harness.scene.image_fault = rare(harness)
    max_age_ns = round(harness.scene.robot.cameras[harness.scene.camera].max_age * 1e9)
    known_ns = begin_ns + 2 * max_age_ns + round(HOLDS_S * 1e9) + RARE_NS
    harness.spin_to(known_ns + round(LONG_S * 1e9))
    return Evidence(begin_ns, known_ns, _mend(harness))


def _mend(harness: Harness) -> int:
    """End the fault; return when."""
    harness.scene.image_fault = None
    over_ns = time.time_ns()
    harness.scene.publish_image()
    return over_ns


def _ahead(seconds: float) -> Fault:
    shifted = camera(stamped(round(seconds * 1e9)), at_once=True)
    return disables(f'camera: stamps {seconds:g} s ahead', 'arm', AHEAD_TOP, shifted)


CAMERA_FAULTS = (
    Fault('camera: dies', 'arm', 'hold', STALE_TOP, camera(silent)),
    Fault('camera: same frame again', 'arm', 'hold', STALE_TOP, camera(same_again)),
    Fault('camera: 0.35 s late', 'arm', 'hold', STALE_TOP, camera(late)),
    Fault('camera: stamps 10 s behind', 'arm', 'hold', STALE_TOP, camera(stamped(-JUMP_NS))),
    *(_ahead(seconds) for seconds in (0.1, 0.5, 3.0, 10.0)),
    disables(
        'camera: back after 2 s', 'arm', STALE_TOP, camera(silent, lasts_s=LONG_S), every=2,
        holds_s=1.0,
    ),
    disables('camera: at 2 Hz', 'arm', DISABLED_TOP, _at_2_hz, every=2),
    Fault(
        'camera: messages of 6 bytes', 'arm', 'go on', BAD_TOP, _beside(with_images(few_bytes)),
    ),
    Fault(
        'camera: random bytes', 'arm', 'go on', BAD_TOP, _beside(with_images(random_bytes)),
    ),
    Fault(
        'camera: capped from the start', 'arm', 'silence', CAPPED, _capped, 'operator', every=5,
    ),
    Fault(
        'camera: same image, new stamps', 'policy', 'hold',
        r"hold: .*camera 'top'.*same image",
        _freeze, every=2,
    ),
    Fault(
        'camera: freezes at rest', 'policy', 'hold',
        r"hold: .*camera 'top'.*its images had noise",
        _freeze_at_rest, every=2,
    ),
    Fault(
        'camera: black', 'policy', 'hold', r"hold: .*camera 'top'.*black",
        _image(black, IMAGE_PATIENCE_S),
    ),
    Fault(
        'camera: another size', 'arm', 'hold', r'top: stale .*image is 64x64', camera(small),
    ),
)  # fmt: skip
