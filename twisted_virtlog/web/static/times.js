// When the bytes that are shown came, as far as anybody knows.

// What came between two times that are no further apart is said to have come at the latter.
const EXACT_MS = 2000;
// Of a log that is followed for long, times of so many stretches are kept.
const MOST = 20000;

export class Times {
  // In their order: bytes below `end`, but not below that of the one before, had come by `time`.
  #marks = [];

  clear() {
    this.#marks = [];
  }

  /**
   * Takes what the daemon knows of the first bytes.
   *
   * @param {[number, number][]} known - how many bytes had come, and by when.
   * @param {number} size - how many these bytes are.
   */
  know(known, size) {
    const marks = [];
    let before = -Infinity;
    for (const [end, time] of known) {
      if (end > 0 && end > (marks.at(-1)?.end ?? 0)) {
        marks.push({ end: Math.min(end, size), time, exact: time - before <= EXACT_MS });
        if (end >= size) break;
      }
      before = time;
    }
    this.#marks = [...marks, ...this.#marks.filter((mark) => mark.end > size)];
  }

  /** Notes when bytes came, up to the one before `end`. */
  came(end, { time, exact }) {
    const last = this.#marks.at(-1);
    if (last !== undefined && last.exact === exact && Math.floor(last.time / 1000) === Math.floor(time / 1000)) {
      last.end = end;
      return;
    }
    this.#marks.push({ end, time, exact });
    if (this.#marks.length > MOST) this.#marks.splice(0, MOST / 2);
  }

  /** Yields parts of bytes: from where to where, counted from the first of these, and when each came. */
  *parts(start, length) {
    let at = 0;
    for (let index = this.#first(start); at < length && index < this.#marks.length; index += 1) {
      const mark = this.#marks[index];
      const end = Math.min(mark.end - start, length);
      if (end > at) {
        yield [at, end, mark];
        at = end;
      }
    }
    if (at < length) yield [at, length, null];
  }

  #first(start) {
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#marks[middle].end > start) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
