// Copyright 2026 The motion_policy Authors
// SPDX-License-Identifier: Apache-2.0
// The page of the cockpit: shows what the server says, and sends what keys and buttons ask for.

import {Motion} from '/motion.js';

const at = (id) => document.getElementById(id);
const MEANING = {
  disabled: 'No commands are sent.',
  ramp: 'Slowly to the first target.',
  run: 'Follows what it is told.',
  hold: 'Brakes and stays.',
  brake: 'Brakes, then silence.',
};
const KEYS = {
  KeyE: 'enable', KeyD: 'disable', KeyH: 'home', Digit0: 'reset', KeyT: 'takeover:true',
  KeyB: 'takeover:false', KeyC: 'gripper:true', KeyV: 'gripper:false', Digit1: 'start',
  Digit2: 'stop', Digit3: 'discard', KeyY: 'mark_success', KeyN: 'mark_failure',
};
const RECORDER = ['start', 'stop', 'discard', 'mark_success', 'mark_failure'];
const HINT = matchMedia('(pointer: coarse)').matches
  ? 'hold a button below, and press a direction' : 'hold F to move, R to turn';
const SILENT_MS = 1500;
const RETRY_MS = 1000;
const STOP_MS = 4000;         // in which the cockpit tells what came of STOP

let socket = null;
let about = null;
let state = null;
let chosen = '';
let number = 0;
let heardMs = 0;
let speedWanted = null;
const images = new Map();       // by camera: canvas, when its newest image came

// ---- connection

function send(content) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(content));
}

function connect() {
  const name = encodeURIComponent(localStorage.getItem('name') || 'somebody');
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const mine = new WebSocket(`${scheme}://${location.host}/socket?name=${name}`);
  socket = mine;
  mine.binaryType = 'arraybuffer';
  mine.onopen = () => look();
  mine.onmessage = (event) => {
    heardMs = performance.now();
    document.body.classList.remove('lost');
    if (event.data instanceof ArrayBuffer) showImage(event.data);
    else take(JSON.parse(event.data));
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    motion.releaseAll();
    lose();
    setTimeout(connect, RETRY_MS);
    fetch('/motion.js').then((answer) => { if (answer.status === 401) location.assign('/login'); }, () => {});
  };
}

function lose() {
  document.body.classList.add('lost');
  state = null;
}

function take(message) {
  if (message.kind === 'tick') motion.tick(message.number);
  else if (message.kind === 'state') showState(message);
  else if (message.kind === 'round') send({do: 'seen', number: message.number});
  else if (message.kind === 'about') begin(message);
  else if (message.kind === 'answer') showAnswer(message.text, message.ok);
  else if (message.kind === 'lines') showLines(message.lines);
  else if (message.kind === 'stopped') showStopped(message);
  else if (message.kind === 'episodes') showEpisodes(message);
}

function look() {
  const there = document.visibilityState === 'visible';
  const first = document.querySelector('#cameras canvas');
  const width = first ? first.clientWidth * Math.min(2, devicePixelRatio) : 480;
  send({do: 'look', cameras: there ? [...images.keys()] : [], width: Math.round(width) || 480});
}

// ---- what is asked for

function stop() {
  send({do: 'stop'});
  const name = encodeURIComponent(localStorage.getItem('name') || 'somebody');
  const lost = 'STOP did not reach the cockpit: use the emergency stop of the arm';
  fetch(`/stop?name=${name}`, {method: 'POST'}).then(
    (answer) => { if (!answer.ok) showStopped({ok: false, text: lost}); },
    () => showStopped({ok: false, text: lost}),
  );
  clearTimeout(stop.timer);
  stop.timer = setTimeout(() => showStopped({ok: false, text: 'no answer: use the emergency stop of the arm'}), STOP_MS);
  motion.releaseAll();
  at('stop').classList.add('pressed');
  setTimeout(() => at('stop').classList.remove('pressed'), 400);
}

function command(what, value) {
  if (!about) return;
  const node = RECORDER.includes(what) ? about.recorder : chosen;
  number += 1;
  showAnswer(`${what} ...`, true);
  send({do: 'command', number, node, what, ...(value === undefined ? {} : {value})});
}

function changeSpeed(step) {
  const node = current();
  if (!node || node.speed == null) return;
  const before = speedWanted ?? node.speed;
  const wanted = Math.round(10 * Math.max(0.1, Math.min(1, before + step))) / 10;
  // What stands below the least step is not made faster by asking for slower.
  speedWanted = step < 0 ? Math.min(before, wanted) : wanted;
  command('speed', speedWanted);
  setTimeout(() => { speedWanted = null; }, 2000);
}

const asked = (button) => [button.dataset.what, 'value' in button.dataset ? button.dataset.value === 'true' : undefined];

function press(text) {
  const [what, value] = text.split(':');
  const wanted = [...document.querySelectorAll(`button[data-what="${what}"]`)]
    .find((button) => value === undefined || button.dataset.value === value);
  if (wanted && !wanted.disabled && !wanted.hidden && wanted.offsetParent) wanted.click();
}

// ---- what is shown

function begin(message) {
  about = message;
  at('robot').textContent = about.robot;
  document.title = `${about.robot} · cockpit`;
  const cameras = at('cameras');
  cameras.replaceChildren();
  images.clear();
  for (const camera of about.cameras) {
    const figure = element('figure', '');
    const canvas = element('canvas', '');
    canvas.width = camera.width;
    canvas.height = camera.height;
    figure.append(canvas, element('figcaption', '', camera.name), element('p', 'silent', 'no image yet'));
    cameras.append(figure);
    images.set(camera.name, {canvas, figure, atMs: -1e9});
  }
  cameras.dataset.count = about.cameras.length;
  at('joints').querySelector('.rows').replaceChildren(...about.joints.map((joint) => {
    const row = element('div', 'row');
    const track = element('div', 'track');
    track.append(element('i', 'zero'), element('i', 'mark sent'), element('i', 'mark is'));
    row.append(element('span', 'label', joint.name), track, element('output', ''));
    place(track.querySelector('.zero'), joint, 0);
    return row;
  }));
  at('motion').hidden = !about.teleop;
  at('grip').hidden = !(about.teleop && about.teleop.gripper);
  look();
}

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

function place(mark, joint, value) {
  const share = (value - joint.low) / (joint.high - joint.low);
  mark.hidden = value == null || (mark.classList.contains('zero') && (share < 0 || share > 1));
  mark.style.left = `${100 * Math.max(0, Math.min(1, share))}%`;
  return share;
}

function showImage(data) {
  const camera = about && about.cameras[new Uint8Array(data, 0, 1)[0]];
  const image = camera && images.get(camera.name);
  if (!image) return;
  createImageBitmap(new Blob([new Uint8Array(data, 1)], {type: 'image/jpeg'})).then((bitmap) => {
    const {canvas} = image;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    bitmap.close();
    image.atMs = performance.now();
  }, () => {});
}

function current() {
  return state && state.nodes.find((node) => node.name === chosen);
}

function showState(message) {
  state = message;
  const {nodes} = message;
  if (!nodes.some((node) => node.name === chosen)) {
    const best = nodes.find((node) => node.state && node.state !== 'disabled') || nodes[0];
    chosen = best ? best.name : '';
  }
  showSeat(message);
  showNodes(nodes);
  showJoints(message.joints);
  showStreams(message.streams);
  showRecorder(message.record);
  const held = at('held');
  held.textContent = message.moves ? 'the dead-man key is held' : message.let_go || HINT;
  held.classList.toggle('bad', !message.moves && Boolean(message.let_go));
  at('motion').classList.toggle('moves', message.moves);
}

function showSeat({driver, yours, watching}) {
  const others = watching > 1 ? ` · ${watching} watch` : '';
  at('driver').textContent = (yours ? 'you drive' : driver ? `${driver} drives` : 'nobody drives') + others;
  const seat = at('seat');
  seat.textContent = yours ? 'Leave' : 'Drive';
  seat.disabled = Boolean(driver) && !yours;
  document.body.classList.toggle('yours', yours);
}

function showNodes(nodes) {
  const list = at('nodes');
  if (list.dataset.names !== nodes.map((node) => node.name).join()) {
    list.dataset.names = nodes.map((node) => node.name).join();
    list.replaceChildren(...nodes.map((node) => {
      const button = element('button', 'plain', node.name);
      button.type = 'button';
      button.setAttribute('role', 'radio');
      button.addEventListener('click', () => { chosen = node.name; });
      return button;
    }));
  }
  for (const button of list.children) button.setAttribute('aria-checked', button.textContent === chosen);
  const node = current();
  const silent = node && node.age != null && node.age > 3;
  const word = !node ? 'no node' : silent ? 'silent' : node.state || 'unknown';
  at('word').textContent = word;
  at('state').dataset.level = !node || silent ? 'fail' : node.level;
  at('state').dataset.state = word;
  at('meaning').textContent = !node ? 'No node that drives is there.'
    : silent ? `Nothing was heard of ${node.name} for ${node.age.toFixed(0)} s.` : MEANING[word] || '';
  const drives = node && !silent && node.drives && node.drives !== 'nobody' ? node.drives : '';
  at('drives').hidden = !drives;
  at('drives').textContent = drives;
  at('drives').classList.toggle('person', drives === 'a person');
  const reason = node && !silent ? node.reason : '';
  at('reason').hidden = !reason;
  at('reason').textContent = reason;
  const told = node && node.told && !silent ? [...node.told, numbers(node)].filter(Boolean) : [];
  at('told').replaceChildren(...told.map((line) => element('li', '', line)));
  const serves = node ? node.serves : [];
  const yours = state.yours;
  for (const button of document.querySelectorAll('#commands button, #grip button')) {
    const {what} = button.dataset;
    const there = serves.includes(what === 'disable' ? 'enable' : what);
    button.disabled = !yours || !there;
    if (what === 'takeover') {
      button.hidden = !there || !node.drives;
      button.disabled ||= node.drives !== (button.dataset.value === 'true' ? 'the policy' : 'a person');
    }
    if (what === 'enable') button.classList.toggle('go', word === 'disabled');
  }
  const speed = node && node.speed != null ? speedWanted ?? node.speed : null;
  at('speed').textContent = speed == null ? '–' : `${Math.round(100 * speed)} %`;
  at('speed-bar').style.width = `${100 * (speed || 0)}%`;
  at('slower').disabled = at('faster').disabled = !yours || speed == null || !serves.includes('speed');
}

function numbers(node) {
  const shown = [
    ['tick rate [Hz]', (value) => `${Number(value).toFixed(0)} Hz`],
    ['tick lateness p95 [ms]', (value) => `${Number(value).toFixed(1)} ms late`],
    ['missed ticks', (value) => `${value} missed`],
    ['plan ahead [ms]', (value) => (Number(value) > 0 ? `plan ${(value / 1000).toFixed(1)} s` : '')],
  ];
  return shown.filter(([key]) => key in node.numbers).map(([key, say]) => say(node.numbers[key])).filter(Boolean).join(' · ');
}

function showJoints({position, commanded}) {
  const rows = at('joints').querySelector('.rows').children;
  about && about.joints.forEach((joint, index) => {
    const row = rows[index];
    const share = place(row.querySelector('.is'), joint, position[index]);
    place(row.querySelector('.sent'), joint, commanded[index]);
    const near = position[index] != null && (share < 0.02 || share > 0.98);
    row.classList.toggle('near', near);
    row.classList.toggle('unknown', position[index] == null);
    row.querySelector('output').textContent = position[index] == null ? 'unknown' : position[index].toFixed(3);
  });
}

function showStreams(streams) {
  const rows = at('streams').querySelector('.rows');
  const names = streams.map((stream) => stream.name).join();
  if (rows.dataset.names !== names) {
    rows.dataset.names = names;
    rows.replaceChildren(...streams.map((stream) => {
      const row = element('div', 'row');
      const track = element('div', 'track');
      track.append(element('i', 'fill'));
      row.append(element('span', 'label', stream.name), track, element('output', ''), element('p', 'fault'));
      return row;
    }));
  }
  streams.forEach((stream, index) => {
    const row = rows.children[index];
    const share = stream.age == null || !stream.limit ? 1 : stream.age / stream.limit;
    row.querySelector('.fill').style.width = `${100 * Math.min(1, Math.max(0.01, share))}%`;
    row.dataset.level = stream.fault || share >= 1 ? 'fail' : share > 0.7 ? 'warn' : 'ok';
    const age = stream.age == null ? '–' : `${stream.age.toFixed(0)} ms`;
    const rate = stream.rate == null ? '' : ` · ${stream.rate.toFixed(stream.rate < 10 ? 1 : 0)} Hz`;
    row.querySelector('output').textContent = age + rate;
    row.querySelector('.fault').textContent = stream.fault;
    const image = images.get(stream.name);
    if (image) image.fault = stream.fault;
  });
}

function showRecorder(record) {
  at('record').hidden = !record;
  if (!record) return;
  const running = record.state === 'recording';
  at('recording').textContent = running ? `recording ${record.seconds.toFixed(1)} s` : record.state;
  at('recording').className = running ? 'on' : '';
  const last = record.last_file ? `last: ${record.last_file}${record.last_quality ? ` (${record.last_quality})` : ''}` : '';
  const lines = [record.level === 'ok' ? last : record.line, ...(record.faults || []), record.last_verdicts];
  at('record-line').textContent = lines.filter(Boolean).join(' · ') || record.line;
  at('record-line').classList.toggle('bad', record.level === 'fail' || record.level === 'warn');
  for (const button of at('record').querySelectorAll('button')) {
    const {what} = button.dataset;
    const fits = what === 'start' ? !running : what === 'stop' ? running : running || Boolean(record.last_file);
    button.disabled = !state.yours || !record.serves.includes(what) || !fits;
  }
}

function showEpisodes({rows, there}) {
  at('set').hidden = !there;
  const good = rows.filter((row) => row.success === true).length;
  const bad = rows.filter((row) => row.success === false).length;
  at('count').textContent = `${rows.length} · ${good} success · ${bad} failure`;
  at('set').querySelector('tbody').replaceChildren(...rows.map((row) => {
    const line = element('tr', '');
    if (row.problem) {
      const problem = element('td', 'bad', row.problem);
      problem.colSpan = 4;
      line.append(element('td', '', row.name), problem);
      return line;
    }
    const verdict = row.success === true ? 'success' : row.success === false ? 'failure' : 'not judged';
    const quality = element('td', '');
    if (row.quality) quality.append(element('span', `badge ${row.quality}`, row.quality));
    line.append(
      element('td', '', row.name), element('td', 'task', row.task),
      element('td', 'number', `${row.seconds.toFixed(1)} s`),
      element('td', `verdict ${verdict.replace(' ', '-')}`, verdict), quality,
    );
    return line;
  }));
}

function showLines(lines) {
  const list = at('log').querySelector('ol');
  for (const line of lines) {
    const item = element('li', line.ok ? '' : 'bad');
    item.append(element('time', '', line.time), element('b', '', line.who), document.createTextNode(line.text));
    list.prepend(item);
  }
  while (list.children.length > 30) list.lastChild.remove();
}

function showAnswer(text, ok) {
  at('answer').textContent = text;
  at('answer').className = ok ? '' : 'bad';
}

function showStopped({ok, text}) {
  clearTimeout(stop.timer);
  const line = at('stopped');
  line.hidden = false;
  line.className = ok ? 'good' : 'bad';
  line.textContent = `STOP: ${text}`;
  clearTimeout(showStopped.timer);
  showStopped.timer = setTimeout(() => { line.hidden = true; }, ok ? 4000 : 20000);
}

// ---- keys, buttons, and what counts as letting go

const motion = new Motion(send, () => {
  at('hold-move').classList.toggle('held', motion.mode === 'move');
  at('hold-turn').classList.toggle('held', motion.mode === 'turn');
});

addEventListener('keydown', (event) => {
  if (event.code === 'Space' || event.code === 'Escape') {
    if (event.code === 'Space' && event.target === at('name')) return;
    event.preventDefault();
    if (!event.repeat) stop();
    return;
  }
  if (event.target === at('name') || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!state || !state.yours) return;
  // A key that repeats by itself was pressed before, and may have counted as released since.
  if (about.teleop && motion.keyDown(event.code, event.repeat)) event.preventDefault();
  else if (event.repeat) return;
  else if (event.key === '-') at('slower').click();
  else if (event.key === '+') at('faster').click();
  else if (event.code in KEYS) { event.preventDefault(); press(KEYS[event.code]); }
}, true);
addEventListener('keyup', (event) => motion.keyUp(event.code), true);
addEventListener('blur', () => motion.releaseAll());
addEventListener('pagehide', () => motion.releaseAll());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') motion.releaseAll();
  look();
});

at('stop').addEventListener('pointerdown', stop);
at('stop').addEventListener('click', (event) => { if (event.detail === 0) stop(); });  // by the keyboard
at('seat').addEventListener('click', () => {
  send({do: 'seat', take: !(state && state.yours)});
  at('seat').blur();
});
for (const button of document.querySelectorAll('button[data-what]')) {
  button.addEventListener('click', () => { command(...asked(button)); button.blur(); });
}
at('slower').addEventListener('click', () => changeSpeed(-0.1));
at('faster').addEventListener('click', () => changeSpeed(0.1));
for (const [id, mode] of [['hold-move', 'move'], ['hold-turn', 'turn']]) {
  onHold(at(id), () => motion.hold(id, mode), () => motion.letGo(id));
}
for (const button of document.querySelectorAll('.pad [data-axis]')) {
  const direction = [Number(button.dataset.axis), Number(button.dataset.sign)];
  onHold(button, () => motion.directions.set(button, direction), () => motion.directions.delete(button));
}

function onHold(button, begin_, end) {
  button.addEventListener('pointerdown', (event) => {
    if (!state || !state.yours) return;
    event.preventDefault();
    button.setPointerCapture(event.pointerId);
    begin_();
  });
  for (const kind of ['pointerup', 'pointercancel', 'lostpointercapture']) button.addEventListener(kind, end);
  button.addEventListener('contextmenu', (event) => event.preventDefault());
}

at('reach').addEventListener('input', showReach);
at('reach').addEventListener('change', () => at('reach').blur());
function showReach() {
  motion.reach = at('reach').value / 100;
  at('reach-told').textContent = `${at('reach').value} %`;
}

at('name').value = localStorage.getItem('name') || '';
at('name').addEventListener('change', () => {
  localStorage.setItem('name', at('name').value);
  socket.close();  // the next connection has the new name
});
const themes = ['', 'dark', 'light'];
document.documentElement.dataset.theme = localStorage.getItem('theme') || '';
at('theme').addEventListener('click', () => {
  const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length];
  document.documentElement.dataset.theme = next;
  localStorage.setItem('theme', next);
  at('theme').blur();
});

setInterval(() => {
  const nowMs = performance.now();
  send({do: 'alive'});
  if (nowMs - heardMs > SILENT_MS) { lose(); motion.releaseAll(); }
  for (const image of images.values()) {
    const age = (nowMs - image.atMs) / 1000;
    const words = image.fault || (age > 1e5 ? 'no image yet' : `no image for ${age.toFixed(0)} s`);
    image.figure.classList.toggle('stale', age > 1 || Boolean(image.fault));
    image.figure.querySelector('.silent').textContent = words;
  }
}, 500);
addEventListener('resize', () => { clearTimeout(look.timer); look.timer = setTimeout(look, 300); });
showReach();
connect();
