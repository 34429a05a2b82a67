/**
 * The Segmentgate player SDK: what a web player does not do by itself.
 *
 * It hands the keys of coming crypto periods to the browser's CDM before they are needed, so that a key
 * rotation costs no licence request, and it ends playback at once when the session is revoked. It uses
 * web standards alone (EME, server-sent events) and works beside Shaka Player, hls.js and dash.js.
 *
 *     import { attach, hlsConfig, openSession } from './segmentgate.js';
 *
 *     const session = await openSession(entryUrl);
 *     const player = new Hls(hlsConfig({ licence: licenceUrl }));
 *     attach({ video, player, kind: 'hls', base: session.base, onrevoked: () => showGoodbye() });
 *     player.loadSource(session.manifestUrl);
 *     player.attachMedia(video);
 *
 * @module segmentgate
 */

const CLEAR_KEY = 'org.w3.clearkey';

/** Past its due time by this, a push counts as lost and the keys are fetched. */
const PUSH_GRACE_MS = 1000;
/** Least time between two fetches of keys, so that a wrong clock makes no storm. */
const FETCH_PAUSE_MS = 2000;
const RECONNECT_MS = { first: 500, most: 30_000 };
/** Keys stay in the CDM for this long after the playable window has moved past their period. */
const RETIRE_MARGIN_MS = 30_000;
/** No player announces that it has set `video.mediaKeys`. */
const MEDIA_KEYS_POLL_MS = 25;

/** How each player lets go of the video. */
const UNLOAD = {
  shaka: (player) => player.unload(),
  hls: (player) => player.destroy(),
  dash: (player) => player.reset(),
};

/** The relay said no for good. `reason` is its reason code, `revoked` or another. */
export class RefusedError extends Error {
  constructor(status, reason) {
    super(`refused: ${reason} (${status})`);
    this.name = 'RefusedError';
    this.status = status;
    this.reason = reason;
  }
}

/**
 * Exchange an entry URL, which carries the token, for the session's own URLs.
 *
 * @param {string} entryUrl
 * @returns {Promise<{manifestUrl: string, base: string}>} what to give the player, and what to give {@link attach}
 * @throws {RefusedError} if the token is not accepted
 */
export async function openSession(entryUrl) {
  const response = await fetch(entryUrl);
  await response.body?.cancel();
  throwIfRefused(response);
  if (!response.ok) throw new Error(`entry answered ${response.status}`);
  return { manifestUrl: response.url, base: new URL('.', response.url).href };
}

/**
 * Configuration for `shaka.Player.configure`.
 *
 * @param {object} options
 * @param {object} options.player the Shaka player itself
 * @param {string} [options.licence] licence URL; a licence URL in a DASH manifest wins over it
 * @param {number} [options.bufferS] seconds to hold ahead: also how long an unguarded client can run on
 */
export function shakaConfig({ player, licence, bufferS = 4 }) {
  return {
    drm: {
      servers: licence ? { [CLEAR_KEY]: licence } : {},
      retryParameters: { maxAttempts: 2, baseDelay: 1000, fuzzFactor: 0.5 },
    },
    streaming: {
      bufferingGoal: bufferS,
      // Shaka's own choice for live streams is to try again for ever, whatever the status.
      failureCallback: (error) => {
        const status = error.data?.[1];
        if (!isFinal(status)) player.retryStreaming(1);
      },
    },
  };
}

/**
 * Configuration for the constructor of hls.js.
 *
 * @param {object} options
 * @param {string} options.licence licence URL
 * @param {number} [options.bufferS] seconds to hold ahead: also how long an unguarded client can run on
 */
export function hlsConfig({ licence, bufferS = 4 }) {
  const once = { maxNumRetry: 1, retryDelayMs: 1000, maxRetryDelayMs: 4000 };
  // By itself hls.js gives up where a connection is refused (status 0), as while a relay restarts.
  const patient = {
    maxNumRetry: 8,
    retryDelayMs: 500,
    maxRetryDelayMs: 4000,
    shouldRetry: (retry, count, _isTimeout, response) => count < retry.maxNumRetry && !isClientError(response?.code),
  };
  const load = { maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 30_000, timeoutRetry: patient, errorRetry: patient };
  return {
    emeEnabled: true,
    drmSystems: {
      [CLEAR_KEY]: {
        licenseUrl: licence,
        // Without this hls.js waits for a pssh box in the init segment before it asks for a licence.
        generateRequest: (_type, _data, context) => ({
          initDataType: 'keyids',
          initData: utf8(JSON.stringify({ kids: [base64url(context.decryptdata.keyId)] })).buffer,
        }),
      },
    },
    // Its own policy answers a 503 with 18 licence requests at once.
    keyLoadPolicy: {
      default: { maxTimeToFirstByteMs: 8000, maxLoadTimeMs: 20_000, timeoutRetry: once, errorRetry: once },
    },
    playlistLoadPolicy: { default: load },
    fragLoadPolicy: { default: load },
    maxBufferLength: bufferS,
    maxMaxBufferLength: bufferS,
  };
}

/**
 * Configuration for dash.js: `settings` for `updateSettings`, `protection` for `setProtectionData`.
 *
 * @param {object} options
 * @param {string} [options.licence] licence URL; wins over a licence URL in the manifest
 * @param {number} [options.bufferS] seconds to hold ahead: also how long an unguarded client can run on
 */
export function dashConfig({ licence, bufferS = 4 }) {
  return {
    settings: {
      streaming: {
        buffer: {
          bufferTimeDefault: bufferS,
          bufferTimeAtTopQuality: bufferS,
          bufferTimeAtTopQualityLongForm: bufferS,
        },
        // Its own three tries are over in less time than a relay takes to restart.
        retryAttempts: { MPD: 8, InitializationSegment: 8, MediaSegment: 8 },
        retryIntervals: { MPD: 1000, InitializationSegment: 1000, MediaSegment: 1000 },
      },
    },
    protection: licence ? { [CLEAR_KEY]: { serverURL: licence } } : {},
  };
}

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
  #source = null;
  #timers = new Map();
  #attempts = 0;
  #done = false;
  /** Pushes are handed over one after the other. */
  #queue = Promise.resolve();
  /** SDK-owned sessions, oldest first: `{session, mediaKeys, kids, leftAt}`. */
  #held = [];

  constructor(options) {
    this.#options = options;
    this.#connect();
    this.#expectPush(FETCH_PAUSE_MS);
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
    this.#source?.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#options.onchannel?.('closed');
  }

  #connect() {
    const source = new EventSource(`${this.#options.base}events`);
    this.#source = source;
    source.addEventListener('open', () => {
      this.#attempts = 0;
      this.#options.onchannel?.('open');
    });
    source.addEventListener('keys', (event) => this.#take(JSON.parse(event.data)));
    source.addEventListener('revoked', (event) => this.#end(JSON.parse(event.data).reason ?? 'revoked'));
    source.addEventListener('error', () => this.#lost(source));
  }

  /** EventSource tells no status and its own retries know no backoff, so asking for the keys finds out why. */
  #lost(source) {
    source.close();
    if (this.#done || source !== this.#source) return;
    this.#options.onchannel?.('lost');
    const wait = Math.min(RECONNECT_MS.most, RECONNECT_MS.first * 2 ** this.#attempts++);
    this.#later('connect', wait * (0.5 + Math.random() / 2), async () => {
      await this.#fetchKeys();
      if (!this.#done) this.#connect();
    });
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
    const receivedAt = performance.now();
    this.#queue = this.#queue.then(() => this.#handOver(push, receivedAt)).catch((error) => this.#failed(error));
    if (push.next_at) {
      const due = push.next_at - (push.now ?? Date.now());
      this.#expectPush(Math.max(due + PUSH_GRACE_MS, FETCH_PAUSE_MS));
    }
  }

  /** Fetch the keys in `delayMs`, and again from then on, unless a push arrives. */
  #expectPush(delayMs) {
    this.#later('push', delayMs, () => {
      this.#expectPush(FETCH_PAUSE_MS);
      return this.#fetchKeys();
    });
  }

  async #handOver(push, receivedAt) {
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
      const leavesAt = receivedAt + Math.max(0, (push.period ?? 0) - (push.stream_now ?? 0));
      const last = this.#held.at(-1);
      if (last) last.leftAt = leavesAt;
      this.#held.push({ session, mediaKeys, kids, leftAt: Infinity });
    }
    const horizon = performance.now() - this.#windowMs() - RETIRE_MARGIN_MS;
    const retired = this.#held.filter((entry) => strangers.includes(entry) || entry.leftAt < horizon);
    this.#held = this.#held.filter((entry) => !retired.includes(entry));
    await this.#closeSessions(retired);
    this.#options.onkeys?.({
      kids: keys.map((key) => key.kid),
      dropped: retired.flatMap((entry) => entry.kids),
      push,
    });
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
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(action, delayMs));
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

function throwIfRefused(response) {
  if (isFinal(response.status)) {
    throw new RefusedError(response.status, response.headers.get('Relay-Reason') ?? `http_${response.status}`);
  }
}

/** Asking again would be answered alike. */
function isClientError(status) {
  return status >= 400 && status < 500;
}

function isFinal(status) {
  return status === 401 || status === 403 || status === 410 || status === 451;
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
