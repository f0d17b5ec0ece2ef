// When the bytes of a log came: a small picture to go there.

import { visible } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 40;
const FAILURES = ["outage", "dropped", "gap", "cut"];

function made(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  return element;
}

/** Returns whether an event is something that went wrong. */
export function isFailure(event) {
  return FAILURES.includes(event.kind);
}

// A pointer that moves less does not mean to mark anything.
const MOVED = 5;

/**
 * Returns the picture of an answer. `go` is called with the time that somebody points to, `brush` with
 * the two that somebody marks.
 */
export function picture(answer, go, brush) {
  const count = answer.columns.length;
  if (count === 0) {
    return null;
  }
  const since = Date.parse(answer.since);
  const span = Math.max(1, Date.parse(answer.until) - since);
  const most = Math.sqrt(Math.max(1, ...answer.columns));
  const svg = made("svg", { viewBox: `0 0 ${count} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Bytes over time" });
  let drawn = "";
  answer.columns.forEach((bytes, index) => {
    if (bytes > 0) {
      const height = Math.max(1, (0.8 * HEIGHT * Math.sqrt(bytes)) / most);
      drawn += `M${index} ${HEIGHT}v${-height}h1v${height}z`;
    }
  });
  svg.append(made("path", { d: drawn }));
  for (const event of answer.events) {
    const x = (count * (Date.parse(event.time) - since)) / span;
    if (x >= 0 && x <= count && (event.kind === "opened" || isFailure(event))) {
      const line = made("rect", { x, y: 0, width: Math.max(0.5, count / 600), height: HEIGHT, class: isFailure(event) ? "failure" : "boot" });
      const title = made("title", {});
      title.textContent = `${event.kind} ${event.time} ${visible(event.path)}`;
      line.append(title);
      svg.append(line);
    }
  }
  const mark = made("rect", { y: 0, height: HEIGHT, class: "brush" });
  const share = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const at = (part) => new Date(since + span * part);
  let began = null;
  svg.addEventListener("pointerdown", (event) => {
    began = event;
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (began !== null && Math.abs(event.clientX - began.clientX) >= MOVED) {
      const [first, last] = [share(began), share(event)].sort((one, other) => one - other);
      mark.setAttribute("x", count * first);
      mark.setAttribute("width", count * (last - first));
      svg.append(mark);
    }
  });
  svg.addEventListener("pointercancel", () => {
    began = null;
    mark.remove();
  });
  svg.addEventListener("pointerup", (event) => {
    if (began === null) return;
    const [first, last] = [share(began), share(event)].sort((one, other) => one - other);
    const moved = Math.abs(event.clientX - began.clientX) >= MOVED;
    began = null;
    mark.remove();
    if (moved) brush(at(first), at(last));
    else go(at(first));
  });
  return svg;
}
