// One log: as it comes, and back to any byte that is kept.

import { ask, askJson, bytesOf, events, pause, whileVisible } from "./api.js";
import { plainText } from "./filter.js";
import { size, time, visible, zone } from "./format.js";
import { newest } from "./newest.js";
import { LINES, Screen } from "./screen.js";
import { isFailure, picture } from "./timeline.js";

const WINDOW = 1024 * 1024;
const COLUMNS = 600;
// More than this is not waited for: all but the last half of it is skipped.
const MOST_BEHIND = 4 * 1024 * 1024;
// Before the first byte of any log.
const BEGINNING = "0:0";
// A log that is there for some is not there for others, yet.
const NOT_KNOWN = [403, 404];
// What comes so soon after a stream has gone on may have waited.
const BACKLOG_MS = 2000;
// How long after something has come the timeline is drawn anew; and if there was none yet.
const RENEWAL_MS = 30000;
const FIRST_RENEWAL_MS = 1000;
// The terminal does not scroll by touch.
const TEXT_FIRST = matchMedia("(pointer: coarse)").matches;

const byId = (id) => document.getElementById(id);

/** Returns whether a failure may be over soon: nobody has answered, or a proxy for who is not there. */
function isPassing(error) {
  return error.status === undefined || error.status >= 500;
}

function countLines(bytes) {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) {
    count += 1;
  }
  return count;
}

export class Log {
  #stop = new AbortController();
  #path = "";
  // Where what is shown begins; null for the newest.
  #at = null;
  #say;
  #change;
  #screen;
  #window = { start: null, end: null, loaded: null, length: 0, before: 0 };
  #following = false;
  #opening = null;
  // What was left out last, until another part is shown.
  #skipped = null;
  #news = 0;
  #utc = false;
  #happened = [];
  // What of the time is shown; null for all of it.
  #range = null;
  #ofGuest = false;
  #knowing = new AbortController();
  #renewal = null;
  // What keys mean in the timeline.
  #press = () => false;

  constructor(say, change) {
    this.#say = say;
    this.#change = change;
    this.#screen = new Screen(byId("terminal"), byId("gutter"), byId("text"), (direction) => this.#edge(direction));
    const on = (id, act) => byId(id).addEventListener("click", act);
    on("follow", () => this.follow());
    on("older", () => this.older());
    on("newer", () => this.newer());
    on("as-text", () => this.toggleText());
    on("wrap", () => this.toggleWrap());
    on("times", () => this.toggleTimes());
    on("utc", () => this.toggleUtc());
    on("search-button", () => this.openSearch());
    on("search-close", () => byId("search").close());
    on("guest", () => this.toggleGuest());
    on("all-time", () => this.showAllTime());
    on("download", () => this.#download());
    // (in a field that has something in it the key would only clear that)
    byId("search").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      byId("search").close();
    });
    byId("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
    byId("places").addEventListener("change", (event) => {
      if (event.target.value) this.go(event.target.value);
    });
    byId("time").addEventListener("change", (event) => this.#goToTime(event.target.value));
  }

  show(address) {
    this.#path = address.get("log");
    byId("log").hidden = false;
    byId("path").textContent = visible(this.#path);
    document.title = visible(this.#path.split("/").pop());
    this.#at = address.get("at");
    this.#utc = address.get("utc") === "1";
    this.#screen.isWrapped = address.get("wrap") !== "0";
    const view = address.get("view") ?? (TEXT_FIRST ? "text" : "terminal");
    if (this.#screen.isText !== (view === "text")) this.#screen.isText = view === "text";
    this.#begin();
    this.#screen.hasTimes = address.get("times") === "1";
    this.#drawView();
    this.#screen.fit();
    this.#range = null;
    this.#know();
    if (this.#at === null) {
      this.#follow();
    } else {
      this.#open({ from: this.#at }, "start");
    }
  }

  hide() {
    this.#stop.abort();
    this.#knowing.abort();
    clearTimeout(this.#renewal);
    byId("log").hidden = true;
    if (byId("search").open) byId("search").close();
  }

  /** Shows the newest, and what comes. */
  follow() {
    if (this.#following) {
      this.#screen.scrollToEnd();
      this.#came(0);
      return;
    }
    this.#at = null;
    this.#change(this.#address());
    this.#follow();
  }

  /** Shows the part of the log from a position on. */
  go(at) {
    this.#at = at;
    this.#change(this.#address());
    this.#open({ from: at }, "start");
  }

  older() {
    if (this.#window.start !== null && this.#window.before > 0) {
      this.#open({ before: this.#window.start }, "end");
    }
  }

  newer() {
    if (!this.#following && this.#window.end !== null) {
      this.#open({ from: this.#window.end }, "start");
    }
  }

  /** Loads what was left out last. */
  loadSkipped() {
    if (this.#skipped === null) this.#say("nothing was skipped");
    else this.go(this.#skipped);
  }

  toggleText() {
    this.#screen.isText = !this.#screen.isText;
    this.#drawView();
    this.#change(this.#address(), true);
  }

  toggleWrap() {
    this.#screen.isWrapped = !this.#screen.isWrapped;
    this.#drawView();
    this.#change(this.#address(), true);
  }

  toggleUtc() {
    this.#utc = !this.#utc;
    this.#drawView();
    this.#know();
    this.#change(this.#address(), true);
  }

  /** Shows when each line came, or not. */
  async toggleTimes() {
    const signal = this.#stop.signal;
    const wanted = !this.#screen.hasTimes;
    try {
      if (wanted) await this.#screen.knowTimes(await this.#timesOf(this.#window, signal), this.#window.length, signal);
      await this.#screen.showTimes(wanted, signal);
      this.#drawView();
      this.#change(this.#address(), true);
    } catch (error) {
      if (!signal.aborted) this.#say(error.message);
    }
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

  openSearch() {
    byId("search").showModal();
    byId("pattern").select();
  }

  /** Goes to the next boot, or the next failure, after what is shown. */
  next(wanted) {
    const choices = this.#happened.filter((event) => (wanted === "boot" ? event.kind === "opened" : isFailure(event)));
    if (choices.length === 0) {
      this.#say(wanted === "boot" ? "no boot is known" : "nothing has failed");
      return;
    }
    const index = choices.findIndex((event) => event.at === this.#at);
    this.go(choices[(index + 1) % choices.length].at);
  }

  scrollToStart() {
    this.#screen.scrollToStart();
  }

  scrollPages(pages) {
    this.#screen.scrollPages(pages);
  }

  /** The lines that the terminal shows, for whoever tests this page. */
  lines(count) {
    return this.#screen.lines(count);
  }

  /** Returns what stands in the address: what is shown, and how. */
  #address() {
    const address = new URLSearchParams({ log: this.#path });
    const screen = this.#screen;
    if (this.#at !== null) address.set("at", this.#at);
    if (screen.isText !== TEXT_FIRST) address.set("view", screen.isText ? "text" : "terminal");
    if (!screen.isWrapped) address.set("wrap", "0");
    if (screen.hasTimes) address.set("times", "1");
    if (this.#utc) address.set("utc", "1");
    return address;
  }

  #drawView() {
    const screen = this.#screen;
    screen.utc = this.#utc;
    byId("zone").textContent = zone(this.#utc);
    for (const [id, isOn] of [["as-text", screen.isText], ["wrap", screen.isWrapped], ["times", screen.hasTimes], ["utc", this.#utc]]) {
      byId(id).setAttribute("aria-pressed", String(isOn));
    }
    this.#place();
  }

  #begin() {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#following = false;
    this.#skipped = null;
    this.#came(0);
  }

  async #open(query, end) {
    this.#begin();
    const signal = this.#stop.signal;
    this.#opening = signal;
    try {
      let window = await this.#loadPatiently(query, signal);
      // (at the very end there is only what is before it)
      const isEnd = query.from !== undefined && window.length === 0 && window.before > 0;
      if (isEnd) window = await this.#loadPatiently({ before: query.from }, signal);
      await this.#draw(window, signal);
      if (end === "start" && !isEnd) this.#screen.scrollToStart();
      else this.#screen.scrollToEnd();
      this.#place();
    } catch (error) {
      if (!signal.aborted) this.#say(error.message);
    } finally {
      if (this.#opening === signal) this.#opening = null;
    }
  }

  /** Loads a part of the log, also while the program, or the daemon, comes and goes. */
  async #loadPatiently(query, signal) {
    for (let wait = 100; ; wait = Math.min(2 * wait, 1000)) {
      try {
        const window = await this.#load(query, signal);
        this.#say("");
        return window;
      } catch (error) {
        if (signal.aborted || !isPassing(error)) throw error;
        this.#say(error.message);
        await pause(wait, signal);
      }
    }
  }

  /** Loads a part of the log with no more lines than the terminal keeps. */
  async #load(query, signal) {
    let bytes = WINDOW;
    for (;;) {
      const answer = await ask("window", { path: this.#path, bytes, ...query }, signal);
      const data = new Uint8Array(await answer.arrayBuffer());
      const lines = countLines(data);
      if (lines < LINES || bytes < 4096) {
        const header = (name) => answer.headers.get(`Virtlog-${name}`);
        return { data, length: data.length, loaded: header("End"), start: header("Start"), end: header("End"), gap: header("Gap") === "1", before: Number(header("Before")), size: Number(header("Size")) };
      }
      bytes = Math.floor((bytes * LINES * 0.9) / lines);
    }
  }

  async #draw(window, signal) {
    const known = this.#screen.hasTimes ? await this.#timesOf(window, signal) : [];
    await this.#screen.clear(signal);
    this.#window = window;
    await this.#screen.knowTimes(known, window.length, signal);
    if (window.gap) {
      await this.#screen.say("what was here before is not kept any more", signal);
    }
    await this.#screen.write(window.data, signal);
    signal.throwIfAborted();
  }

  /** Asks when the bytes of a part came; nothing is known where there is none. */
  async #timesOf({ start, loaded, length }, signal) {
    if (!length || loaded === null) return [];
    try {
      const known = await askJson("times", { path: this.#path, from: start, to: loaded }, signal);
      return known.map(([left, time]) => [length - left, Date.parse(time)]);
    } catch (error) {
      if (signal.aborted || !NOT_KNOWN.includes(error.status)) throw error;
      return [];
    }
  }

  #follow() {
    this.#begin();
    this.#following = true;
    // (who looks elsewhere cuts nothing that is being drawn)
    const shown = this.#stop.signal;
    let next = null;
    whileVisible(
      async (signal, works) => {
        const resumed = next === null ? -Infinity : performance.now();
        if (next === null) {
          let window = { data: new Uint8Array(), length: 0, loaded: null, start: null, end: null, gap: false, before: 0, size: 0 };
          try {
            window = await this.#load({ before: "" }, signal);
          } catch (error) {
            if (!NOT_KNOWN.includes(error.status)) throw error;
          }
          await this.#draw(window, shown);
          this.#screen.scrollToEnd();
          next = window.end ?? BEGINNING;
          this.#place();
        }
        const stream = events("follow", { path: this.#path, from: next, skip: MOST_BEHIND }, signal);
        for await (const event of newest(stream, MOST_BEHIND)) {
          works();
          if (event.kind === "begin") {
            this.#say("");
          } else if (event.kind === "data") {
            const came = { time: event.value.time * 1000, exact: performance.now() - resumed > BACKLOG_MS };
            await this.#take(event.value, came, next === BEGINNING, shown);
            next = event.value.end;
          } else if (event.kind === "skipped") {
            await this.#skip(event.value, shown);
            next = event.value.end;
          }
        }
      },
      (error) => this.#say(error.message),
      shown,
    );
  }

  /** Says what was left out, as more came than can be read, and loads it if wanted. */
  async #skip(skipped, shown) {
    const load = { label: "Load", act: () => this.go(skipped.start) };
    await this.#screen.say(`${size(skipped.bytes)} were skipped here, as more came than can be read`, shown, load);
    this.#window.end = skipped.end;
    this.#window.size += skipped.bytes;
    this.#skipped = skipped.start;
  }

  async #take(chunk, came, isFirst, shown) {
    if (chunk.gap && !isFirst) {
      await this.#screen.say(
        chunk.missed ? `${size(chunk.missed)} are missing here: they were rotated away` : "bytes may be missing here",
        shown,
      );
    }
    this.#renew();
    const bytes = chunk.bytes ?? bytesOf(chunk.data);
    const seen = this.#screen.isAtEnd;
    await this.#screen.write(bytes, shown, came);
    shown.throwIfAborted();
    this.#window.end = chunk.end;
    this.#window.start ??= chunk.start;
    this.#window.size += bytes.length;
    if (!seen) {
      this.#came(this.#news + countLines(bytes));
    } else if (this.#news > 0) {
      this.#came(0);
    }
  }

  #came(lines) {
    this.#news = lines;
    this.#place();
  }

  #place() {
    const following = this.#following;
    byId("follow").setAttribute("aria-pressed", String(following));
    byId("older").disabled = this.#window.before === 0;
    byId("newer").disabled = following;
    const part = this.#window.size > 0 ? `from byte ${this.#window.before} of ${this.#window.size} that are kept` : "nothing is kept yet";
    const news = this.#news > 0 ? `, ${this.#news} new lines below: f follows again` : "";
    const state = following ? (this.#window.end === null ? "waiting for the log" : "following") : "reading";
    const times = this.#screen.hasTimes ? `, times in ${zone(this.#utc)}` : "";
    const text = `${state}, ${part}${times}${news}`;
    // (what does not change is not said again)
    if (byId("place").textContent !== text) byId("place").textContent = text;
  }

  #edge(direction) {
    if (this.#opening !== null) return;
    if (direction < 0) this.older();
    else this.newer();
  }

  /** Asks some time after something has come when that was, and what has happened. */
  #renew() {
    if (this.#renewal !== null) return;
    const wait = byId("timeline").hasChildNodes() ? RENEWAL_MS : FIRST_RENEWAL_MS;
    this.#renewal = setTimeout(() => {
      this.#renewal = null;
      // (who is marking something is not disturbed)
      const isUsed = byId("timeline").contains(document.activeElement) || document.querySelector("#timeline .brush") !== null;
      if (this.#range === null && !isUsed && !document.hidden) this.#askWhen();
    }, wait);
  }

  #know() {
    byId("all-time").hidden = this.#range === null;
    clearTimeout(this.#renewal);
    this.#renewal = null;
    const isFocused = byId("timeline").contains(document.activeElement);
    byId("timeline").replaceChildren();
    this.#happened = [];
    this.#drawPlaces();
    return this.#askWhen(isFocused);
  }

  async #askWhen(isFocused = false) {
    this.#knowing.abort();
    this.#knowing = new AbortController();
    const signal = this.#knowing.signal;
    const timeline = byId("timeline");
    try {
      const range = this.#range === null ? {} : { since: this.#range[0].toISOString(), until: this.#range[1].toISOString() };
      const answer = await askJson("timeline", { path: this.#path, columns: COLUMNS, guest: this.#ofGuest ? 1 : 0, ...range }, signal);
      this.#happened = answer.events.filter((event) => event.path === this.#path);
      const brush = (since, until) => {
        this.#range = [since, until];
        this.#know();
        this.#goTo(since);
      };
      const drawn = picture(answer, (date) => this.#goTo(date), brush, (date) => time(date, this.#utc));
      if (drawn !== null) {
        const logs = answer.paths.length > 1 ? ` of ${answer.paths.length} logs` : "";
        drawn.svg.setAttribute("aria-label", `Bytes over time${logs}, from ${time(new Date(answer.since), this.#utc)} to ${time(new Date(answer.until), this.#utc)}`);
        timeline.replaceChildren(drawn.element);
        this.#press = drawn.press;
        if (isFocused) drawn.svg.focus();
      }
      this.#drawPlaces();
    } catch (error) {
      // (a daemon may keep no times, and a log may not be there yet)
      if (!signal.aborted && !NOT_KNOWN.includes(error.status)) this.#say(error.message);
    }
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

  #goToTime(text) {
    const date = new Date(this.#utc ? `${text}Z` : text);
    if (!Number.isNaN(date.getTime())) this.#goTo(date);
  }

  async #goTo(date) {
    try {
      const ranges = await askJson("locate", { path: this.#path, since: date.toISOString() });
      if (ranges.length > 0) this.go(ranges[0].start);
      else this.#say(`nothing has come since ${time(date, this.#utc)}`);
    } catch (error) {
      this.#say(error.message);
    }
  }

  async #search() {
    const status = byId("search-status");
    status.textContent = "searching";
    byId("found").replaceChildren();
    try {
      const answer = await askJson("search", {
        path: this.#path,
        find: byId("pattern").value,
        regex: byId("regex").checked ? 1 : 0,
        ignore_case: byId("ignore-case").checked ? 1 : 0,
      });
      const why = { lines: ", and there are more", time: "; the search took too long and was ended", compressed: "; compressed files could not be read" };
      status.textContent = `${answer.lines.length} lines found${why[answer.ended_by] ?? ""}`;
      byId("found").replaceChildren(...answer.lines.map((line) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = plainText(line.text).trimEnd() || "(an empty line)";
        button.addEventListener("click", () => {
          byId("search").close();
          this.go(line.at);
        });
        const item = document.createElement("li");
        item.append(button);
        return item;
      }));
    } catch (error) {
      status.textContent = error.message;
    }
  }

  async #download() {
    try {
      const answer = await ask("download", { path: this.#path });
      const address = URL.createObjectURL(await answer.blob());
      const link = document.createElement("a");
      link.href = address;
      link.download = /filename="([^"]*)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "log";
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
    } catch (error) {
      this.#say(`the download failed: ${error.message}`);
    }
  }
}
