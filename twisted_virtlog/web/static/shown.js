// Which bytes of a log are shown, and where in it they are.

export class Shown {
  // In their order: bytes from `at` on, counted from the first that was shown, begin at `start` in the
  // log, and `skipped` are left out before them.
  #parts = [];
  #size = 0;
  #skipped = 0;

  /** How many bytes were shown, or said to be left out. */
  get told() {
    return this.#size + this.#skipped;
  }

  /** Notes that the next bytes that are shown begin at a position. */
  add(start, size) {
    if (start === null) return;
    this.#parts.push({ at: this.#size, start, skipped: this.#skipped });
    this.#size += size;
  }

  /** Notes that so many bytes are left out. */
  skip(size) {
    this.#skipped += size;
  }

  /** Returns where in the log one of the bytes is: so many `ahead` of a position; null if none is shown. */
  place(at) {
    const part = this.#partOf(at);
    return part === undefined ? null : { start: part.start, ahead: at - part.at };
  }

  /** Returns how many bytes of the log there are from one of these on, with what was left out. */
  left(at) {
    return this.#size - at + this.#skipped - (this.#partOf(at)?.skipped ?? 0);
  }

  /** Forgets where bytes are that are not shown any more. */
  forget(at) {
    while (this.#parts.length > 1 && this.#parts[1].at <= at) this.#parts.shift();
  }

  #partOf(at) {
    return this.#parts.findLast((part) => part.at <= at);
  }
}
