# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Tells by how much a camera was moved between two images of one scene.

ORB features (Rublee et al. 2011, doi 10.1109/ICCV.2011.6126544) of what stands still are matched;
RANSAC finds the shift, turn and zoom that most of them agree on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]

LEAST_WIDTH, MOST_WIDTH = 320, 640  # of what is looked at: a smaller image is enlarged
LEAST_SIDE = 32  # of what is looked at: less than what ORB describes a feature by
MOST_FEATURES = 800
LEAST_CONTRAST = 5  # of 255, of a corner
CHANGED = 14  # of 255: a pixel that differs by more shows something that moves
AROUND = 9  # pixels around such a one that are not looked at
LEAST_ALIKE = 12  # features that agree, to tell anything
LEAST_SHARE = 0.15  # of those that were matched
LEAST_AREA = 0.05  # of the image, that those that agree are scattered over
TOLERANCE = 2.0  # pixels

_NONE = np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8)


@dataclass(frozen=True)
class CameraFeatures:
    """Features of an image: places (N, 2) in pixels, and descriptors (N, 32) uint8."""

    width: int
    height: int
    places: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]


def features_of(image: Image, others: list[Image] | None = None) -> CameraFeatures:
    """The features of an image (H, W, 3) uint8, of what is the same in the `others` only."""
    grey = _grey(image)
    mask: Image | None = None
    for other in others or []:
        changed = cv2.absdiff(cv2.GaussianBlur(grey, (5, 5), 0),
                              cv2.GaussianBlur(_grey(other), (5, 5), 0)) > CHANGED  # fmt: skip
        around = cv2.dilate(changed.astype(np.uint8), np.ones((AROUND, AROUND), np.uint8))
        still = np.where(around > 0, 0, 255).astype(np.uint8)
        mask = still if mask is None else cv2.bitwise_and(mask, still)
    height, width = grey.shape
    if min(height, width) < LEAST_SIDE:
        return CameraFeatures(width, height, *_NONE)
    orb = cv2.ORB_create(MOST_FEATURES, fastThreshold=LEAST_CONTRAST)  # type: ignore[attr-defined]
    points, descriptors = orb.detectAndCompute(grey, mask)
    if descriptors is None:
        return CameraFeatures(width, height, *_NONE)
    places = np.array([point.pt for point in points], dtype=np.float32)
    return CameraFeatures(width, height, places, descriptors)


def camera_shift(before: CameraFeatures, after: CameraFeatures) -> float | None:
    """How far what is seen has moved, as a share of the image's width; None: it cannot be told."""
    if (before.width, before.height) != (after.width, after.height):
        return None
    if min(len(before.places), len(after.places)) < LEAST_ALIKE:
        return None
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
    matches = matcher.match(before.descriptors, after.descriptors)
    if len(matches) < LEAST_ALIKE:
        return None
    first = before.places[[match.queryIdx for match in matches]]
    second = after.places[[match.trainIdx for match in matches]]
    cv2.setRNGSeed(0)  # the same images, the same verdict
    transform, agree = cv2.estimateAffinePartial2D(
        first, second, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=2000
    )
    if transform is None:
        return None
    alike = agree.ravel().astype(bool)
    if alike.sum() < max(LEAST_ALIKE, LEAST_SHARE * len(matches)):
        return None
    hull = cv2.contourArea(cv2.convexHull(first[alike]))
    if hull < LEAST_AREA * before.width * before.height:
        return None
    moved = np.linalg.norm(second[alike] - first[alike], axis=1)
    return float(np.median(moved)) / before.width


def _grey(image: Image) -> Image:
    """An image in grey, of a width that features can be found in."""
    grey: Image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    factor = min(max(1.0, LEAST_WIDTH / width), max(LEAST_WIDTH, MOST_WIDTH) / width)
    if factor == 1.0:
        return grey
    size = round(factor * width), max(1, round(factor * height))
    kind = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(grey, size, interpolation=kind))
