// What several pages are made of: lists of projects, tiles, notes.

import { amountCounter } from "./counter.js";
import { h, setText } from "./dom.js";
import { count, thousandths, yuan } from "./exact.js";
import { words } from "./words.js";

/** How many donations a great figure is made of; nothing is said of none. */
export const counted = (donations) => (BigInt(donations) === 0n ? "" : words().countedOnce(count(donations)));

export const projectPath = (id) => `/project?id=${encodeURIComponent(id)}`;

/** A projects' list, greatest first; `set(projects)` keeps the rows that stay, so that the focus stays too. */
export class ProjectList {
  #rows = new Map();

  constructor(label) {
    this.element = h("ol", { class: "projects", "aria-label": label });
  }

  set(projects) {
    const most = projects[0]?.fen ?? 0;
    const rows = projects.map((project) => this.#row(project, most));
    const current = [...this.element.children];
    if (rows.length !== current.length || rows.some((row, place) => row !== current[place])) {
      const focused = document.activeElement;
      this.element.replaceChildren(...rows);
      if (this.element.contains(focused)) focused.focus({ preventScroll: true });
    }
    const ids = new Set(projects.map((project) => project.project_id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
  }

  #row(project, most) {
    let row = this.#rows.get(project.project_id);
    if (!row) {
      const [name, charity, amount, donations, bar] = ["name", "charity", "amount", "donations", "bar"].map((part) =>
        h("span", { class: part, ...(part === "bar" ? { "aria-hidden": "true" } : {}) }));
      const link = h("a", { href: projectPath(project.project_id) },
        h("span", { class: "who" }, name, charity), h("span", { class: "what" }, amount, donations), bar);
      row = h("li", {}, link);
      row.parts = { name, charity, amount, donations, bar };
      this.#rows.set(project.project_id, row);
    }
    const { name, charity, amount, donations, bar } = row.parts;
    setText(name, project.name ?? project.project_id);
    setText(charity, project.name ? project.charity || project.project_id : "");
    setText(amount, yuan(project.fen));
    setText(donations, words().donations(count(project.donations)));
    bar.style.setProperty("--share", thousandths(project.fen, most) / 1000);
    return row;
  }
}

/** A figure with its name and how many donations it is; `set(sum)`. */
class Tile {
  constructor(label) {
    this.whole = h("span", { class: "whole" });
    this.cents = h("span", { class: "cents" });
    this.donations = h("p", { class: "donations" });
    this.label = h("h2", {}, label);
    this.amount = h("p", { class: "amount" }, h("span", { class: "sign" }, "¥"), this.whole, this.cents);
    this.element = h("section", { class: "tile" }, this.label, this.amount, this.donations);
    this.counter = amountCounter(this.whole, this.cents, (characters) => {
      this.characters = characters;
    });
  }

  set(sum) {
    this.counter.set(sum.fen ?? 0);
    setText(this.donations, words().donations(count(sum.donations ?? 0)));
  }
}

/** Several tiles by their names, in letters of one size: that in which the longest figure fits. */
export class Tiles {
  constructor(labels) {
    this.all = Object.fromEntries(Object.entries(labels).map(([name, label]) => [name, new Tile(label)]));
    const tiles = Object.values(this.all).map((tile) => tile.element);
    this.element = h("div", { class: `tiles of-${tiles.length}` }, tiles);
  }

  /** `sums`: by name; what isn't there is nothing. */
  set(sums) {
    for (const [name, tile] of Object.entries(this.all)) tile.set(sums[name] ?? { fen: 0, donations: 0 });
    const longest = Math.max(...Object.values(this.all).map((tile) => tile.characters));
    this.element.style.setProperty("--characters", longest);
  }

  rename(labels) {
    for (const [name, label] of Object.entries(labels)) setText(this.all[name].label, label);
  }
}

/** The great figure of a page; `set(fen)`. */
export class Hero {
  constructor(below) {
    this.label = h("h1", { class: "hero-label" });
    this.whole = h("span", { class: "whole" });
    this.cents = h("span", { class: "cents" });
    this.amount = h("p", { class: "hero-amount waiting" }, h("span", { class: "sign" }, "¥"), this.whole, this.cents);
    this.below = h("p", { class: "hero-below" });
    this.element = h("section", { class: "hero" }, this.label, this.amount, this.below, below);
    this.counter = amountCounter(this.whole, this.cents, (characters) =>
      this.amount.style.setProperty("--characters", characters));
    setText(this.whole, "–");
  }

  set(fen, below) {
    this.amount.classList.remove("waiting");
    this.counter.set(fen);
    setText(this.below, below);
  }

  /** Without a figure: there is none to wait for. */
  clear() {
    this.amount.remove();
    this.below.remove();
  }
}

/** Two or more buttons of which one is chosen. */
export function choice(label, options, chosen, onChoose) {
  const buttons = Object.entries(options).map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text));
  function choose(value) {
    Object.keys(options).forEach((each, place) => buttons[place].setAttribute("aria-pressed", String(each === value)));
    onChoose(value);
  }
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

export const note = (text) => h("p", { class: "notice" }, text);
