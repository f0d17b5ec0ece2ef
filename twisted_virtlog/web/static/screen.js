// Shows bytes of a log: as a terminal draws them, and as plain text beside it.

import { TerminalFilter, plainText } from "./filter.js";
import { nextTask, note } from "./frames.js";
import { Terminal } from "./vendor/xterm/xterm.mjs";

// The terminal keeps so many lines; nothing that is shown at once has more.
export const LINES = 10000;
const MOST_TEXT = 1024 * 1024;
// The terminal takes a piece in one go, and what erases much takes long.
const PIECE = 8192;
const AT_ONCE = 8;

const UNFINISHED = /(?:\x1b(?:\[[\x30-\x3f]{0,64}[\x20-\x2f]{0,4})?|\r+)$/;

const THEMES = {
  light: { background: "#ffffff", foreground: "#1b1f24", cursor: "#ffffff", selectionBackground: "#b6d6ff", white: "#57606a", brightWhite: "#1b1f24", yellow: "#7d4e00", brightYellow: "#633c01", green: "#116329", brightGreen: "#1a7f37", cyan: "#0b5f73", brightCyan: "#0a5362" },
  dark: { background: "#0d1117", foreground: "#e6edf3", cursor: "#0d1117", selectionBackground: "#264f78" },
};

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
  #plainDecoder = new TextDecoder();
  #plainRest = "";
  #textSize = 0;
  // What the text has, as it is made only while it is shown: bytes, and what the page says.
  #recent = [];
  #recentSize = 0;
  #edge;
  #turn = Promise.resolve();

  /** `edge` is called with -1 or 1 when somebody scrolls beyond what is shown. */
  constructor(element, text, edge) {
    this.#element = element;
    this.#text = text;
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
    this.#terminal.attachCustomKeyEventHandler(() => false);
    this.#terminal.textarea?.setAttribute("tabindex", "-1");
    this.#terminal.textarea?.setAttribute("readonly", "");
    dark.addEventListener("change", () => {
      this.#terminal.options.theme = theme();
    });
    element.addEventListener("wheel", (event) => this.#beyond(Math.sign(event.deltaY)), { passive: true, capture: true });
    text.addEventListener("wheel", (event) => this.#beyond(Math.sign(event.deltaY)), { passive: true });
    new ResizeObserver(() => this.fit()).observe(element);
  }

  /** Gives the terminal as many columns and lines as there is room for. */
  fit() {
    const screen = this.#element.querySelector(".xterm-screen");
    if (screen === null || this.#element.clientHeight === 0 || screen.clientWidth === 0) {
      return;
    }
    const terminal = this.#terminal;
    const columns = Math.floor((this.#element.clientWidth - 16) / (screen.clientWidth / terminal.cols));
    const rows = Math.floor(this.#element.clientHeight / (screen.clientHeight / terminal.rows));
    if (columns > 1 && rows > 0 && (columns !== terminal.cols || rows !== terminal.rows)) {
      terminal.resize(Math.min(columns, 500), Math.min(rows, 200));
    }
  }

  /** Forgets what is shown, when what is being drawn has ended. */
  clear(signal) {
    return this.#inTurn(signal, () => this.#clear());
  }

  /** Shows bytes, and waits until they are drawn. */
  write(bytes, signal) {
    return this.#inTurn(signal, () => this.#write(bytes, signal));
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
    this.#terminal.reset();
    this.#filter.reset();
    this.#decoder = new TextDecoder();
    this.#recent = [];
    this.#recentSize = 0;
    this.#clearText();
  }

  #clearText() {
    this.#plainDecoder = new TextDecoder();
    this.#plainRest = "";
    this.#text.replaceChildren();
    this.#textSize = 0;
  }

  #keep(bytes) {
    this.#recent.push(bytes);
    this.#recentSize += bytes.length;
    while (this.#recentSize - this.#recent[0].length >= MOST_TEXT) {
      this.#recentSize -= this.#recent.shift().length;
    }
    if (this.isText) {
      this.#append(bytes);
    }
  }

  async #write(bytes, signal) {
    const text = this.#filter.feed(this.#decoder.decode(bytes, { stream: true }));
    note(bytes.length);
    this.#keep(bytes);
    let written = Promise.resolve();
    for (let at = 0, count = 1; at < text.length; at += PIECE, count += 1) {
      const piece = text.slice(at, at + PIECE);
      written = new Promise((resolve) => this.#terminal.write(piece, resolve));
      if (count % AT_ONCE === 0) {
        await written;
        await nextTask();
        signal.throwIfAborted();
      }
    }
    await written;
  }

  async #say(said) {
    this.#filter.reset();
    this.#keep(said);
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

  scrollToEnd() {
    this.#terminal.scrollToBottom();
    this.#text.scrollTop = this.#text.scrollHeight;
  }

  scrollToStart() {
    this.#terminal.scrollToTop();
    this.#text.scrollTop = 0;
  }

  scrollPages(pages) {
    this.#beyond(pages);
    this.#terminal.scrollPages(pages);
    this.#text.scrollBy(0, pages * this.#text.clientHeight * 0.9);
  }

  get isText() {
    return !this.#text.hidden;
  }

  set isText(wanted) {
    this.#text.hidden = !wanted;
    this.#element.hidden = wanted;
    this.#clearText();
    if (wanted) {
      this.#recent.forEach((one) => this.#append(one));
      this.#text.scrollTop = this.#text.scrollHeight;
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

  #append(bytes) {
    if (bytes instanceof Said) {
      this.#plainRest = "";
      this.#text.append(bytes.note());
      return;
    }
    const all = this.#plainRest + this.#plainDecoder.decode(bytes, { stream: true });
    // (a sequence may go on in what comes next)
    const kept = all.length - (UNFINISHED.exec(all.slice(-70))?.[0].length ?? 0);
    this.#plainRest = all.slice(kept);
    const shown = plainText(all.slice(0, kept));
    if (shown === "") {
      return;
    }
    const wasAtEnd = this.isText && this.isAtEnd;
    for (let at = 0; at < shown.length; at += 65536) {
      const part = shown.slice(at, at + 65536);
      this.#text.append(document.createTextNode(part));
      this.#textSize += part.length;
    }
    while (this.#textSize > MOST_TEXT && this.#text.firstChild !== null) {
      this.#textSize -= this.#text.firstChild.nodeType === Node.TEXT_NODE ? this.#text.firstChild.length : 0;
      this.#text.firstChild.remove();
    }
    if (wasAtEnd) {
      this.#text.scrollTop = this.#text.scrollHeight;
    }
  }
}
