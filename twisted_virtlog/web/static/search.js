// Looking for text in all that is kept of a log.

import { askJson } from "./api.js";
import { plainText } from "./filter.js";

const WHY_NOT_ALL = {
  lines: ", and there are more",
  time: "; the search took too long and was ended",
  compressed: "; compressed files could not be read",
};

const byId = (id) => document.getElementById(id);

export class Search {
  #go;
  #path = "";
  #asking = new AbortController();

  /** `go` shows the part of the log from a position on. */
  constructor(go) {
    this.#go = go;
    const dialog = byId("search");
    byId("search-button").addEventListener("click", () => this.open());
    byId("search-close").addEventListener("click", () => dialog.close());
    // (in a field that has something in it the key would only clear that)
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      dialog.close();
    });
    byId("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
  }

  /** Searches in a log from now on; what was found in another one is forgotten. */
  show(path) {
    if (path === this.#path) return;
    this.#asking.abort();
    this.#path = path;
    byId("search-status").textContent = "";
    byId("found").replaceChildren();
  }

  open() {
    byId("search").showModal();
    byId("pattern").select();
  }

  hide() {
    if (byId("search").open) byId("search").close();
  }

  async #search() {
    // (an answer to what was asked before would take the place of this one's)
    this.#asking.abort();
    this.#asking = new AbortController();
    const signal = this.#asking.signal;
    const status = byId("search-status");
    status.textContent = "searching";
    byId("found").replaceChildren();
    const query = {
      path: this.#path,
      find: byId("pattern").value,
      regex: byId("regex").checked ? 1 : 0,
      ignore_case: byId("ignore-case").checked ? 1 : 0,
    };
    try {
      const answer = await askJson("search", query, signal);
      status.textContent = `${answer.lines.length} lines found${WHY_NOT_ALL[answer.ended_by] ?? ""}`;
      byId("found").replaceChildren(...answer.lines.map((line) => this.#item(line)));
    } catch (error) {
      if (!signal.aborted) status.textContent = error.message;
    }
  }

  #item(line) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = plainText(line.text.trimEnd()) || "(an empty line)";
    button.addEventListener("click", () => {
      byId("search").close();
      this.#go(line.at);
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }
}
