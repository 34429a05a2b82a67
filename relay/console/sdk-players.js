// What the SDK knows of each player: how to configure it, watch what it loads, and make it let go.

const CLEAR_KEY = 'org.w3.clearkey';
const NEXT_KEYS_HEADER = 'Segmentgate-Next-Keys';

/** How each player shows the headers of what it loads. Each gives a function that ends that. */
export const WATCH_HEADERS = {
  shaka: (player, see) => {
    const network = player.getNetworkingEngine?.();
    const filter = (_type, { headers }) => see(headers[NEXT_KEYS_HEADER.toLowerCase()]);
    network?.registerResponseFilter(filter);
    return () => network?.unregisterResponseFilter(filter);
  },
  hls: (player, see) => {
    // An XMLHttpRequest, or a Response where hls.js is told to use fetch.
    const loaded = (_event, { networkDetails: of }) =>
      see(of?.getResponseHeader ? of.getResponseHeader(NEXT_KEYS_HEADER) : of?.headers?.get(NEXT_KEYS_HEADER));
    const events = ['hlsFragLoaded', 'hlsLevelLoaded', 'hlsAudioTrackLoaded'];
    for (const event of events) player.on(event, loaded);
    return () => events.forEach((event) => player.off(event, loaded));
  },
  dash: (player, see) => {
    const interceptor = async (response) => {
      see(response.headers?.[NEXT_KEYS_HEADER.toLowerCase()]);
      return response;
    };
    player.addResponseInterceptor(interceptor);
    return () => player.removeResponseInterceptor(interceptor);
  },
};

/** Loading the manifest anew, where a player offers that. The others do it by themselves while a stream is live. */
export const REFRESH = { dash: (player) => player.refreshManifest(() => {}) };

/**
 * Keeping a player at pictures of so many pixels; where it has none as small, and where there is to be no video at all, it
 * goes on as it is. dash.js has no such bound that outlasts its next manifest where renditions have keys of their own.
 */
export const CAP = {
  shaka: (player, pixels) => player.configure?.('restrictions.maxPixels', pixels || Infinity),
  hls: (player, pixels) => {
    const cap = () => {
      // Levels are in order of their bit rate; -1 is none.
      const fits = player.levels.findLastIndex((level) => level.width * level.height <= pixels);
      player.autoLevelCapping = fits === player.levels.length - 1 ? -1 : fits;
    };
    if (player.levels?.length) cap();
    else player.once('hlsManifestParsed', cap);
  },
};

/** How each player lets go of the video. */
export const UNLOAD = {
  shaka: (player) => player.unload(),
  hls: (player) => player.destroy(),
  dash: (player) => player.reset(),
};

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

/** Asking again would be answered alike: a client error other than time-out (408), too early (425), too often (429). */
export function isFinal(status) {
  return status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
}

/** Of a live segment this says that the window has moved on, and nothing of the session. */
function isGone(status) {
  return status === 404;
}

export function utf8(text) {
  return new TextEncoder().encode(text);
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
