// Numbers and times as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Returns a number of bytes with a unit. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) {
    return "";
  }
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** Returns a time to the second, in UTC or in the browser's zone. */
export function time(date, utc) {
  const shifted = utc ? date : new Date(date.getTime() - date.getTimezoneOffset() * 60000);
  return shifted.toISOString().slice(0, 19).replace("T", " ");
}

/** Returns what stands beside a line: when it came, or by when if it may have been before. */
export function stamp(mark, utc) {
  return `${mark.exact ? " " : "\u2264"}${time(new Date(mark.time), utc)}`;
}

/** Returns the name of the browser's zone. */
export function zone(utc) {
  return utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Returns a name that others chose without what is not seen, or turns the text around. */
export function visible(text) {
  return text.replace(UNSEEN, (one) => `\u27e8U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);
}
