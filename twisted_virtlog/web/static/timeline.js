// When the bytes of a log came: a small picture to go there.

import { size, visible } from "./format.js";

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

// How far a key moves, as a part of what is shown.
const STEPS = { ArrowLeft: -0.01, ArrowRight: 0.01, PageUp: -0.1, PageDown: 0.1, Home: -1, End: 1 };

/**
 * Returns the picture of an answer. `go` is called with the time that somebody points to, `brush` with
 * the two that somebody marks. `text` returns a time as people read it.
 *
 * `press` takes a key, and returns whether it means anything here.
 */
export function picture(answer, go, brush, text) {
  const count = answer.columns.length;
  if (count === 0) {
    return null;
  }
  const since = Date.parse(answer.since);
  const span = Math.max(1, Date.parse(answer.until) - since);
  const most = Math.sqrt(Math.max(1, ...answer.columns));
  const svg = made("svg", { viewBox: `0 0 ${count} ${HEIGHT}`, preserveAspectRatio: "none", role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": count });
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
  const keys = withKeys(answer, svg, mark, at, { go, brush, text });
  let began = null;
  // (a pointer leaves the keys to the log)
  svg.addEventListener("mousedown", (event) => event.preventDefault());
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
  return { element: keys.element, svg, press: keys.press };
}

/** Lets keys do what a pointer does; says where one is to those who see it, and those who do not. */
function withKeys(answer, svg, mark, at, { go, brush, text }) {
  const count = answer.columns.length;
  const cursor = made("rect", { y: 0, width: Math.max(1, count / 600), height: HEIGHT, class: "cursor" });
  const where = document.createElement("span");
  where.className = "where";
  where.setAttribute("aria-hidden", "true");
  const element = document.createElement("div");
  element.append(svg, where);
  let place = 1;
  // Where the marked part begins, or ends.
  let other = null;
  const marked = () => [place, other].sort((one, another) => one - another);
  const draw = () => {
    const [first, last] = other === null ? [place, place] : marked();
    const bytes = answer.columns.slice(Math.min(count - 1, Math.floor(count * first)), Math.max(1, Math.ceil(count * last)));
    const much = size(bytes.reduce((sum, one) => sum + one, 0));
    const said = other === null ? `${text(at(place))}, ${much}` : `marked from ${text(at(first))} to ${text(at(last))}, ${much}`;
    svg.setAttribute("aria-valuenow", Math.round(count * place));
    svg.setAttribute("aria-valuetext", said);
    where.textContent = said;
    cursor.setAttribute("x", (count - 1) * place);
    mark.setAttribute("x", count * first);
    mark.setAttribute("width", count * (last - first));
    if (other === null) mark.remove();
    else svg.append(mark);
  };
  draw();
  svg.append(cursor);
  const press = ({ key, shiftKey }) => {
    if (key in STEPS) {
      if (!shiftKey) other = null;
      else other ??= place;
      place = Math.min(1, Math.max(0, place + STEPS[key]));
    } else if (key === "Enter" || key === " ") {
      if (other === null || other === place) go(at(place));
      else brush(...marked().map(at));
    } else if (key === "Escape" && other !== null) {
      other = null;
    } else {
      return false;
    }
    draw();
    return true;
  };
  return { element, press };
}
