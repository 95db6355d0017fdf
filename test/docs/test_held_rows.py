# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""Tables that say in words what happens: each row is held by tests or kinds of `bench faults`.

A row without one is a promise that nobody keeps; a test that is renamed takes its row along.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from reference_tables import CODE, page, section, tables
from repository import ROOT

# Page, section and number of a table there; then the first cell of each row, and what holds it:
# FILE::TEST below test/, or the name of a fault.
ROWS: dict[tuple[str, str, int], dict[str, tuple[str, ...]]] = {
    ('policies.md', '`act`', 1): {
        'decoder layers': (
            'policies/convert/test_act.py::'
            'test_the_layers_that_the_original_never_reads_change_nothing',
        ),
        '110 tensors that never learn (layers 2 to 7, a padding head)': (
            'policies/convert/test_act.py::'
            'test_every_weight_of_the_published_size_has_a_place_or_no_use',
        ),
        'loss at padded steps': (
            'training/test_chunks.py::test_only_valid_steps_count_and_all_alike',
        ),
        'cameras told apart': (
            'policies/act/test_act.py::'
            'test_one_backbone_knows_no_camera_order_but_one_each_and_an_embedding_do',
        ),
        'attention': (
            'policies/act/test_act.py::'
            'test_the_weights_that_are_shown_are_those_of_the_attention',
        ),
        'heads, cameras, image size, rate': (
            'policies/convert/test_act.py::'
            'test_the_call_makes_a_policy_and_says_what_it_assumed',
        ),
    },
    ('checkpoint.md', 'From and to other projects', 0): {
        'EIPL': ('policies/convert/test_eipl.py::test_sarnn_goes_on_as_it_did',),
        'tonyzhaozh/act': (
            'policies/convert/test_act.py::test_a_converted_policy_gives_the_numbers_of_the_original',
        ),
        'files of act before April 2023': (
            'policies/convert/test_act.py::test_files_without_our_posterior_act_alike',
        ),
        'act-plus-plus': (
            'policies/convert/test_act.py::'
            'test_a_backbone_for_each_camera_and_base_actions_of_act_plus_plus',
        ),
        'LeRobot, ACT': (
            'policies/convert/test_lerobot.py::test_a_policy_of_lerobot_gives_its_numbers_here',
            'policies/convert/test_lerobot.py::test_other_ways_to_normalise_are_taken_over',
        ),
    },
    ('episode_file.md', 'The folders of BAIR', 0): {
        '`endeffector_positions.csv`': (
            'episodes/formats/test_bair.py::'
            'test_a_set_gives_its_numbers_and_pixels_with_the_splits_apart',
        ),
        '`actions.csv`, columns 0 to 2': (
            'episodes/formats/test_bair.py::'
            'test_a_set_gives_its_numbers_and_pixels_with_the_splits_apart',
        ),
        '`actions.csv`, column 3': (
            'episodes/formats/test_bair.py::'
            'test_the_fourth_column_needs_a_fourth_joint_only_if_it_says_something',
        ),
        '`N.png`': (
            'episodes/formats/test_bair.py::test_export_and_import_give_the_same_numbers_and_pixels',
        ),
    },
    ('episode_file.md', 'What is odd', 0): {
        "a measured joint's speed": (
            'episodes/test_motion.py::'
            'test_a_driver_that_stalls_is_believed_what_its_arm_does_meanwhile',
            'episodes/test_row_checks.py::'
            'test_fast_motion_is_told_over_a_time_so_that_jitter_is_not',
        ),
        'the speed of an action': (
            'episodes/test_row_checks.py::'
            'test_commands_are_held_against_the_limits_and_may_be_ahead_of_the_arm',
        ),
        'a position, measured or action': (
            'episodes/test_motion.py::'
            'test_joints_outside_their_limits_are_told_in_import_and_recorder',
        ),
        'images': (
            'episodes/test_row_checks.py::'
            'test_images_without_colours_are_told_wherever_they_come_from',
        ),
        'depth': (
            'episodes/test_depth.py::test_images_in_which_nothing_was_measured_are_noted',
        ),
    },
    ('nodes.md', 'Switches', 0): {
        'a button is pressed': (
            'emergency stop: pressed',
            'nodes/test_switches.py::'
            'test_a_button_that_is_pressed_counts_though_another_says_that_it_is_not',
        ),
        'its node ends or its publisher goes, once it was heard': (
            'emergency stop: its node ends',
            'nodes/test_switches.py::'
            'test_a_button_that_went_away_pressed_stays_so_until_an_operator_resets',
        ),
        'a publisher says nothing for `emergency_stop_timeout`': (
            'emergency stop: heartbeat lost',
            'nodes/test_switches.py::test_a_stop_that_falls_silent_disables',
        ),
        'nothing was ever heard': (
            'nodes/test_switches.py::test_a_required_emergency_stop_must_be_there',
        ),
        'the topic has another type': (
            'nodes/test_switches.py::test_a_topic_of_another_type_is_no_emergency_stop',
        ),
    },
    ('nodes.md', 'Chunks', 0): {
        'inference takes longer than usual': (
            'control/test_chunks.py::'
            'test_the_arm_never_waits_for_inference_that_takes_now_longer_now_shorter',
        ),
        'the plan ends and no chunk has come': (
            'control/test_chunks.py::'
            'test_a_plan_that_ends_without_a_successor_holds_the_arm_and_says_why',
            'control/test_chunks.py::'
            'test_after_a_hold_the_late_chunk_is_dropped_and_a_new_one_is_asked_for',
        ),
        'no chunk for `chunk.timeout` while there is no plan': (
            'control/test_chunks.py::'
            'test_a_start_without_a_plan_waits_and_is_a_fault_only_after_the_timeout',
        ),
        'a chunk comes when all its rows are over': (
            'control/test_chunks.py::test_inference_that_outlasts_every_chunk_is_named',
        ),
        '`~/reset`, a fault, `~/enable`': (
            'control/test_chunks.py::'
            'test_a_reset_discards_the_chunk_in_flight_and_goes_on_with_a_fresh_one',
            'control/test_chunks.py::'
            'test_a_chunk_asked_for_before_a_fault_is_no_answer_to_what_is_there_after',
        ),
    },
    ('nodes.md', 'What the controller must be set to', 0): {
        f'{name}': ('nodes/test_controllers.py::test_each_setting_that_does_not_fit_has_its_line',)
        for name in (
            '`interpolate_from_desired_state` (Humble: `open_loop_control`)',
            '`joints`',
            '`interpolation_method`',
            '`allow_trajectory_replacement` (after 6.9, on Rolling)',
            '`cmd_timeout`',
        )
    },
    ('nodes.md', 'Faults', 0): {
        'a camera dies, repeats a message, comes late': (
            'camera: dies', 'camera: same frame again', 'camera: 0.35 s late',
        ),
        'a vector that is an input dies, comes late, is NaN or has another size': (
            'nodes/test_policy_inputs.py::'
            'test_the_arm_moves_while_all_vectors_come_and_is_held_when_one_does_not',
            'streams/test_vectors.py::'
            'test_what_is_no_number_is_a_gap_with_a_name_and_never_a_value',
        ),
        'the joint state dies, repeats a message, comes late, lacks a joint or holds NaN': (
            'joint state: stalls', 'joint state: loses a joint', 'joint state: NaN or infinity',
            'joint state: stamps 10 s behind',
        ),
        'a message is damaged, or nothing can be done with it': (
            'camera: messages of 6 bytes', 'camera: random bytes',
            'joint state: messages of 6 bytes', 'joint state: random bytes',
        ),
        'joint states out of order': ('joint state: out of order',),
        'stamps lead their own reception by more than a period': (
            'camera: stamps 0.1 s ahead', 'joint state: stamps 0.1 s ahead',
        ),
        'the clock of the joint states is more than a quarter period from ours, '
        'with whole chunks': (
            "chunks: the arm's clock 10 ms ahead", "chunks: the arm's clock 0.05 s behind",
        ),
        'the arm is blocked, sinks, or its encoder freezes with fresh stamps': (
            'arm: blocked', 'arm: sinks while it holds', 'arm: encoder frozen',
        ),
        "a joint's effort is beyond its limit": ('effort: over its limit',),
        'another node sends commands': (
            'commands: one of another node', 'commands: many of another node',
        ),
        'the listener of the commands goes': ('arm: nobody listens', 'chunks: nobody listens'),
        "a gripper's goal is rejected, aborted, cancelled by others, not answered or not over in "
        'time': (
            'nodes/test_acting_grippers.py::'
            'test_a_goal_that_fails_holds_the_arm_with_its_reason_and_nothing_is_sent_again',
            'nodes/test_acting_grippers.py::test_a_failure_that_is_to_be_a_warning_is_one',
        ),
        "nobody serves a gripper's action or service": (
            'nodes/test_acting_grippers.py::'
            'test_an_arm_whose_gripper_nobody_serves_is_not_enabled_and_holds_when_it_goes',
        ),
        'another node sends a gripper goals': (
            'nodes/test_acting_grippers.py::'
            'test_goals_of_another_node_disable_the_arm_and_keep_it_from_being_enabled',
        ),
        'a camera goes on sending its last image with new stamps': (
            'camera: same image, new stamps',
        ),
        'the same while the arm stands': ('camera: freezes at rest',),
        'a camera is black from the start: its cap is on': ('camera: capped from the start',),
        'a camera turns black': ('camera: black',),
        'its images get another size': ('camera: another size',),
        'NaN, infinity or a wrong width from the policy': (
            'policy: NaN', 'policy: infinity', 'policy: wrong width',
        ),
        'targets beyond a limit': ('policy: huge steps',),
        'the first target, or home, cannot be reached: box, collision, following error': (
            'control/test_reach.py::'
            'test_a_ramp_that_comes_no_nearer_ends_disabled_with_what_is_in_its_way',
        ),
        'the policy raises, or is out of memory': (
            'inference: raises', 'inference: out of memory',
        ),
        "the policy's own process dies or hangs": (
            'inference process: killed', 'inference process: hangs',
        ),
        'the policy hangs or is too slow': ('inference: hangs 0.7 s', 'inference: 0.3 s per step'),
        'the world leaves what was foreseen, with `foresight.reaction: hold`': (
            'nodes/test_foresight.py::'
            'test_the_arm_holds_at_a_prediction_error_until_somebody_has_looked',
        ),
        'the process of the frame predictor dies or hangs': (
            'nodes/test_foresight.py::'
            'test_a_predictor_that_hangs_or_is_gone_is_told_and_takes_no_command_from_the_arm',
        ),
        'a control tick is late, or the process stood still': (
            'node: stopped for 50 ms', 'node: stopped for 150 ms', 'node: stopped for 600 ms',
            'control/test_stops.py::'
            'test_after_a_tick_that_is_later_than_auto_resume_the_arm_is_disabled',
        ),
        'the clock jumps: `/clock` goes back or more than 0.5 s ahead at once, or the '
        "system's clock is set by more than 0.1 s": (
            'clock: 5 s ahead', 'clock: 0.7 s ahead', 'clock: 5 s back',
            'nodes/test_clock.py::test_a_jump_of_the_systems_clock_stops_the_arm_and_is_named',
        ),
        '`/clock` stands still': ('clock: stands still',),
        'an exception in a control tick, or its thread ends': (
            'node: a tick raises', 'node: the tick thread ends',
        ),
        'a control tick hangs: a publisher, a disk, a lock': (
            'node: a tick hangs',
            'nodes/test_end.py::test_a_signal_ends_a_node_whose_tick_hangs',
        ),
        'the node is killed': ('node: killed and restarted',),
    },
}  # fmt: skip
TABLES = list(ROWS)
FAULTS_TABLE = ('nodes.md', 'Faults', 0)
# How the page says what the arm must do at a fault.
SAYS = {
    'hold': ('holds', 'stands still'),
    'disable': ('is disabled',),
    'go on': ('goes on',),
    'limits': ('goes on',),
    'silence': ('is not enabled', 'no commands', 'no more commands'),
}


def rows_of(place: tuple[str, str, int]) -> dict[str, tuple[str, ...]]:
    """Return the other cells of the rows of a table, by the first."""
    name, heading, at = place
    return {
        first: tuple(others) for first, *others in tables(section(page(name), heading))[at].rows
    }


@pytest.mark.parametrize('place', TABLES, ids=lambda place: ' '.join(map(str, place)))
def test_every_row_is_held_by_something(place: tuple[str, str, int]) -> None:
    assert list(rows_of(place)) == list(ROWS[place])
    for first, holding in ROWS[place].items():
        assert holding, first
        for name in holding:
            if '::' in name:
                file, _, test = name.partition('::')
                code = (ROOT / 'test' / file).read_text(encoding='utf-8')
                assert f'\ndef {test}(' in code, f'{first}: {name}'


@pytest.fixture(scope='module')
def faults() -> dict[str, Any]:
    """The kinds of `bench faults`, by name."""
    pytest.importorskip('rclpy')
    sys.path.insert(0, str(ROOT / 'benchmarks'))
    from fault_campaign.catalogue import FAULTS

    return {fault.name: fault for fault in FAULTS}


@pytest.mark.ros
def test_every_fault_that_holds_a_row_is_injected(faults: dict[str, Any]) -> None:
    named = {name for rows in ROWS.values() for holding in rows.values() for name in holding}
    assert {name for name in named if '::' not in name} - {*faults} == set()


@pytest.mark.ros
def test_what_the_arm_does_at_a_fault_is_what_it_must(faults: dict[str, Any]) -> None:
    for first, (_, arm, _) in rows_of(FAULTS_TABLE).items():
        for name in ROWS[FAULTS_TABLE][first]:
            if name in faults:
                must = faults[name].must
                assert any(word in arm for word in SAYS[must]), f'{first}: {name} must {must}'


@pytest.mark.ros
def test_a_fault_is_named_as_the_table_says(faults: dict[str, Any]) -> None:
    for first, (_, _, told) in rows_of(FAULTS_TABLE).items():
        patterns = [faults[name].named for name in ROWS[FAULTS_TABLE][first] if name in faults]
        lines = [
            f'{state}: {code}' for code in CODE.findall(told) for state in ('hold', 'disabled')
        ]
        lines += [form for code in CODE.findall(told) for form in (code, f'{code}=')]
        if any(patterns):
            found = [
                pattern for pattern in patterns if any(re.search(pattern, one) for one in lines)
            ]
            assert [pattern for pattern in found if pattern], f'{first}: {told}, {patterns}'
        elif not [name for name in ROWS[FAULTS_TABLE][first] if '::' in name]:
            assert told == '', first
