// Copyright 2026 The motion_policy Authors
// SPDX-License-Identifier: Apache-2.0
// Keys and buttons that move the tool, while a dead-man key is held.
// The server sends ticks; each is answered while the key is held. It decides what counts as held.

const FIELDS = 6;
const FINE = 0.25;
// By key: axis of `shares` while F is held, and its sign. R turns: forward is pitch, aside is yaw.
const DIRECTIONS = {
  KeyI: [0, 1], KeyK: [0, -1], KeyJ: [1, 1], KeyL: [1, -1], KeyU: [2, 1], KeyO: [2, -1],
  ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [1, 1], ArrowRight: [1, -1],
  PageUp: [2, 1], PageDown: [2, -1],
};
const TURNS = [4, 5, 3];
const HOLDS = {KeyF: 'move', KeyR: 'turn'};

export class Motion {
  /** `send` gets what is to be sent, `changed` is called when what is held changes. */
  constructor(send, changed) {
    this.send = send;
    this.changed = changed;
    this.press = 0;
    this.held = new Map();      // what is held down: key code or pointer, and 'move' or 'turn'
    this.directions = new Map();
    this.fine = false;
    this.reach = 0.4;
  }

  get mode() {
    return [...this.held.values()].at(-1) || '';
  }

  /** Whether a key is one of motion; only one that is pressed anew, no `repeat`, does something. */
  keyDown(code, repeat) {
    const known = code === 'KeyA' || code in HOLDS || code in DIRECTIONS;
    if (!known || repeat) return known;
    if (code === 'KeyA') this.fine = true;
    else if (code in HOLDS) this.hold(code, HOLDS[code]);
    else this.directions.set(code, DIRECTIONS[code]);
    return true;
  }

  keyUp(code) {
    if (code === 'KeyA') this.fine = false;
    this.letGo(code);
    this.directions.delete(code);
  }

  hold(what, mode) {
    if (this.held.has(what)) return;
    if (!this.held.size) this.press += 1;
    this.held.set(what, mode);
    this.changed();
  }

  letGo(what) {
    if (!this.held.delete(what)) return;
    if (!this.held.size) this.send({do: 'release'});
    this.changed();
  }

  /** Everything counts as let go. */
  releaseAll() {
    const was = this.held.size;
    this.held.clear();
    this.directions.clear();
    this.fine = false;
    if (was) this.send({do: 'release'});
    this.changed();
  }

  /** A tick of the server came. */
  tick(number) {
    if (!this.held.size) return;
    this.send({do: 'hold', press: this.press, echo: number, shares: this.shares()});
  }

  shares() {
    const shares = new Array(FIELDS).fill(0);
    const share = this.reach * (this.fine ? FINE : 1);
    for (const [axis, sign] of this.directions.values()) {
      const place = this.mode === 'turn' ? TURNS[axis] : axis;
      shares[place] = Math.max(-1, Math.min(1, shares[place] + sign * share));
    }
    return shares;
  }
}
