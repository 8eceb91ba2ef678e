// The search in the header: results are plain links below it.

import { ask } from "./api.js";
import { h, setText } from "./dom.js";
import { yuan } from "./exact.js";
import { projectPath } from "./pieces.js";
import { words } from "./words.js";

const PAUSE_MS = 200;

export class Search {
  #asked = 0;
  #timer = 0;

  constructor() {
    this.input = h("input", { type: "search", maxlength: "100", placeholder: words().search, "aria-label": words().search,
      autocomplete: "off", "aria-controls": "results", oninput: () => this.#soon() });
    this.said = h("p", { class: "hidden", role: "status" });
    this.results = h("ul", { id: "results", class: "results", hidden: true });
    this.element = h("search", { class: "search", onkeydown: (event) => this.#key(event) }, this.input, this.said, this.results);
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget)) this.close();
    });
    this.results.addEventListener("click", () => this.clear());
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  async #ask() {
    const text = this.input.value.trim();
    const number = ++this.#asked;
    if (!text) return this.close();
    let found;
    try {
      found = await ask("/projects", { search: text, limit: 8 });
    } catch {
      return this.close();
    }
    if (number !== this.#asked || found === null) return undefined;
    const { projects } = found;
    setText(this.said, words().found(projects.length));
    this.results.replaceChildren(...(projects.length ? projects.map(result) : [h("li", { class: "none" }, words().found(0))]));
    this.results.hidden = false;
    return undefined;
  }

  #key(event) {
    const links = [...this.results.querySelectorAll("a")];
    const place = links.indexOf(document.activeElement);
    if (event.key === "Escape") {
      this.close();
      this.input.focus();
    } else if (event.key === "ArrowDown" && place + 1 < links.length) {
      links[place + 1].focus();
    } else if (event.key === "ArrowUp" && place >= 0) {
      (links[place - 1] ?? this.input).focus();
    } else if (event.key === "Enter" && place < 0 && links.length) {
      links[0].click();
    } else {
      return;
    }
    event.preventDefault();
  }

  clear() {
    this.input.value = "";
    this.close();
  }

  close() {
    this.results.hidden = true;
  }
}

const result = ({ project_id: id, name, charity, fen }) =>
  h("li", {}, h("a", { href: projectPath(id) },
    h("span", { class: "who" }, h("span", { class: "name" }, name ?? id), h("span", { class: "charity" }, name ? charity || id : "")),
    h("span", { class: "amount" }, yuan(fen))));
