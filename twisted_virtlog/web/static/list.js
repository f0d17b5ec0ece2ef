// The list of all logs, as it changes.

import { events, whileVisible } from "./api.js";
import { size, visible } from "./format.js";

const COUNT = 50;
const KEPT_RATES = 90;
// Who types for so long nothing is asked for him.
const TYPING_MS = 200;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

export class List {
  #stop = new AbortController();
  #first = 0;
  #found = 0;
  // By path, what is shown of each log.
  #rows = new Map();
  #tick = 0;
  #typing = null;
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
    // (what is typed is one change, and no place to go back to)
    byId("find").addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => {
        this.#first = 0;
        this.#changed(true);
      }, TYPING_MS);
    });
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
    clearTimeout(this.#typing);
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

  #changed(isTyped = false) {
    clearTimeout(this.#typing);
    const address = new URLSearchParams();
    const find = byId("find").value;
    const order = byId("order").value;
    if (find) address.set("find", find);
    if (order !== "path") address.set("order", order);
    if (byId("reverse").checked) address.set("reverse", "1");
    if (this.#first) address.set("first", this.#first);
    this.#change(address, isTyped);
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
    for (const log of page.rows) {
      const row = this.#rows.get(log.path) ?? new Row(log.path);
      row.show(log, rates[log.path], Math.min(ticks, KEPT_RATES));
      shown.set(log.path, row);
    }
    this.#rows = shown;
    const elements = [...shown.values()].map((row) => row.element);
    const body = byId("rows");
    if (elements.length !== body.children.length || elements.some((one, index) => one !== body.children[index])) {
      const focused = document.activeElement;
      body.replaceChildren(...elements);
      // (what is moved loses it)
      if (body.contains(focused)) focused.focus();
    }
    const last = page.first + page.rows.length;
    byId("totals").textContent =
      `${page.found ? `${page.first + 1}\u2013${last} of ` : ""}${page.found} found, ${page.logs} logs, ` +
      `${page.failing} failing, ${size(page.rate)}/s`;
    byId("previous").disabled = page.first === 0;
    byId("next").disabled = last >= page.found;
  }
}

/** What is shown of a log; only what has changed is drawn anew. */
class Row {
  #cells = {};
  #link = document.createElement("a");
  #line = document.createElementNS(SVG, "path");
  #picture = document.createElementNS(SVG, "svg");
  #rates = [];

  constructor(path) {
    this.element = document.createElement("tr");
    for (const name of ["guest", "log", "state", "rate", "rates", "size", "dropped", "followers"]) {
      this.#cells[name] = this.element.insertCell();
    }
    this.#link.href = `#${new URLSearchParams({ log: path })}`;
    this.#link.dataset.path = path;
    this.#link.textContent = visible(path);
    this.#cells.log.append(this.#link);
    this.#picture.setAttribute("width", "90");
    this.#picture.setAttribute("height", "16");
    this.#picture.setAttribute("aria-hidden", "true");
    this.#line.setAttribute("class", "rates");
    this.#cells.rates.append(this.#picture);
  }

  /**
   * Shows what became of the log.
   *
   * What has its usual value is left out of `log`. `rates` are those that are known of it; if there
   * are none, its rate is one more, or as many more as `ticks` says.
   */
  show(log, rates, ticks) {
    const { guest = "", state = "open", error, rate, size: kept, dropped, followers } = log;
    const added = new Array(ticks).fill(rate ?? 0);
    this.#rates = rates ?? [...this.#rates, ...added].slice(-KEPT_RATES);
    const cells = this.#cells;
    put(cells.guest, visible(guest));
    put(cells.state, error ? `${state}: ${visible(error)}` : state, state === "failing" ? "failing" : "");
    put(cells.rate, rate === undefined || rate === null ? "" : `${size(rate)}/s`, "number");
    put(cells.size, size(kept), "number");
    put(cells.dropped, dropped ? size(dropped) : "", dropped ? "number dropping" : "number");
    put(cells.followers, `${followers || ""}`, "number");
    // (one rate is no line yet)
    if (this.#rates.length > 1) {
      const path = lineOf(this.#rates);
      if (this.#line.getAttribute("d") !== path) this.#line.setAttribute("d", path);
      if (!this.#line.parentNode) this.#picture.append(this.#line);
    } else {
      this.#line.remove();
    }
  }
}

function put(cell, text, kind = "") {
  if (cell.textContent !== text) cell.textContent = text;
  if (cell.className !== kind) cell.className = kind;
}

function lineOf(rates) {
  const most = Math.max(1, ...rates);
  return `M${rates.map((rate, index) => `${KEPT_RATES - rates.length + index} ${15 - (14 * rate) / most}`).join("L")}`;
}
