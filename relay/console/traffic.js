// Counts what the page and its players ask of the relay, by standing before fetch and XMLHttpRequest.

const LICENCE = /\/license(\?|$)/;
const KEY = /\/k\/[^/]+\.key(\?|$)/;

export function watchTraffic(demo, log) {
  const isOurs = (url) => new URL(url, location.href).origin === location.origin;

  function asked(url) {
    if (isOurs(url)) return;
    demo.requests += 1;
    if (!LICENCE.test(url) && !KEY.test(url)) return;
    demo.licenceRequests += 1;
    if (demo.started) demo.licencesAfterStart += 1;
    log(KEY.test(url) ? 'The player fetched a key' : 'The player asked for a licence');
  }

  function answered(url, status) {
    if (isOurs(url) || (status > 0 && status < 400)) return;
    // Being refused is what a revocation is for.
    if (demo.revokedAt !== null || demo.state === 'revoked') return;
    demo.failedRequests += 1;
    demo.failures.push(`${status} ${new URL(url).pathname.split('/').slice(4).join('/')}`);
    log(`A request failed: ${status || 'no answer'}`, 'bad');
  }

  const plainFetch = window.fetch;
  window.fetch = async (input, init) => {
    const url = String(input?.url ?? input);
    asked(url);
    try {
      const response = await plainFetch(input, init);
      answered(url, response.status);
      return response;
    } catch (error) {
      if (error.name !== 'AbortError') answered(url, 0);
      throw error;
    }
  };

  const { open, send } = XMLHttpRequest.prototype;
  const urls = new WeakMap();
  XMLHttpRequest.prototype.open = function openWatched(method, url, ...rest) {
    urls.set(this, String(url));
    return open.call(this, method, url, ...rest);
  };
  XMLHttpRequest.prototype.send = function sendWatched(body) {
    const url = urls.get(this);
    asked(url);
    this.addEventListener('load', () => answered(url, this.status));
    this.addEventListener('error', () => answered(url, 0));
    this.addEventListener('timeout', () => answered(url, 0));
    return send.call(this, body);
  };
}
