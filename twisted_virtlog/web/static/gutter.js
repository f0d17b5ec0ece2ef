// Times beside the rows of the terminal.
//
// Where other bytes begin that came at another time, the terminal is given a sequence of the page's own,
// which is carried out when the terminal has come so far. (The filter lets no such sequence of a guest pass.)

import { stamp } from "./format.js";

const NUMBER = 7001;

/** Returns the sequence after which what is drawn came at a time; null if nobody knows when. */
export function sequence(mark) {
  return mark === null ? `\x1b]${NUMBER};\x07` : `\x1b]${NUMBER};${mark.time};${mark.exact ? 1 : 0}\x07`;
}

export class Gutter {
  #terminal;
  #element;
  #utc = false;
  // By rows, none twice: from which row on what came when.
  #begun = [];
  // What the first rows are of, whose own beginning is gone.
  #gone = null;

  constructor(terminal, element) {
    this.#terminal = terminal;
    this.#element = element;
    terminal.parser.registerOscHandler(NUMBER, (text) => {
      const [time, exact] = text.split(";");
      this.#begin(time === "" ? null : { time: Number(time), exact: exact === "1" });
      return true;
    });
    // (once for each frame, and not for each of the lines by which it scrolls)
    terminal.onRender(() => this.draw());
  }

  get isShown() {
    return !this.#element.hidden;
  }

  set isShown(wanted) {
    this.#element.hidden = !wanted;
    this.draw();
  }

  set utc(wanted) {
    this.#utc = wanted;
    this.draw();
  }

  clear() {
    const begun = this.#begun;
    this.#begun = [];
    this.#gone = null;
    begun.forEach((one) => one.marker.dispose());
  }

  draw() {
    if (!this.isShown) return;
    const terminal = this.#terminal;
    const buffer = terminal.buffer.active;
    const end = buffer.baseY + buffer.cursorY;
    // (of a row in which nothing stands yet, nothing has come)
    const isBegun = buffer.getLine(end).translateToString(true) !== "";
    const last = Math.min(isBegun ? end : end - 1, buffer.viewportY + terminal.rows - 1);
    const labels = [];
    let index = this.#begun.length - 1;
    for (let row = last; row >= buffer.viewportY; row -= 1) {
      while (index >= 0 && this.#begun[index].marker.line > row) index -= 1;
      const mark = index < 0 ? this.#gone : this.#begun[index].mark;
      labels.push(mark === null || buffer.getLine(row)?.isWrapped ? "" : stamp(mark, this.#utc));
    }
    const text = labels.reverse().join("\n");
    if (this.#element.textContent !== text) this.#element.textContent = text;
    const screen = terminal.element.querySelector(".xterm-screen");
    this.#element.style.lineHeight = `${screen.clientHeight / terminal.rows}px`;
  }

  #begin(mark) {
    const terminal = this.#terminal;
    // (of a row that was begun before, the time stays)
    const marker = terminal.registerMarker(terminal.buffer.active.cursorX > 0 ? 1 : 0);
    while (this.#begun.length > 0 && this.#begun.at(-1).marker.line >= marker.line) {
      this.#begun.pop().marker.dispose();
    }
    const one = { marker, mark };
    this.#begun.push(one);
    marker.onDispose(() => {
      if (this.#begun[0] === one) {
        this.#begun.shift();
        this.#gone = mark;
      }
    });
  }
}
