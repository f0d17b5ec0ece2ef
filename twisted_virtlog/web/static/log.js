// One log: as it comes, and back to any byte that is kept.

import { ask, askJson, bytesOf, events, pause, whileVisible } from "./api.js";
import { size, visible, zone } from "./format.js";
import { newest } from "./newest.js";
import { Past } from "./past.js";
import { LINES, Screen } from "./screen.js";
import { Search } from "./search.js";
import { Shown } from "./shown.js";
import { countLines } from "./text.js";

const WINDOW = 1024 * 1024;
// So few are loaded however many lines they are, and of so few the last rows are shown.
const LEAST = 4096;
const FEWEST = 256;
// More than this is not waited for: all but the last half of it is skipped.
const MOST_BEHIND = 4 * 1024 * 1024;
// Before the first byte of any log.
const BEGINNING = "0:0";
// A log that is there for some is not there for others, yet.
const NOT_KNOWN = [403, 404];
// What comes so soon after a stream has gone on may have waited.
const BACKLOG_MS = 2000;
// How often it is said which part is shown, while that changes all the time.
const PART_MS = 1000;
// The terminal does not scroll by touch.
const TEXT_FIRST = matchMedia("(pointer: coarse)").matches;

const byId = (id) => document.getElementById(id);

/** Returns whether a failure may be over soon: nobody has answered, or a proxy for who is not there. */
function isPassing(error) {
  return error.status === undefined || error.status >= 500;
}

/** Returns which file a position is in. */
function fileOf(position) {
  return position?.split(":")[0];
}

export class Log {
  #stop = new AbortController();
  #path = "";
  // Where what is shown begins; null for the newest.
  #at = null;
  #say;
  #change;
  #screen;
  #search;
  #past;
  #window = { start: null, end: null, loaded: null, length: 0, size: 0, behind: 0 };
  #shown = new Shown();
  #isMeasuring = false;
  #placing = null;
  #following = false;
  #opening = null;
  // What was left out last, until another part is shown.
  #skipped = null;
  #news = 0;
  #utc = false;

  constructor(say, change) {
    this.#say = say;
    this.#change = change;
    this.#screen = new Screen(byId("terminal"), byId("gutter"), byId("text"), (direction) => this.#edge(direction));
    this.#search = new Search((at) => this.go(at));
    this.#past = new Past(say, (at) => this.go(at));
    const on = (id, act) => byId(id).addEventListener("click", act);
    on("follow", () => this.follow());
    on("older", () => this.older());
    on("newer", () => this.newer());
    on("as-text", () => this.toggleText());
    on("wrap", () => this.toggleWrap());
    on("times", () => this.toggleTimes());
    on("utc", () => this.toggleUtc());
    on("download", () => this.#download());
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
    this.#search.show(this.#path);
    this.#past.show(this.#path, this.#utc);
    if (this.#at === null) {
      this.#follow();
    } else {
      this.#open({ from: this.#at }, "start");
    }
  }

  hide() {
    this.#stop.abort();
    this.#past.hide();
    this.#search.hide();
    byId("log").hidden = true;
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
    if (this.#before() === 0) return;
    const { at, rows } = this.#screen.top;
    const place = this.#shown.place(at);
    if (place !== null) this.#open({ before: place.start, ahead: place.ahead }, "end", rows);
  }

  /** Shows what comes after this part; at the end of all, what is yet to come. */
  newer() {
    if (!this.#following && this.#window.end !== null) {
      this.#open({ from: this.#window.end }, "newer");
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
    this.#past.utc = this.#utc;
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

  toggleGuest() {
    this.#past.toggleGuest();
  }

  showAllTime() {
    this.#past.showAllTime();
  }

  /** Returns whether a key was one of the timeline's, in which one is. */
  takesKey(event) {
    return this.#past.takesKey(event);
  }

  openSearch() {
    this.#search.open();
  }

  /** Goes to the next boot, or the next failure, after what is shown. */
  next(wanted) {
    this.#past.next(wanted, this.#at);
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

  /** How many bytes were shown, or said to be left out, for whoever tests this page. */
  get told() {
    return this.#shown.told;
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
    this.#past.stay();
    this.#stop = new AbortController();
    this.#following = false;
    this.#skipped = null;
    this.#came(0);
  }

  /**
   * Shows another part of the log.
   *
   * @param {string} end - at which end one begins to read: "start", "end"; or what is "newer".
   * @param {number} rows - so many rows at its end have been seen.
   */
  async #open(query, end, rows = 0) {
    this.#begin();
    const signal = this.#stop.signal;
    this.#opening = signal;
    try {
      let window = await this.#loadPatiently(query, signal);
      // (at the very end there is only what is before it)
      const isEnd = query.from !== undefined && window.length === 0 && window.size > window.behind;
      if (isEnd && end === "newer") {
        this.follow();
        return;
      }
      if (isEnd) window = await this.#loadPatiently({ before: query.from }, signal);
      await this.#draw(window, signal);
      // (what erases, or moves the cursor, may take more rows than there are)
      for (let bytes = window.length >> 1; end !== "end" && !isEnd && !this.#screen.isWhole && bytes >= FEWEST; bytes >>= 1) {
        window = await this.#loadPatiently(query, signal, bytes);
        await this.#draw(window, signal);
      }
      if (end !== "end" && !isEnd) {
        this.#screen.scrollToStart();
      } else {
        this.#screen.scrollToEnd();
        this.#screen.scrollRows(-rows);
      }
      if (end !== "start") this.#name(window.start);
      this.#place();
    } catch (error) {
      if (!signal.aborted) this.#say(error.message);
    } finally {
      if (this.#opening === signal) this.#opening = null;
    }
  }

  /** Loads a part of the log, also while the program, or the daemon, comes and goes. */
  async #loadPatiently(query, signal, bytes = WINDOW) {
    for (let wait = 100; ; wait = Math.min(2 * wait, 1000)) {
      try {
        const window = await this.#load(query, signal, bytes);
        this.#say("");
        return window;
      } catch (error) {
        if (signal.aborted || !isPassing(error)) throw error;
        this.#say(error.message);
        await pause(wait, signal);
      }
    }
  }

  /** Loads a part of the log, with no more rows than the terminal keeps if nothing moves the cursor. */
  async #load(query, signal, most = WINDOW) {
    let bytes = most;
    for (;;) {
      const answer = await ask("window", { path: this.#path, bytes, ...query }, signal);
      const data = new Uint8Array(await answer.arrayBuffer());
      const rows = this.#screen.countRows(data);
      if (rows < LINES || bytes < LEAST) {
        const header = (name) => answer.headers.get(`Virtlog-${name}`);
        const all = Number(header("Size"));
        const behind = Math.max(0, all - Number(header("Before")) - data.length);
        return { data, length: data.length, loaded: header("End"), start: header("Start"), end: header("End"), gap: header("Gap") === "1", size: all, behind };
      }
      bytes = Math.floor((bytes * LINES * 0.9) / rows);
    }
  }

  async #draw(window, signal) {
    const known = this.#screen.hasTimes ? await this.#timesOf(window, signal) : [];
    await this.#screen.clear(signal);
    this.#window = window;
    this.#shown = new Shown();
    this.#shown.add(window.start, window.length);
    await this.#screen.knowTimes(known, window.length, signal);
    if (window.gap) {
      const isFirst = window.size - window.behind === window.length;
      await this.#screen.say(isFirst ? "what was here before is not kept any more" : "bytes are missing here", signal);
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
          let window = { data: new Uint8Array(), length: 0, loaded: null, start: null, end: null, gap: false, size: 0, behind: 0 };
          try {
            window = await this.#load({ before: "" }, signal);
          } catch (error) {
            if (!NOT_KNOWN.includes(error.status)) throw error;
          }
          await this.#draw(window, shown);
          // (what is behind it comes)
          window.size -= window.behind;
          window.behind = 0;
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
    this.#shown.skip(skipped.bytes);
    this.#skipped = skipped.start;
  }

  async #take(chunk, came, isFirst, shown) {
    if (chunk.gap && !isFirst) {
      await this.#screen.say(
        chunk.missed ? `${size(chunk.missed)} are missing here: they were rotated away` : "bytes may be missing here",
        shown,
      );
    }
    this.#past.renew();
    const bytes = chunk.bytes ?? bytesOf(chunk.data);
    const seen = this.#screen.isAtEnd;
    const file = fileOf(this.#window.end);
    this.#shown.add(chunk.start, bytes.length);
    await this.#screen.write(bytes, shown, came);
    shown.throwIfAborted();
    this.#shown.forget(this.#screen.kept);
    this.#window.end = chunk.end;
    this.#window.start ??= chunk.start;
    this.#window.size += bytes.length;
    if (file !== undefined && file !== fileOf(chunk.end)) this.#measure(shown);
    if (!seen) this.#came(this.#news + countLines(bytes));
    else if (this.#news > 0) this.#came(0);
    else if (file === undefined) this.#place();
    else this.#placeSoon();
  }

  /** Asks how much is kept: where a file begins, the oldest one may have been removed. */
  async #measure(signal) {
    if (this.#isMeasuring) return;
    this.#isMeasuring = true;
    try {
      for (let file; file !== fileOf(this.#window.end); ) {
        file = fileOf(this.#window.end);
        const { told } = this.#shown;
        const answer = await ask("window", { path: this.#path, before: this.#window.end, bytes: 0 }, signal);
        signal.throwIfAborted();
        this.#window.size = Number(answer.headers.get("Virtlog-Before")) + this.#shown.told - told;
      }
      this.#placeSoon();
    } catch {
      // (who is not answered is not followed either, and the next file is another try)
    } finally {
      this.#isMeasuring = false;
    }
  }

  /** Returns how many bytes are kept before what is shown. */
  #before() {
    const { size: kept, behind } = this.#window;
    return Math.max(0, kept - behind - this.#shown.left(this.#screen.top.at));
  }

  #came(lines) {
    this.#news = lines;
    this.#place();
  }

  /** Has the address name where what is shown begins. */
  #name(at) {
    // (who followed can go back to that)
    const isOtherView = this.#at !== null;
    this.#at = at;
    this.#change(this.#address(), isOtherView);
  }

  #place() {
    const following = this.#following;
    const before = this.#before();
    byId("follow").setAttribute("aria-pressed", String(following));
    byId("older").disabled = before === 0;
    byId("newer").disabled = following;
    const news = this.#news > 0 ? `, ${this.#news} new lines below: f follows again` : "";
    const state = following ? (this.#window.end === null ? "waiting for the log" : "following") : "reading";
    const times = this.#screen.hasTimes ? `, times in ${zone(this.#utc)}` : "";
    const kept = this.#window.size > 0 ? `, from byte ${before} of ${this.#window.size} that are kept` : ", nothing is kept yet";
    // (what does not change is not said again, and how much there is only to who asks)
    for (const [id, text] of [["doing", `${state}${times}${news}`], ["part", kept]]) {
      if (byId(id).textContent !== text) byId(id).textContent = text;
    }
  }

  #placeSoon() {
    this.#placing ??= setTimeout(() => {
      this.#placing = null;
      this.#place();
    }, PART_MS);
  }

  #edge(direction) {
    if (this.#opening !== null) return;
    if (direction < 0) this.older();
    else this.newer();
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
