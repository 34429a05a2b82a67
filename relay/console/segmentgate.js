/**
 * The Segmentgate player SDK: what a web player does not do by itself.
 *
 * It hands the keys of coming crypto periods to the browser's CDM before they are needed, so that a key
 * rotation costs no licence request, and it ends playback at once when the session is revoked. It uses
 * web standards alone (EME, WebCrypto, streams) and works beside Shaka Player, hls.js and dash.js.
 *
 *     import { attach, hlsConfig, openSession } from './segmentgate.js';
 *
 *     const session = await openSession(entryUrl, { onlimit: ({ sessions }) => askWhichToEnd(sessions) });
 *     const player = new Hls(hlsConfig({ licence: session.licenceUrl }));
 *     attach({ video, player, kind: 'hls', base: session.base, onrevoked: ({ reason }) => showGoodbye(reason) });
 *     player.loadSource(session.manifestUrl);
 *     player.attachMedia(video);
 *
 * Keys come three ways, and the first to bring them is enough: pushed by the session's event channel, sealed in
 * a header of the manifests and segments that the player loads anyway, and, when neither has, by a request. So
 * a proxy that holds back or breaks event streams costs nothing but the instant stop: attach before loading.
 *
 * @module segmentgate
 */

import { CAP, REFRESH, UNLOAD, WATCH_HEADERS, isFinal, utf8 } from './sdk-players.js';

export { dashConfig, hlsConfig, shakaConfig } from './sdk-players.js';

/** Past its due time by this, a push counts as lost and the keys are fetched. */
const PUSH_GRACE_MS = 1000;
/** Least wait before keys are fetched: it doubles with every fetch in a row that brings nothing new. */
const FETCH_MS = { first: 2000, most: 30_000 };
const RECONNECT_MS = { first: 500, most: 30_000 };
/** A browser fires timers beyond this at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Keys stay in the CDM for this much stream time after the playable window has moved past their period. */
const RETIRE_MARGIN_MS = 30_000;
/** No player announces that it has set `video.mediaKeys`. */
const MEDIA_KEYS_POLL_MS = 25;
/** A channel this long without even a heartbeat is dead: three of them are missing. */
const SILENCE_MS = 50_000;
const NEXT_KEYS_LABEL = 'segmentgate/1 next keys';

/** By track type, as the relay counts them. */
const MOST_PIXELS = { audio: 0, sd: 768 * 576, hd: 1920 * 1088 };

/** The relay's URLs of a session: /p/{pass}/{stream}/{class}/… */
const SESSION_PATH = /^\/p\/([^/]+\/[^/]+\/[^/]+)\//;

/**
 * The relay said no for good. `reason` is its reason code, `revoked` or another; `status` is null where
 * the event channel told it.
 */
export class RefusedError extends Error {
  constructor(reason, status = null) {
    super(`refused: ${reason}`);
    this.name = 'RefusedError';
    this.reason = reason;
    this.status = status;
  }
}

/**
 * Exchange an entry URL, which carries the token, for the session's own URLs.
 *
 * @param {string} entryUrl
 * @param {object} [options]
 * @param {(limit: {sessions: {session: string, device: string, stream: string, since: number}[]}) =>
 *   (string|null|Promise<string|null>)} [options.onlimit]
 *   the viewer has too many streams; the `session` of one of them, if given back, is ended for this one
 * @returns {Promise<{manifestUrl: string, licenceUrl: string, base: string}>} what to give the player and its
 *   configuration, and what to give {@link attach}; none of them needs the token any more
 * @throws {RefusedError} if the relay says no for good
 */
export async function openSession(entryUrl, { onlimit } = {}) {
  const response = await fetch(entryUrl);
  if (response.status === 409 && onlimit) {
    const ended = await onlimit(await response.json().catch(() => ({ sessions: [] })));
    if (ended) return openSession(withQuery(entryUrl, 'terminate', ended), { onlimit });
  } else {
    await response.body?.cancel();
  }
  throwIfRefused(response);
  if (!response.ok) throw new Error(`entry answered ${response.status}`);
  const { origin, pathname } = new URL(response.url);
  const session = SESSION_PATH.exec(pathname)?.[1];
  if (!session) throw new Error(`no session: the entry led to ${origin}${pathname}`);
  return {
    manifestUrl: response.url,
    licenceUrl: `${origin}/api/v1/drm/license?session=${session}`,
    base: new URL('.', response.url).href,
  };
}

/**
 * A scene as this session has it. `ceiling` is the best track type it gets there; times are ms of stream time, which
 * for a live stream with dates is the time since the epoch of the moment shown.
 *
 * @typedef {{label: string, starts_at: number, ends_at: number|null, ceiling: string}} Scene
 */

/**
 * What holds for a session at the live edge, at `stream_now`. `ceiling` is the best track type that it may have in all
 * scenes in the window and to come. The SDK keeps Shaka Player and hls.js at that, before a scene would stall them; with
 * dash.js, which bears no such change, a page opens the session anew once the ceiling falls below what it plays. `reload`
 * says that the manifests are others than before; the SDK has dash.js load them again.
 *
 * @typedef {{stream: string, ceiling: string, reload: boolean, rotation_ms: number, pre_delivery_ms: number,
 *   limit: object|null, stream_now: number, scene: Scene|null, next: Scene|null}} Policy
 */

/**
 * Watch over one playback: listen on the session's event channel, feed the CDM, obey a revocation.
 *
 * @param {object} options
 * @param {HTMLVideoElement} options.video
 * @param {object} options.player the player that plays on `video`
 * @param {'shaka'|'hls'|'dash'} options.kind what `player` is
 * @param {string} options.base the folder of the session's manifest, from {@link openSession}
 * @param {(held: {kids: string[], dropped: string[], push: object}) => void} [options.onkeys]
 *   keys are in the CDM, and others have left it
 * @param {(end: {reason: string}) => void} [options.onrevoked] playback has been ended
 * @param {(error: RefusedError) => void} [options.onrefused] the session is over for another reason
 * @param {(policy: Policy) => void} [options.onpolicy] the stream's configuration or policy has changed or, where
 *   there are scenes, another one is near. A page may show what holds now and what comes next; it need not act, for
 *   the SDK and the player do
 * @param {(state: 'open'|'lost'|'closed') => void} [options.onchannel]
 * @param {(error: Error) => void} [options.onerror] something failed that will be tried again
 * @returns {Guard}
 */
export function attach(options) {
  return new Guard(options);
}

/** What {@link attach} returns. */
export class Guard {
  #options;
  #channel = null;
  #lastEventId = '';
  #retryMs = RECONNECT_MS.first;
  #timers = new Map();
  #attempts = 0;
  /** Fetches in a row that brought no newer period than `#newest`. */
  #vain = 0;
  #newest = -Infinity;
  #done = false;
  /** Promise of what opens the sealed keys in headers. */
  #channelKey = null;
  #unsealing = '';
  #unwatch;
  /** Pushes are handed over one after the other. */
  #queue = Promise.resolve();
  /** SDK-owned sessions: `{session, mediaKeys, kids, period}`, `period` being that of the newest key in it. */
  #held = [];

  constructor(options) {
    this.#options = options;
    this.#unwatch = WATCH_HEADERS[options.kind](options.player, (sealed) => sealed && this.#unseal(sealed));
    this.#connect();
    this.#expectPush(0);
  }

  /** Key IDs (base64url) that the SDK has in the CDM. */
  get kids() {
    return this.#held.flatMap((entry) => entry.kids);
  }

  /** Stop watching and take the SDK's keys out of the CDM; the player goes on with its own. */
  async close() {
    this.#finish();
    await this.#closeSessions(this.#held.splice(0));
  }

  #finish() {
    this.#done = true;
    this.#unwatch();
    this.#channel?.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#options.onchannel?.('closed');
  }

  /**
   * Listen until the channel breaks, then come back for what was missed. An EventSource would not tell why it
   * was refused, nor ever notice a connection that has silently died.
   */
  async #connect() {
    this.#channel = new AbortController();
    const { signal } = this.#channel;
    const events = `${this.#options.base}events`;
    const url = this.#lastEventId ? withQuery(events, 'last_event_id', this.#lastEventId) : events;
    let openedAt = Infinity;
    try {
      this.#expectSound();
      const response = await fetch(url, { cache: 'no-store', signal });
      throwIfRefused(response);
      if (!response.ok) throw new Error(`events answered ${response.status}`);
      openedAt = performance.now();
      this.#options.onchannel?.('open');
      for await (const event of serverEvents(response.body, () => this.#expectSound())) this.#hear(event);
    } catch (error) {
      if (error instanceof RefusedError) this.#failed(error);
    }
    this.#lost(performance.now() - openedAt);
  }

  #expectSound() {
    this.#later('silence', SILENCE_MS, () => this.#channel.abort());
  }

  #hear({ event, data, id, retry }) {
    if (this.#done) return;
    if (retry) this.#retryMs = Math.min(Number(retry) || RECONNECT_MS.first, RECONNECT_MS.most);
    if (id) this.#lastEventId = id;
    if (event === 'keys') this.#take(JSON.parse(data));
    if (event === 'policy') {
      const policy = JSON.parse(data);
      this.#options.onpolicy?.(policy);
      CAP[this.#options.kind]?.(this.#options.player, MOST_PIXELS[policy.ceiling] ?? Infinity);
      if (policy.reload) REFRESH[this.#options.kind]?.(this.#options.player);
    }
    if (event === 'revoked') this.#end(JSON.parse(data).reason);
    if (event === 'ended') this.#failed(new RefusedError(JSON.parse(data).reason));
  }

  #lost(livedMs) {
    if (this.#done) return;
    this.#never('silence');
    this.#options.onchannel?.('lost');
    // One that breaks soon after it opened counts as a failed attempt.
    if (livedMs > RECONNECT_MS.most) this.#attempts = 0;
    const wait = Math.min(RECONNECT_MS.most, this.#retryMs * 2 ** this.#attempts++);
    this.#later('connect', wait * (0.5 + Math.random() / 2), () => this.#connect());
  }

  async #fetchKeys() {
    try {
      const response = await fetch(`${this.#options.base}keys`, { cache: 'no-store' });
      throwIfRefused(response);
      if (!response.ok) throw new Error(`keys answered ${response.status}`);
      this.#take(await response.json());
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A response brought the next keys, sealed for this session: version, period, nonce, ciphertext. */
  async #unseal(text) {
    if (this.#done || !this.#channelKey || text === this.#unsealing) return;
    this.#unsealing = text;
    try {
      const sealed = fromBase64url(text);
      // The newest period may come again: an emergency rotation replaces its key.
      if (sealed[0] !== 1 || new DataView(sealed.buffer).getBigUint64(1) < this.#newest) return;
      const stream = decodeURIComponent(new URL(this.#options.base).pathname.split('/').at(-3));
      const additionalData = fields(utf8(NEXT_KEYS_LABEL), utf8(stream), sealed.subarray(1, 9));
      const how = { name: 'AES-GCM', iv: sealed.subarray(9, 21), additionalData };
      const keys = await crypto.subtle.decrypt(how, await this.#channelKey, sealed.subarray(21));
      this.#take(JSON.parse(new TextDecoder().decode(keys)));
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error) {
    if (this.#done) return;
    if (!(error instanceof RefusedError)) {
      this.#options.onerror?.(error);
    } else if (error.reason === 'revoked') {
      this.#end(error.reason);
    } else {
      this.#finish();
      this.#options.onrefused?.(error);
    }
  }

  /** A push arrived: give its keys to the CDM, and see to it that the next one comes. */
  #take(push) {
    if (this.#done) return;
    if (push.channel_key) {
      this.#channelKey = crypto.subtle?.importKey('jwk', push.channel_key, 'AES-GCM', false, ['decrypt']);
    }
    this.#queue = this.#queue.then(() => this.#handOver(push)).catch((error) => this.#failed(error));
    if (push.period > this.#newest) {
      this.#newest = push.period;
      this.#vain = 0;
    }
    // Both times are of the relay's clock, so this machine's does not matter. After the last key none is due.
    if (push.next_at === null) this.#never('push');
    else this.#expectPush(push.next_at - push.now + PUSH_GRACE_MS);
  }

  /**
   * Fetch the keys in `dueMs`, and again from then on, ever more slowly, unless a push arrives. The least
   * wait holds where `dueMs` is in the past or no number.
   */
  #expectPush(dueMs) {
    const least = Math.min(FETCH_MS.most, FETCH_MS.first * 2 ** this.#vain);
    this.#later('push', Math.max(least, dueMs || 0), () => {
      this.#vain += 1;
      this.#expectPush(0);
      return this.#fetchKeys();
    });
  }

  async #handOver(push) {
    // Plain HLS AES-128 has no CDM: its channel carries revocations alone.
    if (!push.keys.length) return;
    const mediaKeys = await this.#mediaKeys();
    if (!mediaKeys) return;
    // A player that was loaded anew brings a new MediaKeys, and the old sessions feed nobody.
    const strangers = this.#held.filter((entry) => entry.mediaKeys !== mediaKeys);
    const known = new Set(this.#held.filter((entry) => entry.mediaKeys === mediaKeys).flatMap((entry) => entry.kids));
    const keys = push.keys.filter((key) => !known.has(key.kid));
    if (keys.length) {
      const kids = keys.map((key) => key.kid);
      const session = await openKeySession(mediaKeys, keys);
      if (this.#done) return void (await session.close());
      this.#held.push({ session, mediaKeys, kids, period: push.period });
    }
    const retired = this.#held.filter((entry) => strangers.includes(entry) || this.#isOver(entry, push));
    this.#held = this.#held.filter((entry) => !retired.includes(entry));
    await this.#closeSessions(retired);
    this.#options.onkeys?.({
      kids: keys.map((key) => key.kid),
      dropped: retired.flatMap((entry) => entry.kids),
      push,
    });
  }

  /** Whether a viewer can no longer go back to before a newer period than those of an SDK-owned session began. */
  #isOver({ period }, push) {
    const oldest = push.stream_now - this.#windowMs() - RETIRE_MARGIN_MS;
    return this.#held.some((other) => other.period > period && other.period <= oldest);
  }

  /** How far back a viewer can go. */
  #windowMs() {
    const { seekable } = this.#options.video;
    return seekable.length ? (seekable.end(seekable.length - 1) - seekable.start(0)) * 1000 : 0;
  }

  async #mediaKeys() {
    while (!this.#done && !this.#options.video.mediaKeys) await sleep(MEDIA_KEYS_POLL_MS);
    return this.#done ? null : this.#options.video.mediaKeys;
  }

  async #closeSessions(entries) {
    await Promise.allSettled(entries.map((entry) => entry.session.close()));
  }

  /**
   * End playback. The order matters: pausing stops the picture at once, closing the sessions makes it
   * impossible to resume, unloading takes away what is decoded. Closing alone would show the frames
   * already decoded for another 0.2 s.
   */
  async #end(reason) {
    if (this.#done) return;
    const { video, player, kind, onrevoked } = this.#options;
    video.pause();
    this.#finish();
    const closing = this.#closeSessions(this.#held.splice(0));
    const unloading = Promise.resolve(UNLOAD[kind](player));
    await Promise.allSettled([closing, unloading]);
    video.removeAttribute('src');
    video.load();
    onrevoked?.({ reason });
  }

  #later(name, delayMs, action) {
    this.#never(name);
    this.#timers.set(name, setTimeout(action, Math.min(delayMs, MAX_TIMER_MS)));
  }

  #never(name) {
    clearTimeout(this.#timers.get(name));
  }
}

/** A Clear Key session that holds `keys`. Nobody is asked for anything: the answer is at hand. */
async function openKeySession(mediaKeys, keys) {
  const session = mediaKeys.createSession();
  const asked = new Promise((resolve) => session.addEventListener('message', resolve, { once: true }));
  await session.generateRequest('keyids', utf8(JSON.stringify({ kids: keys.map((key) => key.kid) })));
  await asked;
  await session.update(utf8(JSON.stringify({ keys, type: 'temporary' })));
  return session;
}

/** The events of a response's body (HTML §9.2), as objects of their fields; `onsound` hears of every byte. */
async function* serverEvents(body, onsound) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onsound();
    const blocks = (text + value).split('\n\n');
    text = blocks.pop();
    for (const block of blocks) {
      yield Object.fromEntries(block.split('\n').map((line) => /^([^:]*): ?(.*)$/.exec(line)?.slice(1) ?? [line, '']));
    }
  }
}

function withQuery(url, name, value) {
  const changed = new URL(url, location.href);
  changed.searchParams.set(name, value);
  return changed.href;
}

function throwIfRefused({ status, headers }) {
  if (isFinal(status)) throw new RefusedError(headers.get('Relay-Reason') ?? `http_${status}`, status);
}

function fromBase64url(text) {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (byte) => byte.charCodeAt(0));
}

/** Joined, each after its length as four bytes: no two lists give the same bytes. */
function fields(...parts) {
  const joined = parts.flatMap((part) => [0, 0, part.length >> 8, part.length & 255, ...part]);
  return Uint8Array.from(joined);
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
