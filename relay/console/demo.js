// The demo page: plays the protected stream with the chosen player and shows what happens around it.
// Counters for the browser tests stand in `window.__demo`.

import { attach, openSession } from './segmentgate.js';
import { FORMATS, PLAYERS } from './players.js';
import { watchPicture } from './picture.js';
import { showPeriods } from './periods.js';
import { watchTraffic } from './traffic.js';

const $ = (id) => document.getElementById(id);
const video = $('video');

/** What this playback has seen so far. */
const demo = {
  player: null,
  format: null,
  state: 'loading',
  session: null,
  manifestUrl: null,
  stalls: 0,
  stalledMs: 0,
  started: false,
  requests: 0,
  failedRequests: 0,
  failures: [],
  licenceRequests: 0,
  licencesAfterStart: 0,
  boundaries: 0,
  periods: [],
  revokedAt: null,
  acknowledgedAt: null,
  stoppedAt: null,
  lastFrameAt: null,
  error: null,
  get currentTime() {
    return video.currentTime;
  },
};
window.__demo = demo;

const HEADLINES = {
  loading: 'Loading',
  playing: 'Live, protected',
  revoked: 'Revoked',
  failed: 'Failed',
};

function setState(state, title = '', text = '') {
  demo.state = state;
  $('state').dataset.state = state;
  $('state').textContent = HEADLINES[state];
  $('curtain').hidden = !title;
  $('curtain-title').textContent = title;
  $('curtain-text').textContent = text;
  $('revoke').disabled = state !== 'playing';
}

function log(text, tone = '') {
  const line = document.createElement('li');
  const time = document.createElement('time');
  time.textContent = new Date().toLocaleTimeString([], { hour12: false });
  const what = document.createElement('span');
  what.className = tone;
  what.textContent = text;
  line.append(time, what);
  $('log').prepend(line);
  while ($('log').children.length > 200) $('log').lastChild.remove();
}

function fail(error) {
  if (demo.state === 'revoked') return;
  demo.error = String(error?.message ?? error);
  setState('failed', 'Playback failed', demo.error);
  log(demo.error, 'bad');
}

/** The player and format of the address bar, made to fit each other. */
function choice() {
  const wanted = new URLSearchParams(location.search);
  const player = PLAYERS[wanted.get('player')] ? wanted.get('player') : 'shaka';
  const { formats } = PLAYERS[player];
  const format = formats.includes(wanted.get('format')) ? wanted.get('format') : formats[0];
  return { player, format };
}

function offerChoices({ player, format }) {
  const go = (next) => location.assign(`?${new URLSearchParams(next)}`);
  for (const [name, { title }] of Object.entries(PLAYERS)) {
    $('players').append(radio('player', title, name === player, false, () => go({ player: name, format })));
  }
  for (const [name, title] of Object.entries(FORMATS)) {
    const impossible = !PLAYERS[player].formats.includes(name);
    $('formats').append(radio('format', title, name === format, impossible, () => go({ player, format: name })));
  }
}

function radio(group, title, checked, disabled, onchange) {
  const label = document.createElement('label');
  const input = Object.assign(document.createElement('input'), { type: 'radio', name: group, checked, disabled });
  const text = document.createElement('span');
  text.textContent = title;
  input.addEventListener('change', onchange);
  label.append(input, text);
  return label;
}

function show() {
  $('boundaries').textContent = demo.boundaries;
  $('licences').textContent = demo.licenceRequests;
  $('stalls').textContent = demo.stalls;
  $('stalls').className = demo.stalls ? 'bad' : '';
  $('failures').textContent = demo.failedRequests;
  $('failures').className = demo.failedRequests ? 'bad' : '';
  $('requests').textContent = demo.requests;
}

async function revoke() {
  $('revoke').disabled = true;
  demo.revokedAt = performance.now();
  log('Revoke pressed', 'bad');
  const response = await fetch('/demo/revoke', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ session_id: demo.session.session_id }),
  });
  const answer = await response.json();
  if (!answer.ok) return fail(new Error(`revoking failed: ${answer.error}`));
  demo.acknowledgedAt = performance.now();
  log(`The relay acknowledged in ${answer.ms} ms`);
}

/** The SDK has ended playback. A frame shown in the meantime would count: wait for a late one. */
function revoked({ reason }) {
  const endedAt = performance.now();
  setState('revoked', 'This viewer has been revoked', `Reason: ${reason}`);
  setTimeout(() => {
    demo.stoppedAt = Math.max(endedAt, demo.lastFrameAt ?? 0);
    if (demo.revokedAt === null) return log('Revoked by the operator', 'bad');
    const text = `The picture stopped ${Math.round(demo.stoppedAt - demo.revokedAt)} ms after the click`;
    $('curtain-text').textContent = text;
    log(text, 'bad');
  }, 300);
}

function tellPolicy({ scene, next, ceiling, rotation_ms: rotationMs }) {
  const keys = rotationMs ? `a new key every ${rotationMs / 1000} s` : 'no rotation';
  const found = scene ? `Scene “${scene.label}”, this viewer: up to ${scene.ceiling}` : 'No scene';
  const coming = next ? `; then “${next.label}”: up to ${next.ceiling}` : '';
  log(`${found}${coming}. Throughout: ${ceiling}, ${keys}`);
}

async function main() {
  const { player, format } = choice();
  Object.assign(demo, { player, format });
  offerChoices({ player, format });
  $('renew').addEventListener('click', () => location.reload());
  $('revoke').addEventListener('click', () => revoke().catch(fail));
  $('sound').addEventListener('click', () => {
    video.muted = !video.muted;
    $('sound').textContent = video.muted ? 'Sound on' : 'Sound off';
  });
  watchTraffic(demo, log);
  watchPicture(video, demo, log, () => setState('playing'));
  setInterval(show, 200);

  const answer = await fetch('/demo/session', { cache: 'no-store' });
  if (!answer.ok) throw new Error(`no session: ${answer.status}`);
  const session = await answer.json();
  demo.session = session;
  $('stream-id').textContent = session.stream_id;
  $('session-id').textContent = session.session_id;
  $('account-id').textContent = session.account_id;
  $('watermark-id').textContent = session.watermark_id ?? 'none';

  const opened = await openSession(session[format]);
  demo.manifestUrl = opened.manifestUrl;
  log('Token exchanged for a session');
  const { instance, load, playingDate } = await PLAYERS[player].create(video, opened.licenceUrl, fail);
  const periods = showPeriods({ video, demo, playingDate, intervalMs: session.rotation_ms ?? null, log });
  const guard = attach({
    video,
    player: instance,
    kind: player,
    base: opened.base,
    onkeys: (held) => periods.take(held),
    onrevoked: revoked,
    onpolicy: tellPolicy,
    onrefused: (error) => log(`The channel is closed: ${error.reason}`, 'bad'),
    onchannel: (state) => ($('channel').textContent = state),
    onerror: (error) => log(error.message, 'bad'),
  });
  demo.guard = guard;
  await load(opened.manifestUrl);
  await video.play();
}

main().catch(fail);
