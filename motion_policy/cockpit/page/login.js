// Copyright 2026 The motion_policy Authors
// SPDX-License-Identifier: Apache-2.0
// Sends the token once; the cookie that comes back is out of reach of any script.

const field = (id) => document.getElementById(id);

field('name').value = localStorage.getItem('name') || '';
document.documentElement.dataset.theme = localStorage.getItem('theme') || '';

document.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  localStorage.setItem('name', field('name').value);
  try {
    const token = field('token').value;
    const answer = await fetch('/login', {method: 'POST', body: JSON.stringify({token})});
    if (answer.ok) {
      location.assign('/');
      return;
    }
    field('answer').textContent = await answer.text();
  } catch {
    field('answer').textContent = 'no connection';
  }
  field('token').select();
});
