// The list of all logs, as it changes.

import { events, whileVisible } from "./api.js";
import { size, visible } from "./format.js";

const COUNT = 50;
const KEPT_RATES = 90;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

export class List {
  #stop = new AbortController();
  #first = 0;
  #found = 0;
  #rates = new Map();
  #tick = 0;
  #say;
  #change;

  /** Shows the list; `change` is called with what is to stand in the address. */
  constructor(say, change) {
    this.#say = say;
    this.#change = change;
    const wanted = () => {
      this.#first = 0;
      this.#changed();
    };
    byId("find").addEventListener("input", wanted);
    byId("order").addEventListener("change", wanted);
    byId("reverse").addEventListener("change", wanted);
    byId("list-form").addEventListener("submit", (event) => event.preventDefault());
    byId("previous").addEventListener("click", () => this.turn(-1));
    byId("next").addEventListener("click", () => this.turn(1));
  }

  show(address) {
    byId("find").value = address.get("find") ?? "";
    byId("order").value = address.get("order") ?? "path";
    byId("reverse").checked = address.get("reverse") === "1";
    this.#first = Number(address.get("first") ?? 0) || 0;
    byId("list").hidden = false;
    document.title = "Logs";
    this.#begin();
  }

  hide() {
    this.#stop.abort();
    byId("list").hidden = true;
  }

  /** Shows the part before or after. */
  turn(direction) {
    const first = this.#first + direction * COUNT;
    if (first >= 0 && first < Math.max(1, this.#found)) {
      this.#first = first;
      this.#changed();
    }
  }

  #changed() {
    const address = new URLSearchParams();
    const find = byId("find").value;
    const order = byId("order").value;
    if (find) address.set("find", find);
    if (order !== "path") address.set("order", order);
    if (byId("reverse").checked) address.set("reverse", "1");
    if (this.#first) address.set("first", this.#first);
    this.#change(address);
    this.#begin();
  }

  #begin() {
    this.#stop.abort();
    this.#stop = new AbortController();
    const query = {
      find: byId("find").value,
      order: byId("order").value,
      reverse: byId("reverse").checked ? 1 : 0,
      first: this.#first,
      count: COUNT,
    };
    whileVisible(
      async (signal, works) => {
        for await (const event of events("list", query, signal)) {
          works();
          if (event.kind === "lost") {
            this.#say(event.value.reason);
          } else {
            this.#say("");
            this.#draw(event.value);
          }
        }
      },
      (error) => this.#say(error.message),
      this.#stop.signal,
    );
  }

  #draw({ page, rates }) {
    this.#found = page.found;
    const ticks = Math.max(0, page.tick - this.#tick);
    this.#tick = page.tick;
    const shown = new Map();
    const rows = page.rows.map((row) => {
      const added = new Array(Math.min(ticks, KEPT_RATES)).fill(row.rate ?? 0);
      const line = rates[row.path] ?? [...(this.#rates.get(row.path) ?? []), ...added].slice(-KEPT_RATES);
      shown.set(row.path, line);
      return draw(row, line);
    });
    this.#rates = shown;
    const focused = document.activeElement?.dataset?.path;
    byId("rows").replaceChildren(...rows);
    if (focused !== undefined) {
      rows.map((row) => row.querySelector("a")).find((link) => link.dataset.path === focused)?.focus();
    }
    const last = page.first + page.rows.length;
    byId("totals").textContent =
      `${page.found ? `${page.first + 1}\u2013${last} of ` : ""}${page.found} found, ${page.logs} logs, ` +
      `${page.failing} failing, ${size(page.rate)}/s`;
    byId("previous").disabled = page.first === 0;
    byId("next").disabled = last >= page.found;
  }
}

function draw(row, rates) {
  const line = document.createElement("tr");
  const cell = (text, kind = "") => {
    const made = line.insertCell();
    made.textContent = text;
    made.className = kind;
    return made;
  };
  cell(visible(row.guest));
  const link = document.createElement("a");
  link.href = `#${new URLSearchParams({ log: row.path })}`;
  link.dataset.path = row.path;
  link.textContent = visible(row.path);
  cell("").append(link);
  cell(row.error ? `${row.state}: ${visible(row.error)}` : row.state, row.state === "failing" ? "failing" : "");
  cell(row.rate === undefined || row.rate === null ? "" : `${size(row.rate)}/s`, "number");
  cell("").append(drawRates(rates));
  cell(size(row.size), "number");
  cell(row.dropped ? size(row.dropped) : "", row.dropped ? "number dropping" : "number");
  cell(row.followers || "", "number");
  return line;
}

function drawRates(rates) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", "90");
  svg.setAttribute("height", "16");
  svg.setAttribute("aria-hidden", "true");
  const most = Math.max(1, ...rates);
  const points = rates.map((rate, index) => `${KEPT_RATES - rates.length + index} ${15 - (14 * rate) / most}`);
  if (points.length > 1) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", "rates");
    path.setAttribute("d", `M${points.join("L")}`);
    svg.append(path);
  }
  return svg;
}
