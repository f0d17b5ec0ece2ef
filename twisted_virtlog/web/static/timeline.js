// When the bytes of a log came: a small picture to go there.

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

/** Returns the picture of an answer; `go` is called with the time that somebody points to. */
export function picture(answer, go) {
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
      const mark = made("rect", { x, y: 0, width: Math.max(0.5, count / 600), height: HEIGHT, class: isFailure(event) ? "failure" : "boot" });
      const title = made("title", {});
      title.textContent = `${event.kind} ${event.time}`;
      mark.append(title);
      svg.append(mark);
    }
  }
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    go(new Date(since + (span * (event.clientX - box.left)) / box.width));
  });
  return svg;
}
