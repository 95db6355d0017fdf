# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A row of time t holds the newest sample that was stamped and received by t."""

from __future__ import annotations

import random

import pytest

from motion_policy.robot import StreamSpec
from motion_policy.streams import Grid, GridSampler, Row, Sample, Sampler, StreamError
from motion_policy.streams.samples import StreamCounters

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000


def stream(name: str = 'top', max_age: float = 0.2, stamp: str = 'header') -> StreamSpec:
    return StreamSpec(name, 'camera', f'{name}/image_raw', 'Image', max_age, stamp)  # type: ignore[arg-type]


def sample(stamp_ms: float, receive_ms: float | None = None, value: object = None) -> Sample:
    received = stamp_ms if receive_ms is None else receive_ms
    return Sample(START_NS + int(stamp_ms * MS), START_NS + int(received * MS), value)


def sampler_of(*samples: Sample, **options: object) -> Sampler:
    sampler = Sampler([stream(**options)])  # type: ignore[arg-type]
    for each in samples:
        sampler.push('top', each)
    return sampler


def at(sampler: Sampler, t_ms: float) -> Row:
    return sampler.observe(START_NS + int(t_ms * MS))


def test_the_newest_sample_by_stamp_is_taken() -> None:
    older, newer = sample(10), sample(20)
    assert at(sampler_of(older, newer), 30).samples['top'] is newer
    # A sample that was overtaken on its way is still the older one.
    assert at(sampler_of(newer, sample(10, receive_ms=25)), 30).samples['top'] is newer


def test_nothing_from_after_the_row_is_used() -> None:
    early, late = sample(10), sample(20, receive_ms=35)
    sampler = sampler_of(early, late)
    row = at(sampler, 30)
    assert row.samples['top'] is early
    assert row.ages_ns['top'] == 20 * MS
    assert at(sampler, 35).samples['top'] is late


def test_age_counts_from_the_earlier_of_stamp_and_reception() -> None:
    row = at(sampler_of(sample(20, receive_ms=10)), 30)  # 10 ms ahead is within a period
    assert row.complete
    assert row.ages_ns['top'] == 20 * MS
    assert row.skews_ns == {}
    # However far ahead the stamp is, the sample grows old.
    assert at(sampler_of(sample(5000, receive_ms=10)), 211).faults['top'].startswith('stale')


@pytest.mark.parametrize(
    ('lead_ms', 'told'), [(21.1, '0.0211'), (35, '0.035'), (300, '0.3'), (3000, '3')]
)
def test_a_stamp_that_leads_its_reception_is_a_fault_with_a_name(
    lead_ms: float, told: str
) -> None:
    """One period of the robot's rate, 20 ms, and 1 ms of the clock's granularity may be."""
    sampler = sampler_of(sample(0), sample(10 + lead_ms, receive_ms=10))
    row = at(sampler, 9.9)
    assert row.complete and row.skews_ns == {}
    row = at(sampler, 15)
    assert row.faults == {'top': f'clocks disagree by {told} s: chrony or PTP, or stamp: receive'}
    assert row.skews_ns == {'top': int(lead_ms * MS)}
    assert row.ages_ns == {'top': 5 * MS}
    # Sampled by reception nobody looks at the stamp.
    by_reception = sampler_of(sample(10 + lead_ms, receive_ms=10), stamp='receive')
    assert at(by_reception, 15).complete


def test_a_lead_of_one_period_is_the_clocks_granularity() -> None:
    assert at(sampler_of(sample(20.9, receive_ms=0)), 5).complete


def test_a_stamp_of_zero_means_the_time_of_reception() -> None:
    unstamped = Sample(0, START_NS + 10 * MS, None)
    row = at(sampler_of(unstamped), 30)
    assert row.samples['top'] is unstamped
    assert row.ages_ns['top'] == 20 * MS


def test_a_stream_can_be_sampled_by_reception() -> None:
    other_clock = Sample(123, START_NS + 10 * MS, None)
    assert at(sampler_of(other_clock, stamp='receive'), 30).complete
    assert not at(sampler_of(other_clock), 30).complete


def test_a_silent_stream_is_missing() -> None:
    row = at(sampler_of(), 0)
    assert not row.complete
    assert row.faults == {'top': 'missing'}


def test_an_old_sample_is_stale_and_says_how_old() -> None:
    sampler = sampler_of(sample(0))
    assert at(sampler, 200).complete
    row = at(sampler, 350)
    assert not row.complete
    assert row.faults == {'top': 'stale (0.35 s old, limit 0.2 s)'}
    assert row.samples['top'].header_ns == START_NS


def test_a_clock_that_jumps_back_starts_the_stream_anew() -> None:
    sampler = sampler_of(sample(5000), sample(100, receive_ms=5010))
    row = at(sampler, 5020)
    assert row.samples['top'].header_ns == START_NS + 100 * MS
    assert row.faults == {
        'top': 'stale (4.92 s old, as it came: late, or its clock is behind, limit 0.2 s)'
    }
    # With simulation time the reception jumps as well, perhaps by little.
    sampler = sampler_of(sample(100), sample(90, receive_ms=90))
    assert at(sampler, 105).samples['top'].header_ns == START_NS + 90 * MS


def test_late_samples_within_the_age_limit_do_not_reset_the_stream() -> None:
    sampler = sampler_of(sample(100), sample(60, receive_ms=110))
    assert at(sampler, 120).samples['top'].header_ns == START_NS + 100 * MS
    assert sampler.counters['top'].received == 2


def test_repeated_stamps_are_ignored_and_counted() -> None:
    first = sample(10, value='first')
    sampler = sampler_of(first, sample(10, receive_ms=12, value='again'), sample(20))
    assert at(sampler, 15).samples['top'] is first
    counted = sampler.counters['top']
    assert (counted.received, counted.duplicates) == (3, 1)


def test_gaps_are_counted_as_dropped_samples() -> None:
    stamps = [0, 40, 80, 120, 160, 280, 320, 365, 400]  # two are missing after 160
    counted = sampler_of(*(sample(ms) for ms in stamps)).counters['top']
    assert counted.dropped == 2
    assert counted.max_gap_ns == 120 * MS
    assert counted.received == len(stamps)


def test_what_comes_late_and_all_at_once_is_not_dropped() -> None:
    """A process that had to wait takes at 1 kHz what came meanwhile, 0.03 ms apart."""
    late = [100 + 0.03 * index for index in range(60)]
    sampler = Sampler([stream(stamp='receive')])
    for ms in [*range(40), *late, *range(102, 400)]:
        sampler.push('top', sample(ms))
    assert sampler.counters['top'].dropped == 0
    for ms in [*range(403, 500), *range(550, 560)]:
        sampler.push('top', sample(ms))
    assert sampler.counters['top'].dropped == 3 + 50


def test_a_gap_right_at_the_start_is_counted_too() -> None:
    counted = sampler_of(*(sample(ms) for ms in [0, 120, 160, 200, 240])).counters['top']
    assert counted.dropped == 2


def test_counting_can_begin_anew() -> None:
    sampler = sampler_of(*(sample(ms) for ms in [0, 40, 80, 120, 240, 280]))
    assert sampler.counters['top'].dropped == 2
    sampler.reset_counters()
    sampler.push('top', sample(320))
    counted = sampler.counters['top']
    assert (counted.received, counted.dropped, counted.max_gap_ns) == (1, 0, 40 * MS)
    assert at(sampler, 325).complete


def test_memory_stays_bounded_when_nobody_observes() -> None:
    sampler = sampler_of(*(sample(10 * index) for index in range(5000)))
    series = sampler._buffers['top']._series  # type: ignore[attr-defined]
    assert len(series._entries) < 400
    assert at(sampler, 49_995).complete
    # What no later row can use is not kept either; one that cannot be decoded needs another.
    assert len(series._entries) == 20


def test_an_unknown_stream_is_named() -> None:
    with pytest.raises(StreamError, match=r"'side'.*top"):
        sampler_of().push('side', sample(0))


def test_the_grid_stands_at_absolute_multiples_of_the_period() -> None:
    grid = Grid(50)
    index = grid.index_at_or_after(START_NS + 1)
    assert grid.time_ns(index) % 20_000_000 == 0
    assert START_NS < grid.time_ns(index) <= START_NS + 20 * MS
    assert grid.index_at_or_after(grid.time_ns(index)) == index
    # Whoever starts later, finds the same rows.
    assert Grid(50).index_at_or_after(START_NS + 15 * MS) == index


def test_each_row_is_given_once_and_in_order() -> None:
    sampler = GridSampler([stream()], 50, START_NS + 1)
    times = []
    for now_ms in (0, 19.9, 20, 20, 75, 60, 100):
        times += [row.time_ns for row in sampler.advance(START_NS + int(now_ms * MS))]
    assert times == [START_NS + ms * MS for ms in (20, 40, 60, 80, 100)]


def messages(seed: int) -> list[tuple[str, Sample]]:
    """Two jittering streams with losses and stamps ahead, in the order of reception."""
    draw = random.Random(seed)
    events = []
    for name, period_ms in (('top', 33.3), ('state', 10.0)):
        for index in range(int(3000 / period_ms)):
            if draw.random() < 0.05:
                continue
            stamp_ms = index * period_ms + draw.uniform(-2, 2)
            events.append((name, sample(stamp_ms, stamp_ms + draw.uniform(-1, 30), index)))
    return sorted(events, key=lambda event: event[1].receive_ns)


@pytest.mark.parametrize('seed', range(5))
def test_a_bag_gives_exactly_the_rows_of_the_live_recorder(seed: int) -> None:
    streams = [stream('top'), stream('state')]
    events = messages(seed)
    first_ns, last_ns = events[0][1].receive_ns, events[-1][1].receive_ns

    bag = GridSampler(streams, 50, first_ns)
    from_bag = []
    for name, each in events:
        from_bag += bag.advance(each.receive_ns - 1)
        bag.push(name, each)
    from_bag += bag.advance(last_ns)

    # The recorder's timer runs late and unevenly, and samples wait until it does.
    live = GridSampler(streams, 50, first_ns)
    draw = random.Random(seed + 100)
    from_live, now_ns, waiting = [], first_ns, list(events)
    while now_ns < last_ns:
        now_ns = min(last_ns, now_ns + int(draw.uniform(1, 180) * MS))
        while waiting and waiting[0][1].receive_ns <= now_ns:
            live.push(*waiting.pop(0))
        from_live += live.advance(now_ns)

    assert [row.time_ns for row in from_live] == [row.time_ns for row in from_bag]
    assert [row.samples for row in from_live] == [row.samples for row in from_bag]
    assert [row.faults for row in from_live] == [row.faults for row in from_bag]
    assert len(from_bag) > 140
    assert sum(row.complete for row in from_bag) > 100


def test_what_two_recordings_counted_adds_up_and_of_nothing_it_is_nothing() -> None:
    first = StreamCounters(9, 8, 7, 60, 5, 4, 'early', 3, 'velocity')
    later = StreamCounters(1, 2, 3, 40, 5, 6, '', 7, '')
    assert first + later == StreamCounters(10, 10, 10, 60, 10, 10, 'early', 10, 'velocity')
    assert sampler_of().counters == {'top': StreamCounters()}
