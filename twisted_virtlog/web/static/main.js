// The page: which part is shown, and the keys.

import { List } from "./list.js";
import { Log } from "./log.js";

const byId = (id) => document.getElementById(id);

function say(text) {
  if (byId("status").textContent !== text) {
    byId("status").textContent = text;
  }
}

/** Puts into the address what is shown, so that it can be passed on. */
function change(address, isOtherView = false) {
  if (isOtherView) history.replaceState(null, "", `#${address}`);
  else history.pushState(null, "", `#${address}`);
}

const list = new List(say, change);
const log = new Log(say, change);
let shown = null;

function show() {
  const address = new URLSearchParams(location.hash.slice(1));
  const wanted = address.has("log") ? log : list;
  shown?.hide();
  say("");
  shown = wanted;
  shown.show(address);
}

const LOG_KEYS = {
  "/": () => log.openSearch(),
  f: () => log.follow(),
  End: () => log.follow(),
  p: () => log.older(),
  n: () => log.newer(),
  t: () => log.toggleText(),
  w: () => log.toggleWrap(),
  c: () => log.toggleTimes(),
  g: () => log.toggleGuest(),
  z: () => log.showAllTime(),
  u: () => log.toggleUtc(),
  s: () => log.loadSkipped(),
  e: () => log.next("failure"),
  b: () => log.next("boot"),
  Home: () => log.scrollToStart(),
  PageUp: () => log.scrollPages(-1),
  PageDown: () => log.scrollPages(1),
  Escape: () => {
    location.hash = "";
  },
};

const LIST_KEYS = {
  "/": () => byId("find").focus(),
  p: () => list.turn(-1),
  n: () => list.turn(1),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea:not(.xterm-helper-textarea)");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null) {
    return;
  }
  // (in the timeline some keys mean something else)
  if (shown === log && log.takesKey(event)) {
    event.preventDefault();
    return;
  }
  const act = event.key === "?" ? () => byId("help").showModal() : (shown === log ? LOG_KEYS : LIST_KEYS)[event.key];
  if (act !== undefined) {
    event.preventDefault();
    act();
  }
}, { capture: true });

byId("help-button").addEventListener("click", () => byId("help").showModal());
window.addEventListener("popstate", show);
show();
export { log };
