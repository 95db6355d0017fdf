# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Environment variables of the middleware and of child processes.

What the user has set is left as it is.
"""

from __future__ import annotations

import os

from motion_policy.share import share_dir

# In a fresh process glibc gives the memory of every policy step back and takes it anew: twice the
# time of a small network goes there.
KEEP_FREED_MEMORY = {
    'MALLOC_MMAP_THRESHOLD_': '268435456',
    'MALLOC_TRIM_THRESHOLD_': '1073741824',
    'MALLOC_TOP_PAD_': '67108864',
}
OLD_FAST_DDS = ('humble', 'jazzy')
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def profile_setting() -> tuple[str, str]:
    """Return name and value of the variable that makes Fast DDS carry raw images.

    Its name depends on the distribution, and two of them are an error.
    """
    new, old = PROFILE_VARIABLES
    name = old if os.environ.get('ROS_DISTRO') in OLD_FAST_DDS else new
    return name, str(share_dir() / 'config' / 'fastdds.xml')


def middleware_profile() -> dict[str, str]:
    """Return that variable, to be set; nothing if the user has a profile."""
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return {}
    return dict([profile_setting()])


def profile_is_ours() -> bool:
    """Whether the user has no profile, or the one that our launch files set."""
    named = {value for name in PROFILE_VARIABLES if (value := os.environ.get(name))}
    return named <= {profile_setting()[1]}
