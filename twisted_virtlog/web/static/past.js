// What is known of a log's past: when its bytes came, and what happened to it.

import { askJson } from "./api.js";
import { size, time } from "./format.js";
import { isFailure, picture } from "./timeline.js";

const COLUMNS = 600;
// How long after something has come the timeline is drawn anew; and if there was none yet.
const RENEWAL_MS = 30000;
const FIRST_RENEWAL_MS = 1000;
// A log that is there for some is not there for others, yet; and a daemon may keep no times.
const NOT_KNOWN = [403, 404];

const byId = (id) => document.getElementById(id);

function isWanted(event, wanted) {
  return wanted === "boot" ? event.kind === "opened" : isFailure(event);
}

export class Past {
  #say;
  #go;
  #path = "";
  #utc = false;
  #happened = [];
  // What of the time is shown; null for all of it.
  #range = null;
  #ofGuest = false;
  #asking = new AbortController();
  #going = new AbortController();
  #renewal = null;
  // What keys mean in the timeline.
  #press = () => false;

  /** `go` shows the part of the log from a position on. */
  constructor(say, go) {
    this.#say = say;
    this.#go = go;
    byId("guest").addEventListener("click", () => this.toggleGuest());
    byId("all-time").addEventListener("click", () => this.showAllTime());
    byId("places").addEventListener("change", (event) => {
      if (event.target.value) this.#go(event.target.value);
    });
    this.#listenToTime(byId("time"));
  }

  /** Shows that of a log. */
  show(path, utc) {
    this.#path = path;
    this.#utc = utc;
    this.#range = null;
    this.#know();
  }

  hide() {
    this.stay();
    this.#asking.abort();
    clearTimeout(this.#renewal);
  }

  /** Goes nowhere any more, as something else was asked for meanwhile. */
  stay() {
    this.#going.abort();
  }

  set utc(utc) {
    this.#utc = utc;
    this.#know();
  }

  /** Shows the bytes over time of this log, or of all logs of its guest. */
  toggleGuest() {
    this.#ofGuest = !this.#ofGuest;
    byId("guest").setAttribute("aria-pressed", String(this.#ofGuest));
    this.#know();
  }

  showAllTime() {
    this.#range = null;
    this.#know();
  }

  /** Returns whether a key was one of the timeline's, in which one is. */
  takesKey(event) {
    if (!byId("timeline").contains(event.target)) return false;
    if (this.#press(event)) return true;
    if (event.key !== "Escape" || this.#range === null) return false;
    this.showAllTime();
    return true;
  }

  /** Goes to the next boot, or the next failure, after a position; after the last, to the first. */
  async next(wanted, at) {
    const find = async (after, signal) => {
      const happened = await askJson("events", { path: this.#path, ...after }, signal);
      return happened.find((event) => isWanted(event, wanted));
    };
    await this.#goWhere(async (signal) => {
      const event = (at === null ? undefined : await find({ after: at }, signal)) ?? (await find({}, signal));
      if (event === undefined) this.#say(wanted === "boot" ? "no boot is known" : "nothing has failed");
      return event?.at;
    });
  }

  /** Asks some time after something has come when that was, and what has happened. */
  renew() {
    if (this.#renewal !== null) return;
    const wait = byId("timeline").hasChildNodes() ? RENEWAL_MS : FIRST_RENEWAL_MS;
    this.#renewal = setTimeout(() => {
      this.#renewal = null;
      // (who is marking something is not disturbed)
      const isUsed = byId("timeline").contains(document.activeElement) || document.querySelector("#timeline .brush") !== null;
      const isOfAllTime = this.#range === null || !byId("timeline").hasChildNodes();
      if (document.hidden) document.addEventListener("visibilitychange", () => this.renew(), { once: true });
      else if (isOfAllTime && !isUsed) this.#ask();
    }, wait);
  }

  /** Goes to a time that is chosen, or typed to its end: each part of it changes the whole. */
  #listenToTime(field) {
    let isTyped = false;
    const go = () => {
      isTyped = false;
      const date = new Date(this.#utc ? `${field.value}Z` : field.value);
      if (!Number.isNaN(date.getTime())) this.#goToTime(date);
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") go();
      else if (event.key !== "Tab") isTyped = true;
    });
    field.addEventListener("change", () => isTyped || go());
    field.addEventListener("blur", () => isTyped && go());
  }

  #goToTime(date) {
    return this.#goWhere(async (signal) => {
      const ranges = await askJson("locate", { path: this.#path, since: date.toISOString() }, signal);
      if (ranges.length === 0) this.#say(`nothing has come since ${time(date, this.#utc)}`);
      return ranges[0]?.start;
    });
  }

  /** Goes to a position as soon as it is found, unless something else is asked for meanwhile. */
  async #goWhere(find) {
    this.stay();
    this.#going = new AbortController();
    const signal = this.#going.signal;
    try {
      const at = await find(signal);
      if (at !== undefined && !signal.aborted) this.#go(at);
    } catch (error) {
      if (!signal.aborted) this.#say(error.message);
    }
  }

  #know() {
    byId("all-time").hidden = this.#range === null;
    clearTimeout(this.#renewal);
    this.#renewal = null;
    const isFocused = byId("timeline").contains(document.activeElement);
    byId("timeline").replaceChildren();
    this.#happened = [];
    this.#drawPlaces();
    return this.#ask(isFocused);
  }

  async #ask(isFocused = false) {
    this.#asking.abort();
    this.#asking = new AbortController();
    const signal = this.#asking.signal;
    try {
      const range = this.#range === null ? {} : { since: this.#range[0].toISOString(), until: this.#range[1].toISOString() };
      const answer = await askJson("timeline", { path: this.#path, columns: COLUMNS, guest: this.#ofGuest ? 1 : 0, ...range }, signal);
      this.#happened = answer.events.filter((event) => event.path === this.#path);
      this.#draw(answer, isFocused);
      this.#drawPlaces();
    } catch (error) {
      if (signal.aborted || NOT_KNOWN.includes(error.status)) return;
      this.#say(error.message);
      // (it may be over soon, and nothing need come until then)
      this.renew();
    }
  }

  #draw(answer, isFocused) {
    const brush = (since, until) => {
      this.#range = [since, until];
      this.#know();
      this.#goToTime(since);
    };
    const drawn = picture(answer, (date) => this.#goToTime(date), brush, (date) => time(date, this.#utc));
    if (drawn === null) return;
    const logs = answer.paths.length > 1 ? ` of ${answer.paths.length} logs` : "";
    if (answer.left_out > 0) this.#say(`the picture is${logs}; ${answer.left_out} more of this guest are left out`);
    const [since, until] = [answer.since, answer.until].map((date) => time(new Date(date), this.#utc));
    drawn.svg.setAttribute("aria-label", `Bytes over time${logs}, from ${since} to ${until}`);
    byId("timeline").replaceChildren(drawn.element);
    this.#press = drawn.press;
    if (isFocused) drawn.svg.focus();
  }

  #drawPlaces() {
    const places = byId("places");
    const none = document.createElement("option");
    none.value = "";
    none.textContent = this.#happened.length ? "a boot or a failure" : "nothing is known";
    places.replaceChildren(none, ...this.#happened.filter((event) => event.kind === "opened" || isFailure(event)).map((event) => {
      const option = document.createElement("option");
      option.value = event.at;
      const much = event.bytes ? `, ${size(event.bytes)}` : "";
      option.textContent = `${time(new Date(event.time), this.#utc)} ${event.kind === "opened" ? "boot" : event.kind}${much}`;
      return option;
    }));
  }
}
