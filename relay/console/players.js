// How the demo builds each of the three players, with the SDK's configuration.

import { dashConfig, hlsConfig, shakaConfig } from './segmentgate.js';

export const FORMATS = { hls: 'HLS', dash: 'DASH', hls_aes128: 'HLS AES-128' };

/**
 * `create` gives the player, a function that loads a manifest, and one that tells which moment of the
 * stream is on screen (a Date, or null while unknown).
 */
export const PLAYERS = {
  shaka: { title: 'Shaka Player', formats: ['dash', 'hls', 'hls_aes128'], create: createShaka },
  hls: { title: 'hls.js', formats: ['hls', 'hls_aes128'], create: createHls },
  dash: { title: 'dash.js', formats: ['dash'], create: createDash },
};

async function createShaka(video, licence, onfatal) {
  await script('/players/shaka.js');
  const { shaka } = window;
  shaka.polyfill.installAll();
  const player = new shaka.Player();
  await player.attach(video);
  player.configure(shakaConfig({ player, licence }));
  player.addEventListener('error', ({ detail }) => {
    if (detail.severity === shaka.util.Error.Severity.CRITICAL) onfatal(new Error(`Shaka Player: ${detail.code}`));
  });
  return {
    instance: player,
    load: (url) => player.load(url),
    playingDate: () => (player.isLive() ? player.getPlayheadTimeAsDate() : null),
  };
}

async function createHls(video, licence, onfatal) {
  await script('/players/hls.js');
  const { Hls } = window;
  const player = new Hls(hlsConfig({ licence }));
  player.on(Hls.Events.ERROR, (_, { fatal, details }) => fatal && onfatal(new Error(`hls.js: ${details}`)));
  return {
    instance: player,
    load: (url) =>
      new Promise((resolve) => {
        player.once(Hls.Events.MANIFEST_PARSED, resolve);
        player.loadSource(url);
        player.attachMedia(video);
      }),
    playingDate: () => player.playingDate,
  };
}

async function createDash(video, licence, onfatal) {
  await script('/players/dash.js');
  const { dashjs } = window;
  const player = dashjs.MediaPlayer().create();
  const { settings, protection } = dashConfig({ licence });
  player.updateSettings(settings);
  player.updateSettings({
    debug: { logLevel: dashjs.Debug.LOG_LEVEL_NONE },
    // Where a manifest names no clock, dash.js asks a public time server. Page and relay share one here.
    streaming: { utcSynchronization: { enabled: false } },
  });
  player.initialize(video, null, false);
  player.setProtectionData(protection);
  player.on('error', ({ error }) => onfatal(new Error(`dash.js: ${error.code} ${error.message}`)));
  return {
    instance: player,
    load: (url) =>
      new Promise((resolve) => {
        player.on('canPlay', resolve);
        player.attachSource(url);
      }),
    playingDate: () => (player.isReady() && player.isDynamic() ? new Date(player.timeAsUTC() * 1000) : null),
  };
}

function script(src) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement('script'), { src, onload: resolve });
    element.onerror = () => reject(new Error(`${src} is missing: make demo installs the players`));
    document.head.append(element);
  });
}
