// How often what comes is drawn.
//
// The terminal asks for the next frame whenever something has come. While much comes, drawing it sixty
// times a second takes most of the time, and nobody can read it. So then it is drawn a few times a second.

const PAUSE = 200;
// So many bytes in a second are much.
const MUCH = 512 * 1024;

const draw = window.requestAnimationFrame.bind(window);
const channel = new MessageChannel();
const waiting = [];
const held = new Map();
let drawn = 0;
let came = 0;
let since = 0;

channel.port1.onmessage = () => waiting.shift()();

window.requestAnimationFrame = (callback) => {
  const pause = came > MUCH ? drawn + PAUSE - performance.now() : 0;
  const begin = (time) => {
    drawn = performance.now();
    callback(time);
  };
  if (pause <= 0) {
    return draw(begin);
  }
  const timer = setTimeout(() => {
    held.delete(timer);
    draw(begin);
  }, pause);
  held.set(timer, begin);
  return timer;
};

/** Draws what waits: somebody has asked for it. */
export function hurry() {
  came = 0;
  for (const [timer, begin] of held) {
    clearTimeout(timer);
    draw(begin);
  }
  held.clear();
}

/** Notes that so many bytes have come. */
export function note(bytes) {
  const now = performance.now();
  // (half of it is forgotten in half of a second)
  came = came * 2 ** ((since - now) / 500) + bytes;
  since = now;
}

/** Lets the browser do what else there is to do; unlike a timer it is never made to wait by it. */
export function nextTask() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
