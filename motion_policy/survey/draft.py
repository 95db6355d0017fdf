# Copyright 2026 The motion_policy Authors
# SPDX-License-Identifier: Apache-2.0
"""A first robot spec from what is on the topics; every guess says where it comes from.

What could not be decided is a line with TODO, in the spec and in `Draft.todos`; nothing is
chosen silently.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from motion_policy.robot.gripper import KNOWN_ACTIONS
from motion_policy.robot.joint_topic import (
    COMMAND_TYPES,
    FLOAT64,
    FLOAT64_MULTI_ARRAY,
    JOINT_STATE,
    JOINT_TRAJECTORY,
)
from motion_policy.robot.urdf import UrdfJoint
from motion_policy.survey import mobile_base
from motion_policy.survey.observed import (
    ARRAYS,
    IMAGES,
    VECTOR_FIELDS,
    Observed,
    Survey,
    relative_topic,
)

USUAL_RATE_HZ = 50.0
NAMED = (JOINT_TRAJECTORY, JOINT_STATE)  # types whose messages name their joints
USUAL_RATES_HZ = (
    5.0, 6.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0, 90.0, 100.0, 125.0, 200.0, 250.0,
    500.0, 1000.0,
)  # fmt: skip
SLOW_STREAM_HZ = 15.0  # of which the usual max_age of 0.2 s holds fewer than three
LEADER = re.compile(r'leader|master|teleop|teach')
COMMANDED = re.compile(r'command|goal|target|desired|setpoint|reference|joint_trajectory')
HAND = re.compile(r'gripper|hand|finger|jaw')
PLAIN = {
    'image', 'image_raw', 'image_rect', 'image_rect_color', 'image_color', 'compressed', 'color',
    'rgb', 'raw', 'depth', 'image_rect_raw', 'compressedDepth',
}  # fmt: skip
OFTEN_STALE_S = 0.15  # a stamp so far behind is nearly stale when it comes
AHEAD_S = 0.02
MARGIN = 0.1  # of what a joint was seen to do, on both sides
LEAST_SPAN = 0.1  # rad or m
LEAST_SPEED = 0.2
FASTER = 1.2
FULL_SPEED_AFTER_S = 0.2
PLACEHOLDER = 'forward_position_controller/commands'


@dataclass
class Draft:
    """The text of the spec, a line for each guess, and one for what is to be decided yet."""

    text: str = ''
    guesses: list[str] = field(default_factory=list)
    todos: list[str] = field(default_factory=list)


@dataclass
class _State:
    """One topic of measured joints: our names of its joints, and its own."""

    seen: Observed
    ours: list[str]
    theirs: list[str]


class _Drafting:
    def __init__(
        self, name: str, survey: Survey, urdf: dict[str, UrdfJoint], where: str, namespace: str
    ) -> None:
        self.draft = Draft()
        self._name = name
        self._survey = survey
        self._urdf = urdf
        self._urdf_name = where
        self._namespace = namespace
        self._lines: list[str] = []
        self._used: set[str] = set()
        self._about = ''  # which stream the lines are about
        self._base: mobile_base.Base | None = None

    def write(self) -> Draft:
        seconds = self._survey.seconds
        source = f'what was heard for {seconds:.0f} s' if self._survey.live else 'a bag'
        self._say(f'# A first spec, from {source}. Read every line that a comment is at.')
        states = self._states()
        leaders = self._leaders(states)
        self._say(f'name: {_quoted(self._name)}')
        self._rate(states)
        self._joints(states, leaders)
        self._cameras()
        self._vectors()
        self._home(states)
        self.draft.text = '\n'.join(self._lines) + '\n'
        return self.draft

    def _say(self, line: str, guess: str = '', todo: str = '') -> None:
        """Add a line; what is guessed or to be decided stands behind it, and in the summary."""
        note = f'TODO {todo}' if todo else guess
        self._lines.append(f'{line}  # {note}' if note and line.strip() else line + note)
        key, _, value = line.strip().lstrip('-# ').partition(': ')
        about = f'{self._about} {key}'.strip()
        if todo:
            self.draft.todos.append(f'{about}: {todo}')
        elif guess:
            self.draft.guesses.append(f'{about}: {value} ({guess})')

    def _todo(self, indent: str, text: str) -> None:
        self._lines.append(f'{indent}# TODO {text}')
        self.draft.todos.append(text)

    def _remark(self, indent: str, text: str) -> None:
        self._lines.append(f'{indent}# {text}')
        self.draft.guesses.append(text)

    def _topic(self, seen: Observed) -> str:
        self._used.add(seen.topic)
        return relative_topic(seen.topic, self._namespace)

    def _heard_joint_states(self) -> list[Observed]:
        return [each for each in self._survey.of_type(JOINT_STATE) if each.joints]

    def _states(self) -> list[_State]:
        """The topics of measured joints, each with joints that no other one before it has."""
        found = [
            each
            for each in self._heard_joint_states()
            if not LEADER.search(each.topic) and not COMMANDED.search(each.topic)
        ]
        # The topic with most joints first; of equals the faster one, then the shorter name.
        found.sort(key=lambda each: (-len(each.joints), -each.rate_hz, len(each.topic)))
        states: list[_State] = []
        taken: set[str] = set()
        several = len({_group(each.topic) for each in found}) > 1
        names_repeat = any(
            set(one.joints) & set(other.joints) and _is_other_arm(one, other)
            for one in found
            for other in found
            if one is not other
        )
        for each in found:
            prefix = f'{_group(each.topic)}_' if several and names_repeat else ''
            theirs = [name for name in self._in_order(each) if prefix + name not in taken]
            if not theirs:
                self._used.add(each.topic)
                told = relative_topic(each.topic, self._namespace)
                self._remark('', f'{told} repeats joints of another topic; not used')
                continue
            ours = [prefix + name for name in theirs]
            taken |= set(ours)
            states.append(_State(each, ours, theirs))
        return states

    def _in_order(self, seen: Observed) -> list[str]:
        """Joints of a topic in the order of the URDF, where it has them, else of the message."""
        names = list(seen.joints)
        if not set(names) & set(self._urdf):
            return names
        following = [n for n in names if n in self._urdf and self._urdf[n].follows]
        for name in following:
            self._remark('', f"joint '{name}' follows {self._urdf[name].follows} (URDF); left out")
        kept = [name for name in names if name not in following]
        known = [name for name in self._urdf if name in kept]
        return known + [name for name in kept if name not in known]

    def _leaders(self, states: list[_State]) -> list[_State]:
        """Topics of a leader: those of its name whose joints are those of a state topic."""
        found: list[_State] = []
        left = {name for state in states for name in state.ours}
        topics = [each for each in self._heard_joint_states() if LEADER.search(each.topic)]
        for each in topics:
            match = _closest(each, [s for s in states if set(s.theirs) <= set(each.joints)])
            if match is None or not set(match.ours) <= left:
                continue
            left -= set(match.ours)
            found.append(_State(each, match.ours, match.theirs))
        if found and left:
            return []
        return found

    def _rate(self, states: list[_State]) -> None:
        slowest = min((s.seen.rate_hz for s in states if s.seen.rate_hz), default=0.0)
        if 0 < slowest < USUAL_RATE_HZ:
            rate = float(max(1, math.floor(_round_rate(slowest))))
            self._say(
                f'rate: {rate}',
                f'commands and rows per second: joint states come at {slowest:.1f} Hz',
            )
        else:
            self._say(
                f'rate: {USUAL_RATE_HZ}',
                'commands and rows per second: the usual; joint states are no slower',
            )

    def _joints(self, states: list[_State], leaders: list[_State]) -> None:
        self._say('joints:')
        ours = [name for state in states for name in state.ours]
        self._base, several = mobile_base.find_base(self._survey) if ours else (None, '')
        if several:
            self._todo('  ', f'velocities: {several}')
        if not ours:
            self._todo('  ', 'no joint states were heard: names, state and limits are missing')
            self._lines.append('  names: []')
            return
        ordered = any(name in self._urdf for state in states for name in state.theirs)
        origin = f'order of {self._urdf_name}' if ordered else 'order of the messages'
        moved = [*map(_quoted, ours), *(mobile_base.NAMES if self._base else ())]
        self._say(f'  names: [{", ".join(moved)}]', origin)
        if self._base is not None:
            told = relative_topic(self._base.command.topic, self._namespace)
            self._say(
                f'  velocities: [{", ".join(mobile_base.NAMES)}]',
                todo=f'a base is moved on {told}: whether it belongs to this robot, and goes '
                'sideways, too (three joints: forward, left, turn)',
            )
        for state in states if ordered else ():
            unknown = [name for name in state.theirs if name not in self._urdf]
            if unknown:
                told = relative_topic(state.seen.topic, self._namespace)
                names = ', '.join(map(_quoted, unknown))
                self._todo(
                    '  ',
                    f'names: [{names}] on {told} are not in {self._urdf_name}: whether they are '
                    'joints of this arm',
                )
        odometry = None if self._base is None else self._base.odometry
        self._topics('state', states, states, odometry)
        if leaders:
            # Who teaches a base sends it commands.
            self._topics('leader', leaders, states, self._base and self._base.command)
        else:
            for each in self._heard_joint_states():
                if LEADER.search(each.topic):
                    self._used.add(each.topic)
                    told = relative_topic(each.topic, self._namespace)
                    self._todo('  ', f'leader: {told} has joints [{", ".join(each.joints)}]')
            if not any(LEADER.search(each.topic) for each in self._heard_joint_states()):
                self._remark(
                    '  ', 'leader: none was heard; the position one row later is the action'
                )
        self._command(states, ours)
        for name, kind in sorted(self._survey.actions.items()):
            if kind in KNOWN_ACTIONS:
                told = relative_topic(name, self._namespace)
                self._todo('  ', f'grippers: {told} ({kind}) is served; whether it moves a joint')
        self._limits(states)

    def _topics(
        self, role: str, topics: list[_State], states: list[_State], of_base: Observed | None
    ) -> None:
        alone = len(topics) == 1 and of_base is None
        self._lines.append(f'  {role}:')
        self._about = role
        for each in topics:
            begin, indent = ('    ', '    ') if alone else ('    - ', '      ')
            self._say(
                f'{begin}topic: {self._topic(each.seen)}',
                f'heard at {each.seen.rate_hz:.1f} Hz{_by(each.seen)}',
            )
            self._lines.append(f'{indent}type: {each.seen.type}')
            if not alone:
                self._lines.append(f'{indent}joints: [{", ".join(map(_quoted, each.ours))}]')
            if each.ours != each.theirs:
                names = ', '.join(map(_quoted, each.theirs))
                self._say(
                    f'{indent}message_names: [{names}]', 'ours have the namespace before them'
                )
            self._stamps(indent, each.seen)
        if of_base is not None:
            heard = f'heard at {of_base.rate_hz:.1f} Hz{_by(of_base)}'
            self._say(f'    - topic: {self._topic(of_base)}', heard)
            self._lines.append(f'      type: {of_base.type}')
            if of_base.count:
                self._stamps('      ', of_base)

    def _stamps(self, indent: str, seen: Observed) -> None:
        """Add stamp, rate and max_age, where the usual ones do not fit."""
        behind_s = seen.stamp_behind_s
        has_header = hasattr(seen.last, 'header')
        if has_header and (behind_s is None or seen.without_stamp):
            self._say(
                f'{indent}stamp: receive',
                f'{seen.without_stamp} of {seen.count} messages have no stamp',
            )
        elif behind_s is not None and not -AHEAD_S <= behind_s <= OFTEN_STALE_S:
            way = 'behind' if behind_s > 0 else 'ahead of'
            self._say(
                f'{indent}stamp: receive',
                todo=f'stamps of {seen.topic} are {abs(behind_s):.3f} s {way} their reception: '
                'synchronise the clocks, and take stamp: header',
            )
        if seen.rate_hz:
            rate_hz = _round_rate(seen.rate_hz)
            self._say(f'{indent}rate: {rate_hz}', f'measured {seen.rate_hz:.2f} Hz')
            if rate_hz < SLOW_STREAM_HZ:
                age = math.ceil(30 / rate_hz) / 10
                self._say(f'{indent}max_age: {age}', 'three of its periods')

    def _command(self, states: list[_State], ours: list[str]) -> None:
        left = list(ours)
        chosen: list[tuple[Observed, list[str], list[str], str]] = []
        others: list[Observed] = []
        for seen in self._candidates():
            known = self._survey.controllers.get(seen.topic) or list(seen.joints)
            source = (
                'its controller says so'
                if seen.topic in self._survey.controllers
                else 'its messages say so'
            )
            state = _closest(seen, states) if len(states) > 1 else None
            reach = [s for s in states if state is None or s is state]
            names = {theirs: o for s in reach for o, theirs in zip(s.ours, s.theirs, strict=True)}
            if known:
                matched = [name for name in known if names.get(name) in left]
                if not matched or len(matched) < len(known):
                    others.append(seen)
                    continue
                joints, theirs = [names[name] for name in matched], matched
            else:
                joints = [name for name in names.values() if name in left]
                joints = self._by_name(seen, joints)
                if seen.type == FLOAT64:
                    joints = [n for n in joints if n in seen.topic][:1]
                if not joints or seen.length not in (0, len(joints)):
                    others.append(seen)
                    continue
                back = {o: theirs for theirs, o in names.items()}
                theirs, source = [back[name] for name in joints], ''
            left = [name for name in left if name not in joints]
            chosen.append((seen, joints, theirs, source))
        if left:
            chosen, others = [], self._candidates()
        self._lines.append('  command:')
        self._about = 'command'
        for seen, joints, theirs, source in chosen:
            alone = len(chosen) == 1 and self._base is None
            begin, indent = ('    ', '    ') if alone else ('    - ', '      ')
            self._say(f'{begin}topic: {self._topic(seen)}', _why_command(seen, self._survey.live))
            self._lines.append(f'{indent}type: {seen.type}')
            if not alone or joints != ours:
                listed = f'{indent}joints: [{", ".join(map(_quoted, joints))}]'
                self._say(listed, source) if source else self._say(
                    listed, todo=f'which joints {seen.topic} takes, and in which order, is a guess'
                )
            elif source:
                self._say(f'{indent}# joints: those of names', source)
            else:
                order = ', in this order' if seen.type not in NAMED else ''
                self._say(
                    f'{indent}# joints: those of names',
                    todo=f'whether {seen.topic} takes exactly these joints{order}',
                )
            if theirs != joints and seen.type in NAMED:
                self._lines.append(f'{indent}message_names: [{", ".join(map(_quoted, theirs))}]')
        if not chosen:
            why = 'nobody listens to commands' if self._survey.live else 'no commands are in it'
            if left and others:
                told = ', '.join(relative_topic(each.topic, self._namespace) for each in others)
                why = f'of {told} it is not known which takes which joints'
            begin, indent = ('    ', '    ') if self._base is None else ('    - ', '      ')
            self._say(f'{begin}topic: {PLACEHOLDER}', todo=f'{why}: a placeholder')
            self._lines.append(f'{indent}type: {FLOAT64_MULTI_ARRAY}')
        if self._base is not None:
            seen = self._base.command
            self._say(f'    - topic: {self._topic(seen)}', _why_command(seen, self._survey.live))
            self._lines.append(f'      type: {seen.type}')
        for seen in others:
            self._used.add(seen.topic)
            told = relative_topic(seen.topic, self._namespace)
            self._remark('    ', f'not used: {told} ({seen.type}){_listened(seen)}')

    def _by_name(self, seen: Observed, joints: list[str]) -> list[str]:
        """Of an arm with a topic for its gripper, the joints that a topic is likely to take."""
        beside = [
            each
            for each in self._candidates()
            if _group_of_command(each) == _group_of_command(seen)
        ]
        hands = [name for name in joints if HAND.search(name)]
        if not hands or not any(HAND.search(each.topic) for each in beside):
            return joints
        if HAND.search(seen.topic):
            return hands
        return [name for name in joints if name not in hands]

    def _candidates(self) -> list[Observed]:
        """Topics that may take commands, the likeliest first."""
        found = []
        for seen in self._survey.of_type(*COMMAND_TYPES):
            named = bool(COMMANDED.search(seen.topic))
            known = seen.topic in self._survey.controllers or (
                self._survey.live and bool(seen.joints) and seen.type == JOINT_TRAJECTORY
            )
            wanted = bool(seen.listeners) if self._survey.live else seen.count > 0
            is_number = seen.type not in (JOINT_STATE, JOINT_TRAJECTORY)
            unsent = is_number and self._survey.live and not seen.publishers
            if wanted and seen.topic not in self._used and (named or known or unsent):
                found.append((not known, not named, seen.topic, seen))
        return [each[-1] for each in sorted(found, key=lambda each: each[:3])]

    def _limits(self, states: list[_State]) -> None:
        self._lines += ['  limits:', '    position:']
        self._about, begin = '', len(self._lines)
        speeds: list[tuple[float, str]] = []
        for state in states:
            for ours, theirs in zip(state.ours, state.theirs, strict=True):
                joint = self._urdf.get(theirs)
                speeds.append(self._limits_of(ours, state.seen, theirs, joint))
        about_arm = [*self._lines[begin:], *(why for _, why in speeds)]
        unsure = any('TODO' in line for line in about_arm)
        self._limits_of_base(mobile_base.POSITION, 'least and greatest velocity [m/s, rad/s]')
        self._lines.append('    velocity:')
        self._lines += [f'      - {speed}  # {why}' for speed, why in speeds]
        self._limits_of_base(mobile_base.VELOCITY, 'acceleration [m/s^2, rad/s^2]')
        self._lines.append('    acceleration:')
        for speed, _ in speeds:
            self._lines.append(f'      - {_short(speed / FULL_SPEED_AFTER_S)}')
        self._limits_of_base(mobile_base.ACCELERATION, 'jerk [m/s^3, rad/s^3]')
        self._todo(
            '    ',
            f'acceleration: chosen so that full speed is reached in {FULL_SPEED_AFTER_S:g} s; no '
            'URDF has any, see the data sheet',
        )
        if unsure:
            self.draft.todos.append(
                'limits: what no URDF gives is what was seen and a margin; see the data sheet'
            )
        if self._base is not None:
            self.draft.todos.append(
                f'limits of {" and ".join(mobile_base.NAMES)}: chosen low, whatever was seen: '
                'velocity, acceleration and jerk; see what the base can'
            )

    def _limits_of_base(self, values: tuple[str, ...], meaning: str) -> None:
        if self._base is not None:
            self._lines += [
                f'      - {value}  # TODO {name}: {meaning}, chosen low'
                for name, value in zip(mobile_base.NAMES, values, strict=True)
            ]

    def _limits_of(
        self, ours: str, seen: Observed, theirs: str, joint: UrdfJoint | None
    ) -> tuple[float, str]:
        """Add the position limits of a joint; return its velocity limit and where it is from."""
        heard = seen.joints[theirs]
        if joint and joint.lower is not None and joint.upper is not None and not joint.continuous:
            low, high, why = joint.lower, joint.upper, f'{self._urdf_name}'
            if low >= high:
                joint = None
        if not (joint and joint.lower is not None and joint.upper is not None) or joint.continuous:
            span = heard.high - heard.low
            margin = max(MARGIN * span, LEAST_SPAN / 2)
            low, high = heard.low - margin, heard.high + margin
            kind = 'continuous in the URDF; ' if joint and joint.continuous else ''
            if self._urdf and joint is None:
                kind = f'not in {self._urdf_name}; '
            why = (
                f'TODO {kind}it was seen from {heard.low:.4g} to {heard.high:.4g}'
                f'{"" if heard.moved else " (it did not move)"}, and a margin'
            )
        self._lines.append(f'      - [{_short(low)}, {_short(high)}]  # {ours}: {why}')
        if joint and joint.velocity:
            return _short(joint.velocity), f'{ours}: {self._urdf_name}'
        speed = max(FASTER * heard.speed, LEAST_SPEED)
        return _short(speed), f'TODO {ours}: seen at {heard.speed:.3g} per second, and a margin'

    def _cameras(self) -> None:
        colour, depth = [], []
        for seen in self._survey.of_type(*IMAGES):
            if seen.topic.endswith(('/compressedDepth', '/theora')) and not seen.is_depth:
                continue
            (depth if seen.is_depth else colour).append(seen)
        self._images('cameras', colour)
        if depth:
            self._images('depth', depth)

    def _images(self, key: str, found: list[Observed]) -> None:
        chosen: dict[str, Observed] = {}
        for seen in found:
            base = re.sub(r'/(compressed|compressedDepth)$', '', seen.topic)
            other = chosen.get(base)
            if not seen.count or (other is not None and other.count):
                continue
            chosen[base] = seen
        self._lines.append(f'{key}:' if chosen else f'# {key}: no images were heard')
        names = _image_names(list(chosen))
        for base, seen in chosen.items():
            size = seen.size
            self._lines.append(f'  {names[base]}:')
            self._about = names[base]
            rate = f'{seen.rate_hz:.1f} Hz' if seen.rate_hz else f'{seen.count} images'
            self._say(
                f'    topic: {self._topic(seen)}',
                f'heard at {rate}, encoded {seen.encoding}{_by(seen)}',
            )
            self._lines.append(f'    type: {seen.type}')
            if size is None:
                self._todo(
                    '    ', f'{names[base]}: size of the images on {seen.topic} is not known'
                )
            else:
                self._lines += [f'    width: {size[0]}', f'    height: {size[1]}']
            self._stamps('    ', seen)
            others = [e for e in found if e is not seen and e.topic.startswith(f'{base}/')]
            for other in others:
                self._used.add(other.topic)
                told = relative_topic(other.topic, self._namespace)
                self._remark('    ', f'the same images: {told} ({other.type})')
        for seen in found:
            if seen.topic not in self._used and not seen.count:
                self._used.add(seen.topic)
                self._todo('  ', f'{seen.topic} ({seen.type}) sent no image')

    def _vectors(self) -> None:
        found: list[tuple[Observed, list[str]]] = []
        for seen in self._survey.of_type(*VECTOR_FIELDS, *ARRAYS):
            if seen.topic in self._used or not seen.count:
                continue
            if COMMANDED.search(seen.topic) or seen.topic.endswith('cmd_vel'):
                told = relative_topic(seen.topic, self._namespace)
                self._remark('', f'not used: {told} ({seen.type}), which looks like commands')
                continue
            fields = list(VECTOR_FIELDS.get(seen.type, ()))
            if seen.type in ARRAYS:
                if not seen.length:
                    continue
                fields = [f'data[{seen.length}]']
            found.append((seen, fields))
        if not found:
            return
        self._lines.append('vectors:')
        taken: set[str] = set()
        for seen, fields in found:
            name = _free(_word(relative_topic(seen.topic, self._namespace).split('/')[-1]), taken)
            if name in taken:
                name = _free(_word(relative_topic(seen.topic, self._namespace)), taken)
            taken.add(name)
            self._lines.append(f'  {name}:')
            self._about = name
            self._say(
                f'    topic: {self._topic(seen)}', f'heard at {seen.rate_hz:.1f} Hz{_by(seen)}'
            )
            self._lines.append(f'    type: {seen.type}')
            listed = ', '.join(map(_quoted, fields))
            self._say(f'    fields: [{listed}]', 'the numbers of this type')
            self._stamps('    ', seen)

    def _home(self, states: list[_State]) -> None:
        values = [
            _short((state.seen.joints[name].low + state.seen.joints[name].high) / 2)
            for state in states
            for name in state.theirs
        ]
        values += [0.0] * len(mobile_base.NAMES) if self._base else []
        if values:
            self._lines.append(f'# home: {values}  # in the middle of where it was seen')


def draft_spec(
    name: str,
    survey: Survey,
    urdf: dict[str, UrdfJoint],
    *,
    where: str = 'the URDF',
    namespace: str = '',
) -> Draft:
    """Write a first spec.

    Args:
        name: of the robot.
        survey: what was heard.
        urdf: its joints that move; {} without one. `where` names it.
        namespace: topics in it become relative to it.
    """
    return _Drafting(name, survey, urdf, where, namespace).write()


def _quoted(text: str) -> str:
    """A word as YAML has it."""
    plain = re.fullmatch(r'[A-Za-z_][\w.\-]*', text) and text.lower() not in {
        'true', 'false', 'yes', 'no', 'on', 'off', 'null', 'y', 'n',
    }  # fmt: skip
    return text if plain else json.dumps(text, ensure_ascii=False)


def _short(value: float) -> float:
    return float(f'{value:.5g}')


def _round_rate(rate_hz: float) -> float:
    nearest = min(USUAL_RATES_HZ, key=lambda usual: abs(rate_hz / usual - 1))
    return nearest if abs(rate_hz / nearest - 1) < 0.06 else float(f'{rate_hz:.3g}')


def _by(seen: Observed) -> str:
    nodes = sorted({each.node for each in seen.publishers if each.node})
    return f', from {" and ".join(nodes)}' if nodes else ''


def _listened(seen: Observed) -> str:
    nodes = sorted({each.node for each in seen.listeners if each.node})
    return f', heard by {" and ".join(nodes)}' if nodes else ''


def _why_command(seen: Observed, live: bool) -> str:
    if not live:
        return f'{seen.count} commands are in the bag'
    return f'by its type and name{_listened(seen)}'


def _group(topic: str) -> str:
    """What sets one arm's topics apart: their namespace, without what all leaders have."""
    last = ''.join(topic.strip('/').split('/')[:-1][-1:])
    role = r'(leader|follower|master|puppet)s?_?|_?(leader|follower|master|puppet)s?'
    return _word(re.sub(role, '', last) or last) if last else 'arm'


def _group_of_command(seen: Observed) -> str:
    """The namespace of the controller that a command topic belongs to."""
    return seen.topic.rpartition('/')[0].rpartition('/')[0]


def _is_other_arm(one: Observed, other: Observed) -> bool:
    """Whether two topics with joints of one name are of two arms, rather than one a copy."""
    groups = {_group(one.topic), _group(other.topic)}
    if any('left' in group for group in groups) and any('right' in group for group in groups):
        return True
    return any(
        one.joints[name].low > other.joints[name].high
        or other.joints[name].low > one.joints[name].high
        for name in set(one.joints) & set(other.joints)
    )


def _closest(seen: Observed, states: Iterable[_State]) -> _State | None:
    """The state topic whose group a topic belongs to; the only one where there is one."""
    found = list(states)
    if len(found) == 1:
        return found[0]
    same = [
        state for state in found if _group(state.seen.topic) in seen.topic.strip('/').split('/')[0]
    ]
    return same[0] if len(same) == 1 else None


def _word(text: str) -> str:
    word = re.sub(r'\W+', '_', text).strip('_')
    return word if re.match(r'[A-Za-z_]', word) else f'_{word}'


def _image_names(bases: list[str]) -> dict[str, str]:
    """A name for each camera: the last part of its topic that says something."""
    names: dict[str, str] = {}
    taken: set[str] = {'state', 'leader'}
    for base in bases:
        parts = [_word(part) for part in base.strip('/').split('/') if part not in PLAIN]
        parts = [part for part in parts if part != 'camera'] or parts[:1]
        name = parts[-1] if parts else 'camera'
        if name in taken and len(parts) > 1:
            name = '_'.join(parts)
        names[base] = _free(name, taken)
        taken.add(names[base])
    return names


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken or re.fullmatch(r'(state|leader)(_\d+)?', free):
        free, number = f'{name}_{number}', number + 1
    return free
