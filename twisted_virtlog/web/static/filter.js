// Lets through to the terminal only what is harmless there.
//
// A terminal obeys what it is shown: it can be made to stand still for minutes, to take all memory,
// to hide all that follows, to answer, or to keep the mouse. So what is not known to be harmless is
// left out: what stays is text, line ends, backspaces and tabs, and those sequences that draw (move
// the cursor, erase, set colours), with small numbers.
//
// It keeps a few characters between two pieces: however a log is cut, the same comes out.

const ESC = "\x1b";

// A text within a sequence (a title, a link, a picture) that is longer than this is shown.
const LONGEST_STRING = 4096;
// More marks than this on one character are none that a language has.
const MOST_MARKS = 8;

// What passes as it is, most of every log: text, and the colours in it. (It begins with text, after
// which no marks are counted.)
const PLAIN =
  /[\t\n\r\x08\x20-\x7e\u00a1-\u02ff\u0370-\u0482\u048a-\u052f\u2500-\u259f\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3]+/
    .source;
const COLOUR = /\x1b\[(?=[\d;:]{0,56}m)\d{0,4}(?:[;:]\d{0,4})*m/.source;
const HARMLESS = new RegExp(`${PLAIN}(?:${COLOUR}(?:${PLAIN})?){0,1000}`, "y");
// What is longer is no sequence, but text.
const SEQUENCE = /\x1b\[([\x30-\x3f]{0,56})([\x20-\x2f]{0,4})([\x40-\x7e])/y;
// (such as the choice of a character set)
const SHORT = /\x1b[\x20-\x2f]{1,4}[\x30-\x7e]/y;
const UNFINISHED = /\x1b(?:\[[\x30-\x3f]{0,56}[\x20-\x2f]{0,4}|[\x20-\x2f]{0,4})$/y;
const MARK = /[\p{M}\p{Cf}\u1160-\u11ff]/u;
const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

const KEPT_AFTER_ESC = "DEM78";
const BEGINS_STRING = "P]X^_";
const DRAWS = "ABCDEFGHdfJKXP@";
const NUMBERS = /^(?:\d{0,4}(?:;\d{0,4})*)$/;
const COLOURS = /^(?:\d{0,4}(?:[;:]\d{0,4})*)$/;
// Erases what one can scroll back to, or what is saved: neither belongs to the guest.
const ERASES_MORE = /(?:^|;)0*[3-9]/;

export class TerminalFilter {
  #kept = "";
  #inString = false;
  #string = "";
  #marks = 0;

  /** Returns what of the next characters can be shown, and of what was kept before. */
  feed(text) {
    const all = this.#kept + text;
    this.#kept = "";
    const parts = [];
    let at = 0;
    while (at < all.length) {
      if (this.#inString) {
        at = this.#skipString(all, at, parts);
        continue;
      }
      HARMLESS.lastIndex = at;
      if (HARMLESS.test(all)) {
        parts.push(all.slice(at, HARMLESS.lastIndex));
        this.#marks = 0;
        at = HARMLESS.lastIndex;
        continue;
      }
      if (all[at] === ESC) {
        const next = this.#sequence(all, at, parts);
        if (next < 0) {
          this.#kept = all.slice(at);
          break;
        }
        at = next;
        continue;
      }
      const code = all.codePointAt(at);
      // (half of a character, whose other half comes next)
      if (code >= 0xd800 && code <= 0xdbff && at + 1 === all.length) {
        this.#kept = all.slice(at);
        break;
      }
      this.#character(code, parts);
      at += code > 0xffff ? 2 : 1;
    }
    return parts.join("");
  }

  /** Forgets what was kept, before another part of a log is shown. */
  reset() {
    this.#kept = "";
    this.#inString = false;
    this.#string = "";
    this.#marks = 0;
  }

  #character(code, parts) {
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
      return;
    }
    const character = String.fromCodePoint(code);
    if (DIRECTION.test(character)) {
      parts.push(`\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
      this.#marks = 0;
    } else if (MARK.test(character)) {
      this.#marks += 1;
      if (this.#marks <= MOST_MARKS) {
        parts.push(character);
      }
    } else if (code >= 0xd800 && code <= 0xdfff) {
      parts.push("\ufffd");
      this.#marks = 0;
    } else {
      parts.push(character);
      this.#marks = 0;
    }
  }

  /** Takes what begins with ESC; returns where it ends, negative if that has yet to come. */
  #sequence(all, at, parts) {
    SEQUENCE.lastIndex = at;
    const found = SEQUENCE.exec(all);
    if (found !== null) {
      if (isHarmless(found[1], found[2], found[3])) {
        parts.push(found[0]);
      }
      return at + found[0].length;
    }
    SHORT.lastIndex = at;
    const short = SHORT.exec(all);
    if (short !== null) {
      return at + short[0].length;
    }
    UNFINISHED.lastIndex = at;
    if (UNFINISHED.test(all)) {
      return -1;
    }
    const next = all[at + 1];
    if (BEGINS_STRING.includes(next)) {
      this.#inString = true;
      this.#string = "";
      return at + 2;
    }
    if (KEPT_AFTER_ESC.includes(next)) {
      parts.push(ESC + next);
      return at + 2;
    }
    // Broken: what comes after it is text. (Nor may a part of a sequence swallow a line end.)
    if (next === "[") {
      return at + 2;
    }
    return next >= " " && next <= "~" ? at + 2 : at + 1;
  }

  /** Takes what is in a string; returns where it ends, or all of it. */
  #skipString(all, at, parts) {
    for (let end = at; end < all.length; end += 1) {
      const character = all[end];
      if (character === "\x07" || character === "\u009c") {
        this.#inString = false;
        return end + 1;
      }
      if (character === "\n" || character === "\r" || character === "\x18" || character === "\x1a") {
        this.#inString = false;
        return end;
      }
      if (character === ESC) {
        // (the end is ESC and a backslash; any other sequence ends it as well)
        if (end + 1 === all.length) {
          this.#string += all.slice(at, end);
          this.#kept = all.slice(end);
          return all.length;
        }
        this.#inString = false;
        return all[end + 1] === "\\" ? end + 2 : end;
      }
      if (this.#string.length + (end - at) >= LONGEST_STRING) {
        // It hides too much to be one.
        const shown = this.#string + all.slice(at);
        this.#inString = false;
        this.#string = "";
        parts.push(this.feed(shown));
        return all.length;
      }
    }
    this.#string += all.slice(at);
    return all.length;
  }
}

function isHarmless(parameters, intermediates, final) {
  if (intermediates !== "") {
    return false;
  }
  if (final === "m") {
    return COLOURS.test(parameters);
  }
  if (!DRAWS.includes(final) || !NUMBERS.test(parameters)) {
    return false;
  }
  return final !== "J" || !ERASES_MORE.test(parameters);
}

// What is invisible in a plain text, or could make it look like another.
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const DRAWING = /\x1b(?:\[[\x30-\x3f]{0,64}[\x20-\x2f]{0,4}[\x40-\x7e]|[\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e])/g;

// (a browser takes minutes to draw very many marks on one character)
const MARKS = /([\p{M}\p{Cf}\u1160-\u11ff]{8})([\p{M}\p{Cf}\u1160-\u11ff]+)/gu;

/** Returns a part of a log as plain text: without what draws, and with what else is not printable shown. */
export function plainText(text) {
  return text
    .replace(DRAWING, "")
    .replace(/\r+\n/g, "\n")
    .replace(MARKS, (_, first, more) => `${first}\u27e8${[...more].length} more marks\u27e9`)
    .replace(UNSEEN, (one) => {
      const code = one.codePointAt(0);
      return code < 0x20 ? String.fromCharCode(0x2400 + code) : `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
    });
}
