// How often what comes is drawn.
//
// The terminal asks for the next frame whenever something has come. While much comes, drawing it sixty
// times a second takes most of the time, and nobody can read it. So then it is drawn a few times a second.

const PAUSE = 200;
// So many bytes in a second are much.
const MUCH = 512 * 1024;

const draw = window.requestAnimationFrame.bind(window);
const undo = window.cancelAnimationFrame.bind(window);
const channel = new MessageChannel();
const waiting = [];
// By number, what was asked for and is yet to be drawn: how it is taken back, and how it is hurried.
const asked = new Map();
let last = 0;
let drawn = 0;
let came = 0;
let since = 0;

channel.port1.onmessage = () => waiting.shift()();

function drawNext(number, callback) {
  const frame = draw((time) => {
    asked.delete(number);
    drawn = performance.now();
    callback(time);
  });
  asked.set(number, { stop: () => undo(frame), hurry: () => undefined });
}

window.requestAnimationFrame = (callback) => {
  last += 1;
  const number = last;
  const pause = came > MUCH ? drawn + PAUSE - performance.now() : 0;
  if (pause <= 0) {
    drawNext(number, callback);
  } else {
    const timer = setTimeout(() => drawNext(number, callback), pause);
    const stop = () => clearTimeout(timer);
    const hurry = () => {
      stop();
      drawNext(number, callback);
    };
    asked.set(number, { stop, hurry });
  }
  return number;
};

window.cancelAnimationFrame = (number) => {
  asked.get(number)?.stop();
  asked.delete(number);
};

/** Draws what waits: somebody has asked for it. */
export function hurry() {
  came = 0;
  for (const one of [...asked.values()]) one.hurry();
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
