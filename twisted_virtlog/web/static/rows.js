// Which bytes the rows of the terminal show.

// Each mark costs something with each row that goes out at the top.
const ROWS_BETWEEN = 512;

/** Returns how many rows bytes take if they are text, and nothing moves the cursor. */
export function countRows(bytes, columns) {
  let rows = 0;
  let at = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
    // (what ends at the last column, and its CR, take no other row)
    rows += 1 + Math.max(0, Math.floor((end - at - 2) / columns));
    at = end + 1;
  }
  return rows + Math.floor((bytes.length - at) / columns);
}

export class Rows {
  #terminal;
  // In their order: the rows at which the bytes from `at` on begin. Of those that are gone none is here.
  #marks = [];
  #begin = 0;

  constructor(terminal) {
    this.#terminal = terminal;
    this.clear(0);
  }

  /** Forgets all rows; what is shown next are the bytes from one on. */
  clear(at) {
    for (const { marker } of this.#marks.splice(0)) marker.dispose();
    this.#begin = at;
    this.#add(at);
  }

  /** Notes that the terminal shows all bytes before one, and none from it on. */
  mark(at) {
    const buffer = this.#terminal.buffer.active;
    this.#trim();
    const last = this.#marks.at(-1);
    if (last === undefined || buffer.baseY + buffer.cursorY - last.marker.line >= ROWS_BETWEEN) this.#add(at);
  }

  /** Returns from which byte on surely all are shown, and how many rows are before it. */
  get top() {
    this.#trim();
    const [first] = this.#marks;
    if (first?.at === this.#begin) return { at: first.at, rows: 0 };
    // (on one screen a guest can go back to a row above)
    const mark = this.#marks.find(({ marker }) => marker.line >= this.#terminal.rows) ?? this.#marks.at(-1);
    return { at: mark.at, rows: mark.marker.line };
  }

  /** Whether no row is gone. */
  get areAll() {
    return this.top.at === this.#begin;
  }

  #add(at) {
    this.#marks.push({ at, marker: this.#terminal.registerMarker(0) });
  }

  #trim() {
    while (this.#marks.length > 0 && this.#marks[0].marker.isDisposed) this.#marks.shift();
  }
}
