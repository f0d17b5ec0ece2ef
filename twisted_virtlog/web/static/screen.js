// Shows bytes of a log: as a terminal draws them, and as plain text beside it.

import { TerminalFilter } from "./filter.js";
import { stamp } from "./format.js";
import { hurry, nextTask, note } from "./frames.js";
import { Gutter, sequence } from "./gutter.js";
import { Rows, countRows } from "./rows.js";
import { PlainText } from "./text.js";
import { Times } from "./times.js";
import { Terminal } from "./vendor/xterm/xterm.mjs";

// The terminal keeps so many lines; nothing that is shown at once has more.
export const LINES = 10000;
const MOST_TEXT = 1024 * 1024;
// What comes in such small pieces is kept together.
const SMALL = 4096;
// Below whatever there is.
const END = 1e9;
// The terminal takes a piece in one go, and what erases much takes long.
const PIECE = 8192;
const AT_ONCE = 8;
// So many columns there are where lines are not wrapped.
const WIDE = 500;

const THEMES = {
  light: { background: "#ffffff", foreground: "#1b1f24", cursor: "#ffffff", selectionBackground: "#b6d6ff", white: "#57606a", brightWhite: "#1b1f24", yellow: "#7d4e00", brightYellow: "#633c01", green: "#116329", brightGreen: "#1a7f37", cyan: "#0b5f73", brightCyan: "#0a5362" },
  dark: { background: "#0d1117", foreground: "#e6edf3", cursor: "#0d1117", selectionBackground: "#264f78" },
};

/** Returns the bytes of both. */
function joined(first, second) {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

/** What the page says between the bytes. */
class Said {
  length = 0;

  constructor(text, button) {
    this.text = text;
    this.button = button;
  }

  note() {
    const note = document.createElement("span");
    note.className = "said";
    note.append(`\n\u2500\u2500 ${this.text} `, ...(this.button === undefined ? [] : [this.made()]), "\u2500\u2500\n");
    return note;
  }

  /** Returns the button. */
  made() {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "said";
    button.textContent = this.button.label;
    button.addEventListener("click", this.button.act);
    return button;
  }
}

export class Screen {
  #terminal;
  #element;
  #text;
  #filter = new TerminalFilter();
  #decoder = new TextDecoder();
  #plain;
  // What is yet to be added to the text, with the next frame; null if all of it is to be made anew.
  #waiting = [];
  #waitingSize = 0;
  #isFrameAsked = false;
  // Whether more of the text is drawn soon, and up to where it is scrolled until all is drawn; null if
  // it stays where it is.
  #isDrawing = false;
  #top = null;
  // What the text has, as it is made only while it is shown: bytes, and what the page says.
  #recent = [];
  #recentSize = 0;
  #edge;
  #turn = Promise.resolve();
  // How many bytes have been shown since nothing was, and when they came.
  #shown = 0;
  #times = new Times();
  #gutter;
  #rows;
  #isWrapped = true;
  #utc = false;

  /** `edge` is called with -1 or 1 when somebody scrolls beyond what is shown. */
  constructor(element, gutter, text, edge) {
    this.#element = element;
    this.#text = text;
    this.#plain = new PlainText(text);
    this.#edge = edge;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const theme = () => (dark.matches ? THEMES.dark : THEMES.light);
    this.#terminal = new Terminal({
      // (for buttons in lines)
      allowProposedApi: true,
      disableStdin: true,
      scrollOnEraseInDisplay: true,
      scrollback: LINES,
      convertEol: true,
      cursorBlink: false,
      cursorInactiveStyle: "none",
      fontFamily: "ui-monospace, monospace",
      fontSize: 13,
      minimumContrastRatio: 4.5,
      theme: theme(),
    });
    this.#terminal.open(element);
    this.#gutter = new Gutter(this.#terminal, gutter);
    this.#rows = new Rows(this.#terminal);
    this.#terminal.attachCustomKeyEventHandler(() => false);
    this.#terminal.textarea?.setAttribute("tabindex", "-1");
    this.#terminal.textarea?.setAttribute("readonly", "");
    dark.addEventListener("change", () => {
      this.#terminal.options.theme = theme();
    });
    element.addEventListener("wheel", (event) => this.#beyond(Math.sign(event.deltaY)), { passive: true, capture: true });
    text.addEventListener("wheel", (event) => this.#beyond(Math.sign(event.deltaY)), { passive: true });
    // (who scrolls is not held where the text is being drawn)
    for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) {
      text.addEventListener(kind, () => { this.#top = null; }, { passive: true });
    }
    new ResizeObserver(() => this.fit()).observe(element);
  }

  /** Gives the terminal as many columns and lines as there is room for. */
  fit() {
    const screen = this.#element.querySelector(".xterm-screen");
    if (screen === null || this.#element.clientHeight === 0 || screen.clientWidth === 0) {
      return;
    }
    const terminal = this.#terminal;
    const room = Math.floor((this.#element.clientWidth - 16) / (screen.clientWidth / terminal.cols));
    const columns = this.#isWrapped ? room : Math.max(room, WIDE);
    const rows = Math.floor(this.#element.clientHeight / (screen.clientHeight / terminal.rows));
    if (columns > 1 && rows > 0 && (columns !== terminal.cols || rows !== terminal.rows)) {
      terminal.resize(Math.min(columns, WIDE), Math.min(rows, 200));
    }
  }

  /** Forgets what is shown, when what is being drawn has ended. */
  clear(signal) {
    return this.#inTurn(signal, () => this.#clear());
  }

  /** Shows bytes, and waits until they are drawn; `came` says when they came, if that is known. */
  write(bytes, signal, came = null) {
    return this.#inTurn(signal, () => {
      const shown = this.#shown;
      if (came !== null) this.#times.came(shown + bytes.length, came);
      this.#shown += bytes.length;
      this.#keep(bytes);
      return this.#write(bytes, shown, signal);
    });
  }

  /** Takes what the daemon knows of when the first bytes came: see Times. */
  knowTimes(known, size, signal) {
    return this.#inTurn(signal, () => this.#times.know(known, size));
  }

  /** Shows anew what is shown, with or without times. */
  showTimes(wanted, signal) {
    return this.#inTurn(signal, () => {
      this.hasTimes = wanted;
      return wanted ? this.#drawAgain(signal) : undefined;
    });
  }

  get hasTimes() {
    return this.#gutter.isShown;
  }

  /** (what the terminal shows already gets none by this) */
  set hasTimes(wanted) {
    this.#gutter.isShown = wanted;
    this.fit();
    this.#drawText();
  }

  set utc(wanted) {
    this.#utc = wanted;
    this.#gutter.utc = wanted;
    if (this.hasTimes) this.#drawText();
  }

  get isWrapped() {
    return this.#isWrapped;
  }

  set isWrapped(wanted) {
    this.#isWrapped = wanted;
    this.#text.classList.toggle("wrapped", wanted);
    this.#element.classList.toggle("wide", !wanted);
    this.#element.scrollLeft = 0;
    this.fit();
  }

  /** Says something of the page's own between the bytes, with a button if there is something to do. */
  say(text, signal, button) {
    return this.#inTurn(signal, () => this.#say(new Said(text, button)));
  }

  /** Does one thing after the other: the terminal draws later than it is asked to. */
  #inTurn(signal, act) {
    const done = this.#turn.then(() => {
      signal.throwIfAborted();
      return act();
    });
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #clear() {
    this.#recent = [];
    this.#recentSize = 0;
    this.#shown = 0;
    this.#clearTerminal();
    this.#times.clear();
    this.#drawText();
  }

  #clearTerminal() {
    this.#gutter.clear();
    this.#terminal.reset();
    this.#rows.clear(this.#shown - this.#recentSize);
    this.#filter.reset();
    this.#decoder = new TextDecoder();
  }

  async #drawAgain(signal) {
    const buffer = this.#terminal.buffer.active;
    const below = buffer.baseY - buffer.viewportY;
    this.#clearTerminal();
    for (const [one, shown] of this.#kept()) {
      if (one instanceof Said) await this.#draw(one);
      else await this.#write(one, shown, signal);
    }
    this.#terminal.scrollLines(-below);
  }

  /** Returns where the last lines begin that the text surely has. */
  #textTop() {
    let shown = this.#shown;
    let lines = 0;
    for (const bytes of this.#recent.toReversed()) {
      if (bytes instanceof Said) {
        lines += 1;
        continue;
      }
      for (let at = bytes.length; (at = at > 0 ? bytes.lastIndexOf(10, at - 1) : -1) >= 0; ) {
        lines += 1;
        if (lines > LINES) return shown - bytes.length + at + 1;
      }
      shown -= bytes.length;
    }
    return shown;
  }

  /** Yields what is kept, and how many bytes were shown before each. */
  *#kept() {
    let shown = this.#shown - this.#recentSize;
    for (const one of [...this.#recent]) {
      yield [one, shown];
      shown += one.length;
    }
  }

  /** Makes the text anew. */
  #drawText() {
    this.#top = this.isAtEnd ? END : this.#text.scrollTop;
    this.#waiting = [];
    this.#waitingSize = 0;
    this.#plain.clear();
    this.#text.classList.toggle("timed", this.hasTimes);
    if (!this.isText) return;
    this.#plain.add(this.#pieces(this.#kept()));
    this.#drawMore();
  }

  /** Adds to the text what came since the last frame. */
  #drawWaiting() {
    if (this.#waiting === null) {
      this.#drawText();
    } else if (this.#waiting.length > 0) {
      this.#plain.add(this.#pieces(this.#waiting));
      this.#waiting = [];
      this.#waitingSize = 0;
      this.#drawMore();
    }
  }

  /** Draws some of the text, and the rest of it by and by. */
  #drawMore() {
    if (this.isAtEnd) this.#top ??= END;
    const isMore = this.#plain.draw();
    // (this lays out what was added, before more is)
    if (this.#top !== null) this.#text.scrollTop = this.#top;
    if (!isMore) this.#top = null;
    else if (!this.#isDrawing) this.#drawRest();
  }

  async #drawRest() {
    this.#isDrawing = true;
    await nextTask();
    this.#isDrawing = false;
    this.#drawMore();
  }

  *#pieces(entries) {
    for (const [one, shown] of entries) {
      if (one instanceof Said) {
        yield { note: one.note() };
      } else if (this.hasTimes) {
        for (const [begin, end, mark] of this.#times.parts(shown, one.length)) {
          yield { bytes: one.subarray(begin, end), label: mark === null ? "" : stamp(mark, this.#utc) };
        }
      } else {
        yield { bytes: one, label: null };
      }
    }
  }

  #keep(bytes) {
    const last = this.#recent.at(-1);
    if (last instanceof Uint8Array && bytes instanceof Uint8Array && last.length + bytes.length <= SMALL) {
      this.#recent[this.#recent.length - 1] = joined(last, bytes);
    } else {
      this.#recent.push(bytes);
    }
    this.#recentSize += bytes.length;
    while (this.#recentSize - this.#recent[0].length >= MOST_TEXT) {
      this.#recentSize -= this.#recent.shift().length;
    }
    if (this.isText) this.#wait(bytes);
  }

  #wait(bytes) {
    this.#waitingSize += bytes.length;
    if (this.#waitingSize > MOST_TEXT) this.#waiting = null;
    this.#waiting?.push([bytes, this.#shown - bytes.length]);
    if (this.#isFrameAsked) return;
    this.#isFrameAsked = true;
    window.requestAnimationFrame(() => {
      this.#isFrameAsked = false;
      this.#drawWaiting();
    });
  }

  async #write(bytes, shown, signal) {
    note(bytes.length);
    let written = Promise.resolve();
    let count = 0;
    for (const [begin, end, mark] of this.#cut(bytes, shown)) {
      const text = this.#filtered(bytes.subarray(begin, end));
      written = new Promise((resolve) => {
        this.#terminal.write(mark + text, () => {
          this.#rows.mark(shown + end);
          resolve();
        });
      });
      count += 1;
      if (count % AT_ONCE === 0) {
        await written;
        await nextTask();
        signal.throwIfAborted();
      }
    }
    await written;
  }

  #filtered(bytes) {
    return this.#filter.feed(this.#decoder.decode(bytes, { stream: true }));
  }

  /** Yields what the terminal takes in one go: from where to where, and what it is given before. */
  *#cut(bytes, shown) {
    const parts = this.hasTimes ? this.#times.parts(shown, bytes.length) : [[0, bytes.length, undefined]];
    for (const [begin, end, mark] of parts) {
      let before = mark === undefined ? "" : sequence(mark);
      for (let at = begin, next; at < end; at = next) {
        const piece = bytes.subarray(at, Math.min(at + PIECE, end));
        // (with a line, if one ends in it)
        next = at + (piece.lastIndexOf(10) + 1 || piece.length);
        yield [at, next, before];
        before = "";
      }
    }
  }

  #say(said) {
    this.#filter.reset();
    this.#keep(said);
    return this.#draw(said);
  }

  async #draw(said) {
    const terminal = this.#terminal;
    const write = (text) => new Promise((resolve) => terminal.write(text, resolve));
    await write(`\x1b[0m\r\n\x1b[7m ${said.text} \x1b[0m`);
    if (said.button !== undefined) {
      const x = terminal.buffer.active.cursorX + 1;
      const row = terminal.registerMarker(0);
      const place = terminal.registerDecoration({ marker: row, x, width: said.button.label.length + 2, layer: "top" });
      place?.onRender((element) => {
        if (element.firstChild === null) element.append(said.made());
      });
    }
    await write("\r\n");
  }

  /** Whether the end of what is shown is seen. */
  get isAtEnd() {
    if (!this.#text.hidden) {
      return this.#text.scrollTop + this.#text.clientHeight >= this.#text.scrollHeight - 4;
    }
    const buffer = this.#terminal.buffer.active;
    return buffer.viewportY >= buffer.baseY;
  }

  /** Returns from which byte on all are shown, and how many rows are before it that nobody knows better. */
  get top() {
    return this.isText ? { at: this.#textTop(), rows: 0 } : this.#rows.top;
  }

  /** Returns before which byte nothing is shown, in neither way. */
  get kept() {
    return Math.min(this.#rows.top.at, this.#shown - this.#recentSize);
  }

  /** Whether the terminal has all that is shown, from its beginning on. */
  get isWhole() {
    return this.#rows.areAll;
  }

  /** Returns how many rows bytes take, if nothing in them moves the cursor. */
  countRows(bytes) {
    return countRows(bytes, this.#terminal.cols);
  }

  scrollRows(rows) {
    if (!this.isText) this.#terminal.scrollLines(rows);
  }

  scrollToEnd() {
    hurry();
    this.#drawWaiting();
    this.#terminal.scrollToBottom();
    this.#scrollText(END);
  }

  scrollToStart() {
    hurry();
    this.#drawWaiting();
    this.#terminal.scrollToTop();
    this.#scrollText(0);
  }

  #scrollText(top) {
    if (this.#isDrawing) this.#top = top;
    this.#text.scrollTop = top;
  }

  scrollPages(pages) {
    this.#beyond(pages);
    this.#top = null;
    this.#terminal.scrollPages(pages);
    this.#text.scrollBy(0, pages * this.#text.clientHeight * 0.9);
  }

  get isText() {
    return !this.#text.hidden;
  }

  set isText(wanted) {
    this.#text.hidden = !wanted;
    this.#element.parentElement.hidden = wanted;
    this.#drawText();
    if (wanted) {
      this.#scrollText(END);
      this.#text.focus();
    } else {
      this.fit();
    }
  }

  /** Returns the last lines of the terminal, as they are drawn. */
  lines(count = Infinity) {
    const buffer = this.#terminal.buffer.active;
    const lines = [];
    for (let index = Math.max(0, buffer.length - count); index < buffer.length; index += 1) {
      lines.push(buffer.getLine(index).translateToString(true));
    }
    return lines;
  }

  #beyond(direction) {
    const buffer = this.#terminal.buffer.active;
    const atStart = this.isText ? this.#text.scrollTop <= 0 : buffer.viewportY === 0;
    if (direction < 0 && atStart) {
      this.#edge(-1);
    } else if (direction > 0 && this.isAtEnd) {
      this.#edge(1);
    }
  }
}
