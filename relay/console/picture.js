// Watches whether the picture moves: start, stalls, last frame.

const TICK_MS = 100;
const STALL_MS = 250;
/** A player has started once it has played this much. */
const START_S = 1;

export function watchPicture(video, demo, log, onstart) {
  let playedFrom = null;
  let position = 0;
  let movedAt = performance.now();
  let tickedAt = movedAt;
  let stalled = false;

  function onframe() {
    demo.lastFrameAt = performance.now();
    video.requestVideoFrameCallback(onframe);
  }
  video.requestVideoFrameCallback?.(onframe);

  setInterval(() => {
    const now = performance.now();
    // A late tick says that the page was busy or in the background, not that the picture stood still.
    const late = now - tickedAt > STALL_MS;
    tickedAt = now;
    if (video.currentTime !== position || video.paused || video.seeking || late) {
      if (stalled) {
        demo.stalledMs += now - movedAt;
        log(`The picture moves again after ${Math.round(now - movedAt)} ms`);
      }
      stalled = false;
      movedAt = now;
      position = video.currentTime;
      if (!demo.started && !video.paused) {
        // The jump to the live edge is no playback: count from where moving began.
        playedFrom = playedFrom === null || position - playedFrom > 2 * START_S ? position : playedFrom;
        if (position - playedFrom >= START_S) {
          demo.started = true;
          log('Playing', 'good');
          onstart();
        }
      }
    } else if (demo.started && !stalled && demo.state === 'playing' && now - movedAt > STALL_MS) {
      stalled = true;
      demo.stalls += 1;
      log('The picture stands still', 'bad');
    }
  }, TICK_MS);
}
