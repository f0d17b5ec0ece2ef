// The plain text of a log: no more than a browser lays out at once.
//
// It is made of blocks of some lines, of which only the last grows, as all of a block is laid out anew
// when something is added to it.

import { plainText } from "./filter.js";

// So much stays, and what of its first block is more.
const MOST_LINES = 10000;
const MOST = 1024 * 1024;
const NEWLINE = 10;
// A block that has so many lines, or characters, ends with its line.
const LINES_OF_BLOCK = 200;
const BLOCK = 16384;
// (a line that is longer goes on in another block)
const LONGEST_LINE = 65536;
// So much is added in one go: that takes a browser some tens of milliseconds, with times beside the lines.
const LINES_AT_ONCE = 1000;
const AT_ONCE = 16384;
const LINES = /[^\n]{1,65536}\n?|\n/g;

const UNFINISHED = /(?:\x1b(?:\[[\x30-\x3f]{0,64}[\x20-\x2f]{0,4})?|\r+)$/;

/** Returns where the last lines of some bytes begin, or what of them is no more than so many bytes. */
function beginOf(bytes, lines, size) {
  const least = Math.max(0, bytes.length - size);
  // (a line end at the very end is that of the last line)
  let at = bytes.length - 1;
  for (let count = 0; count < lines; count += 1) {
    at = at > least ? bytes.lastIndexOf(NEWLINE, at - 1) : -1;
    if (at < least) return least;
  }
  return at + 1;
}

/** Returns where so many lines of some bytes end, or so many bytes. */
function endOf(bytes, lines, size) {
  const most = Math.min(bytes.length, size);
  let at = 0;
  for (let count = 0; count < lines; count += 1) {
    at = bytes.indexOf(NEWLINE, at) + 1;
    if (at === 0 || at > most) return most;
  }
  return at;
}

/** Returns how many lines end in some bytes. */
export function countLines(bytes) {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count += 1;
  return count;
}

export class PlainText {
  #element;
  #decoder = new TextDecoder();
  // The beginning of a sequence, which may go on in what comes next.
  #rest = "";
  // What is yet to be drawn.
  #taken = [];
  // In their order, with how many lines and characters each has.
  #blocks = [];
  #lines = 0;
  #size = 0;
  // Whether the text ends within a line.
  #isInLine = false;

  constructor(element) {
    this.#element = element;
  }

  clear() {
    this.#taken = [];
    this.#empty();
  }

  /**
   * Takes what has come, to be drawn; the oldest is left out if it is too much.
   *
   * @param {Iterable<{bytes: Uint8Array, label: ?string}|{note: Element}>} pieces - parts of the log, with
   *   what stands beside their lines if anything is to stand there, and what the page says between them.
   */
  add(pieces) {
    this.#taken = this.#newest([...this.#taken, ...pieces]);
  }

  /** Draws some of what was taken; returns whether there is more. */
  draw() {
    let lines = LINES_AT_ONCE;
    let size = AT_ONCE;
    while (lines > 0 && size > 0 && this.#taken.length > 0) {
      const { note, bytes, label } = this.#taken.shift();
      if (note === undefined) {
        const end = endOf(bytes, lines, size);
        this.#append(this.#read(bytes.subarray(0, end)), label);
        lines -= countLines(bytes.subarray(0, end));
        size -= end;
        if (end < bytes.length) this.#taken.unshift({ bytes: bytes.subarray(end), label });
      } else {
        lines -= 1;
        this.#rest = "";
        this.#isInLine = false;
        this.#count(this.#begin(note, true), 1, 0);
      }
    }
    while (this.#blocks.length > 1 && this.#isTooMuch(this.#blocks[0])) {
      const { element, lines, size } = this.#blocks.shift();
      this.#lines -= lines;
      this.#size -= size;
      element.remove();
    }
    return this.#taken.length > 0;
  }

  #isTooMuch({ lines, size }) {
    return this.#lines - lines >= MOST_LINES || this.#size - size >= MOST;
  }

  #empty() {
    this.#decoder = new TextDecoder();
    this.#rest = "";
    this.#element.replaceChildren();
    this.#blocks = [];
    this.#lines = 0;
    this.#size = 0;
    this.#isInLine = false;
  }

  #read(bytes) {
    const all = this.#rest + this.#decoder.decode(bytes, { stream: true });
    const kept = all.length - (UNFINISHED.exec(all.slice(-70))?.[0].length ?? 0);
    this.#rest = all.slice(kept);
    return plainText(all.slice(0, kept));
  }

  /** Returns what of several pieces stays; if that is not all, nothing that was before them does. */
  #newest(pieces) {
    let lines = MOST_LINES;
    let size = MOST;
    for (let index = pieces.length - 1; index >= 0; index -= 1) {
      const { note, bytes, label } = pieces[index];
      if (note !== undefined) {
        lines -= 1;
      } else {
        const begin = beginOf(bytes, lines, size);
        lines -= countLines(bytes);
        size -= bytes.length;
        if (begin > 0) pieces[index] = { bytes: bytes.subarray(begin), label };
      }
      if (lines <= 0 || size <= 0) {
        this.#empty();
        return pieces.slice(index);
      }
    }
    return pieces;
  }

  /** Appends lines; a time beside each is no part of the text that one selects. */
  #append(text, label) {
    let block = null;
    let waiting = "";
    for (const line of text.match(LINES) ?? []) {
      const wasInLine = this.#isInLine;
      const next = this.#blockFor(line);
      if (next !== block) {
        if (block !== null) put(block.element, waiting);
        block = next;
        waiting = "";
      }
      if (label === null) waiting += line;
      else putLine(block.element, line, wasInLine ? "" : label, wasInLine);
      this.#isInLine = !line.endsWith("\n");
      block.inLine = this.#isInLine ? block.inLine + line.length : 0;
      this.#count(block, this.#isInLine ? 0 : 1, line.length);
    }
    if (block !== null) put(block.element, waiting);
  }

  #count(block, lines, size) {
    block.lines += lines;
    block.size += size;
    this.#lines += lines;
    this.#size += size;
  }

  /** Returns the block that a line, or what is left of it, is added to. */
  #blockFor(line) {
    const last = this.#blocks.at(-1);
    if (last === undefined || last.isNote) return this.#begin(document.createElement("div"), false);
    const isFull = this.#isInLine
      ? last.inLine + line.length > LONGEST_LINE
      : last.lines >= LINES_OF_BLOCK || last.size >= BLOCK;
    return isFull ? this.#begin(document.createElement("div"), false) : last;
  }

  #begin(element, isNote) {
    const block = { element, lines: 0, size: 0, inLine: 0, isNote };
    this.#element.append(element);
    this.#blocks.push(block);
    return block;
  }
}

function put(element, text) {
  if (element.lastChild instanceof Text) element.lastChild.appendData(text);
  else if (text !== "") element.append(text);
}

/** Puts a line, or if it goes on what is left of it, with something beside it. */
function putLine(block, text, label, goesOn) {
  if (goesOn && block.lastChild instanceof Element) {
    put(block.lastChild, text);
    return;
  }
  const line = document.createElement("span");
  line.className = "line";
  line.dataset.time = label;
  line.append(text);
  block.append(line);
}
