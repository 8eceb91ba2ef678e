// One line that says what may be said of the figures: live, behind, being read back, or cut off.

import { h, setText } from "./dom.js";
import { clock, span, words } from "./words.js";

export class FreshnessLine {
  #last = "loading";
  #timer;

  constructor(stream) {
    this.stream = stream;
    this.text = h("span", {});
    this.element = h("p", { class: "fresh", "data-state": "loading" }, h("span", { class: "dot", "aria-hidden": "true" }), this.text);
    this.#timer = setInterval(() => this.draw(), 250);
    this.draw();
  }

  draw() {
    const { state, asOf, behind, share } = this.stream.freshness();
    const zone = this.stream.status?.time_zone;
    const time = asOf === null ? null : clock(Number(asOf), zone);
    const say = words().state[state];
    const text = state === "rebuilding" ? say(share) : state === "stale" ? say(time, span(behind)) : say(time);
    this.element.dataset.state = state;
    document.documentElement.dataset.fresh = state;
    setText(this.text, text);
    // A screen reader hears of a change of state, not of every second.
    if (state !== this.#last && !(this.#last === "loading" && state === "connected")) {
      setText(document.getElementById("announce"), text);
    }
    this.#last = state;
  }

  close() {
    clearInterval(this.#timer);
  }
}
