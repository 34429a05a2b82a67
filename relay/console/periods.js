// Shows crypto periods sliding past the playhead, and the keys that wait for them in the CDM.

const PLAYHEAD = 0.4;
const VISIBLE_PERIODS = 3;

const $ = (id) => document.getElementById(id);

/** Returns `take`, which hears what the SDK has handed to the CDM. */
export function showPeriods({ video, demo, playingDate, intervalMs, log }) {
  /** Period start in ms → key IDs. */
  const known = new Map();
  const cells = new Map();
  let current = null;

  const starts = () => [...known.keys()].sort((a, b) => a - b);

  function interval() {
    if (intervalMs) return intervalMs;
    const found = starts();
    return found.length > 1 ? found.at(-1) - found.at(-2) : null;
  }

  /** The period that holds `time`: periods start at the multiples of the interval, and where a push says so. */
  function periodAt(time) {
    const step = interval();
    const pushed = starts().filter((start) => start <= time).at(-1) ?? null;
    return step === null ? pushed : Math.max(pushed ?? 0, Math.floor(time / step) * step);
  }

  function take({ kids, dropped, push }) {
    if (kids.length) {
      known.set(push.period, [...(known.get(push.period) ?? []), ...kids]);
      demo.periods = starts();
      const first = known.size === 1;
      const ahead = push.period - push.stream_now;
      const when = first ? 'for the whole live window' : `${(ahead / 1000).toFixed(1)} s before the first segment under them`;
      log(`${kids.length} ${kids.length === 1 ? 'key' : 'keys'} handed to the CDM, ${when}`, 'good');
    }
    if (dropped.length) log(`${dropped.length} old keys left the CDM`);
    showKeys();
  }

  function showKeys() {
    const lines = starts().reverse().flatMap((start) => known.get(start).map((kid) => [start, kid]));
    $('keys').replaceChildren(
      ...lines.slice(0, 60).map(([start, kid]) => {
        const line = document.createElement('li');
        line.className = start === current ? 'current' : '';
        const time = document.createElement('time');
        time.textContent = clock(start);
        line.append(time, hex(kid));
        return line;
      }),
    );
  }

  function draw() {
    const moment = video.readyState > 1 ? playingDate()?.getTime() : null;
    const step = interval();
    if (!moment || demo.state === 'revoked') return;
    const period = periodAt(moment);
    if (period !== null && period !== current) {
      if (demo.started && current !== null && period > current) {
        demo.boundaries += 1;
        log(`Key change on screen: now the period of ${clock(period)}`);
      }
      current = period;
      showKeys();
    }
    $('latency').textContent = `${((Date.now() - moment) / 1000).toFixed(1)} s`;
    if (!step || period === null) return;
    $('countdown').textContent = `${Math.max(0, (period + step - moment) / 1000).toFixed(1)} s`;
    $('period-note').textContent = `a new key every ${step / 1000} s`;
    place(moment, period, step);
  }

  function place(moment, period, step) {
    const wanted = new Set([-2, -1, 0, 1, 2, 3].map((n) => period + n * step));
    for (const [start, cell] of cells) {
      if (!wanted.has(start)) {
        cell.remove();
        cells.delete(start);
      }
    }
    for (const start of wanted) {
      const cell = cells.get(start) ?? newCell(start);
      const state = start === period ? 'current' : known.has(start) && start > period ? 'ready' : '';
      const left = (PLAYHEAD + (start - moment) / step / VISIBLE_PERIODS) * 100;
      cell.className = `cell ${state}`;
      cell.style.left = `${left}%`;
      cell.style.width = `${100 / VISIBLE_PERIODS}%`;
      cell.lastChild.textContent = { current: 'on screen', ready: 'key in the CDM' }[state] ?? (start < period ? 'played' : 'key not released yet');
    }
  }

  function newCell(start) {
    const cell = document.createElement('div');
    const title = document.createElement('b');
    title.textContent = clock(start);
    cell.append(title, document.createElement('span'));
    $('strip').append(cell);
    cells.set(start, cell);
    return cell;
  }

  setInterval(draw, 50);
  return { take };
}

function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour12: false });
}

function hex(kid) {
  const bytes = atob(kid.replaceAll('-', '+').replaceAll('_', '/'));
  return [...bytes].map((byte) => byte.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}
