// Asks the program: by fetch, which can send the token and reads no faster than it is read.

const KEY = "virtlog-token";
// How long after a stream has ended the next one begins.
const AGAIN_MS = 1000;

/** Takes the token out of the address, so that it is neither kept in it nor passed on. */
function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given !== null) {
    sessionStorage.setItem(KEY, given);
    fragment.delete("token");
    history.replaceState(null, "", `#${fragment}`);
  }
  return sessionStorage.getItem(KEY);
}

let token = takeToken();
// (a program that was started again may have another, whose address is opened in the same tab: then only
// the fragment changes; this comes before what shows the new address)
window.addEventListener("popstate", () => {
  token = takeToken();
});

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** Asks something; raises Refused, or what fetch raises if nobody answers. */
export async function ask(what, query, signal) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      parameters.append(name, one);
    }
  }
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(`api/${what}?${parameters}`, { headers, signal, cache: "no-store", credentials: "same-origin" });
  if (!response.ok) {
    let reason = `${response.status} ${response.statusText}`;
    try {
      reason = (await response.json()).error;
    } catch {
      // (a proxy has answered)
    }
    throw new Refused(response.status, reason);
  }
  return response;
}

/** Asks something whose answer is JSON. */
export async function askJson(what, query, signal) {
  return (await ask(what, query, signal)).json();
}

/** Yields the events of a stream, the next when the one before was taken. */
export async function* events(what, query, signal) {
  const response = await ask(what, query, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    parts.push(value);
    if (!value.includes("\n")) {
      continue;
    }
    const texts = parts.join("").split("\n\n");
    parts = [texts.pop()];
    for (const text of texts) {
      const event = parse(text);
      if (event !== null) {
        yield event;
      }
    }
  }
}

function parse(text) {
  const fields = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) {
      fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
  }
  return fields.data === undefined ? null : { kind: fields.event, value: JSON.parse(fields.data) };
}

/** Returns the bytes that are written in base64. */
export function bytesOf(text) {
  if (Uint8Array.fromBase64 !== undefined) {
    return Uint8Array.fromBase64(text);
  }
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) {
    bytes[index] = binary.charCodeAt(index);
  }
  return bytes;
}

/** Waits, or until the signal says that nobody wants it any more. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}

/**
 * Does something again and again while somebody looks: not in a hidden tab, as a browser has six
 * connections for all tabs together.
 */
export async function whileVisible(work, lost, signal) {
  let wait = 100;
  while (!signal.aborted) {
    if (document.hidden) {
      await new Promise((resolve) => {
        document.addEventListener("visibilitychange", resolve, { once: true });
        signal.addEventListener("abort", resolve, { once: true });
      });
      continue;
    }
    const inner = new AbortController();
    const stop = () => inner.abort();
    const hide = () => document.hidden && inner.abort();
    signal.addEventListener("abort", stop, { once: true });
    document.addEventListener("visibilitychange", hide);
    try {
      await work(inner.signal, () => { wait = 100; });
      // (a proxy may end it at once, again and again)
      await pause(AGAIN_MS, inner.signal);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      if (!inner.signal.aborted) {
        lost(error);
        await pause(wait, signal).catch(() => undefined);
        wait = Math.min(2 * wait, 1000);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      document.removeEventListener("visibilitychange", hide);
      inner.abort();
    }
  }
}
