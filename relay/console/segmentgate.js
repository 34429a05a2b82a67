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
 *     const player = new Hls(hlsConfig({ licence: session.licenceUrl }));
 *     attach({ video, player, kind: 'hls', base: session.base, onrevoked: () => showGoodbye() });
 *     player.loadSource(session.manifestUrl);
 *     player.attachMedia(video);
 *
 * @module segmentgate
 */

const CLEAR_KEY = 'org.w3.clearkey';

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

/** How each player lets go of the video. */
const UNLOAD = {
  shaka: (player) => player.unload(),
  hls: (player) => player.destroy(),
  dash: (player) => player.reset(),
};

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
 * @returns {Promise<{manifestUrl: string, licenceUrl: string, base: string}>} what to give the player and its
 *   configuration, and what to give {@link attach}; none of them needs the token any more
 * @throws {RefusedError} if the relay says no for good
 */
export async function openSession(entryUrl) {
  const response = await fetch(entryUrl);
  await response.body?.cancel();
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
 * Configuration for `shaka.Player.configure`.
 *
 * @param {object} options
 * @param {object} options.player the Shaka player itself
 * @param {string} [options.licence] licence URL; a licence URL in a DASH manifest wins over it
 * @param {number} [options.bufferS] seconds to hold ahead: also how long an unguarded client can run on
 */
export function shakaConfig({ player, licence, bufferS = 4 }) {
  // Its own two tries are over in less time than a relay takes to restart. It takes 401 and 403 as final by itself.
  const patient = { maxAttempts: 8, baseDelay: 500, backoffFactor: 1.5, fuzzFactor: 0.5 };
  return {
    manifest: { retryParameters: patient },
    drm: {
      servers: licence ? { [CLEAR_KEY]: licence } : {},
      retryParameters: { maxAttempts: 2, baseDelay: 1000, fuzzFactor: 0.5 },
    },
    streaming: {
      bufferingGoal: bufferS,
      retryParameters: patient,
      // Shaka's own choice for live streams is to try again for ever, whatever the status.
      failureCallback: (error) => {
        const status = error.data?.[1];
        if (!isFinal(status) || (isGone(status) && player.isLive())) player.retryStreaming(1);
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
  const patient = (endsAt) => {
    const retry = {
      maxNumRetry: 8,
      retryDelayMs: 500,
      maxRetryDelayMs: 4000,
      shouldRetry: ({ maxNumRetry }, count, _isTimeout, response) => count < maxNumRetry && !endsAt(response?.code),
    };
    return { maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 30_000, timeoutRetry: retry, errorRetry: retry };
  };
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
    playlistLoadPolicy: { default: patient(isFinal) },
    fragLoadPolicy: { default: patient((status) => isFinal(status) && !isGone(status)) },
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
  /** Fetches in a row that brought no newer period than `#newest`. */
  #vain = 0;
  #newest = -Infinity;
  #done = false;
  /** Pushes are handed over one after the other. */
  #queue = Promise.resolve();
  /** SDK-owned sessions: `{session, mediaKeys, kids, period}`, `period` being that of the newest key in it. */
  #held = [];

  constructor(options) {
    this.#options = options;
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
    this.#source?.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#options.onchannel?.('closed');
  }

  #connect() {
    const source = new EventSource(`${this.#options.base}events`);
    this.#source = source;
    let openedAt = Infinity;
    source.addEventListener('open', () => {
      openedAt = performance.now();
      this.#options.onchannel?.('open');
    });
    source.addEventListener('keys', (event) => this.#take(JSON.parse(event.data)));
    source.addEventListener('revoked', (event) => this.#end(JSON.parse(event.data).reason));
    source.addEventListener('ended', (event) => this.#failed(new RefusedError(JSON.parse(event.data).reason)));
    source.addEventListener('error', () => this.#lost(source, performance.now() - openedAt));
  }

  /** EventSource tells no status and its own retries know no backoff, so asking for the keys finds out why. */
  #lost(source, livedMs) {
    source.close();
    if (this.#done || source !== this.#source) return;
    this.#options.onchannel?.('lost');
    // One that breaks soon after it opened counts as a failed attempt.
    if (livedMs > RECONNECT_MS.most) this.#attempts = 0;
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

function throwIfRefused({ status, headers }) {
  if (isFinal(status)) throw new RefusedError(headers.get('Relay-Reason') ?? `http_${status}`, status);
}

/** Asking again would be answered alike: a client error other than time-out (408), too early (425), too often (429). */
function isFinal(status) {
  return status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
}

/** Of a live segment this says that the window has moved on, and nothing of the session. */
function isGone(status) {
  return status === 404;
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
