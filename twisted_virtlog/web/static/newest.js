// What came and is yet to be shown, of which the oldest is left out if it is too much.
//
// A browser, and the kernel below it, take tens of megabytes from the program before anybody reads them.
// So whatever comes is read at once, and it is here that it waits.

import { bytesOf } from "./api.js";

/**
 * Yields events of a log that is followed; if more than `most` bytes wait, all but the last half of that
 * is left out, which an event says as the program does.
 */
export async function* newest(events, most) {
  let queue = [];
  let size = 0;
  let failure = null;
  let isEnded = false;
  let wake = () => undefined;
  const read = async () => {
    try {
      for await (const event of events) {
        queue.push(event);
        size += length(event);
        if (size > most) {
          queue = shortened(queue, most / 2);
          size = queue.reduce((sum, one) => sum + length(one), 0);
        }
        wake();
      }
    } catch (error) {
      failure = error;
    }
    isEnded = true;
    wake();
  };
  read();
  for (;;) {
    if (queue.length > 0) {
      const event = queue.shift();
      size -= length(event);
      yield event;
    } else if (failure !== null) {
      throw failure;
    } else if (isEnded) {
      return;
    } else {
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  }
}

/** Returns how many bytes an event brings. */
function length(event) {
  if (event.kind !== "data") return 0;
  if (event.value.bytes !== undefined) return event.value.bytes.length;
  const text = event.value.data;
  return (text.length / 4) * 3 - (text.endsWith("==") ? 2 : Number(text.endsWith("=")));
}

function shortened(queue, most) {
  let first = queue.length;
  for (let kept = 0; first > 0; first -= 1) {
    kept += length(queue[first - 1]);
    if (kept > most) break;
  }
  const said = [];
  let skipped = null;
  const skip = (value, bytes) => {
    if (skipped === null) {
      skipped = { start: value.start, end: value.start, bytes: 0 };
      said.push({ kind: "skipped", value: skipped });
    }
    skipped.bytes += bytes;
    skipped.end = value.end;
  };
  for (const event of queue.slice(0, first)) {
    if (event.kind === "skipped") {
      skip(event.value, event.value.bytes);
    } else if (event.kind === "data") {
      if (event.value.gap) {
        // (where something is missing it is said, but what came after that is left out as well)
        skipped = null;
        said.push(emptied(event));
      }
      skip(event.value, length(event));
    } else {
      skipped = null;
      said.push(event);
    }
  }
  const kept = queue.slice(first);
  if (skipped !== null && kept.length > 0) {
    const { dropped, rest } = fromLine(kept[0]);
    if (dropped !== null) skip(dropped, dropped.bytes);
    kept[0] = rest;
  }
  return [...said, ...kept];
}

/** Returns an event that says where bytes are missing, and brings none. */
function emptied({ kind, value: { data, ...value } }) {
  return { kind, value: { ...value, end: value.start, bytes: new Uint8Array() } };
}

/** Cuts an event's bytes so that they begin with a line, if one begins in them. */
function fromLine(event) {
  if (event.kind !== "data" || event.value.gap) return { dropped: null, rest: event };
  const { start, end } = event.value;
  const all = event.value.bytes ?? bytesOf(event.value.data);
  const bytes = all.indexOf(10) + 1;
  const [inode, offset, ...birth] = start.split(":");
  if (bytes === 0 || bytes === all.length || end.split(":")[0] !== inode) return { dropped: null, rest: event };
  const place = [inode, Number(offset) + bytes, ...birth].join(":");
  const value = { ...event.value, start: place, bytes: all.subarray(bytes) };
  return { dropped: { start, end: place, bytes }, rest: { kind: "data", value } };
}
