// A figure that counts up to each new value, and stands exactly on it in the end.

import { setText } from "./dom.js";
import { yuanParts } from "./exact.js";

const COUNT_MS = 300; // a new value comes twice a second at most
const STEPS = 1000n;

export class Counter {
  #from = 0n;
  #to = null;
  #startedAt = 0;
  #frame = 0;

  /** `show(fen)` writes a value. */
  constructor(show) {
    this.show = show;
  }

  set(fen) {
    const value = BigInt(fen);
    if (this.#to === value) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches || document.hidden;
    const grows = this.#to !== null && value > this.#to;
    this.#from = grows && !still ? this.#shown() : value;
    this.#to = value;
    this.#startedAt = performance.now();
    cancelAnimationFrame(this.#frame);
    this.#draw();
  }

  #shown() {
    const done = Math.min(1, (performance.now() - this.#startedAt) / COUNT_MS);
    const eased = BigInt(Math.round((1 - (1 - done) ** 3) * Number(STEPS)));
    return this.#from + ((this.#to - this.#from) * eased) / STEPS;
  }

  #draw() {
    const value = this.#shown();
    this.show(value);
    if (value !== this.#to) this.#frame = requestAnimationFrame(() => this.#draw());
  }
}

/** A counter that writes whole yuan and cents into two elements; `measure` is told how many characters that takes. */
export function amountCounter(whole, cents, measure) {
  return new Counter((fen) => {
    const parts = yuanParts(fen);
    setText(whole, parts.whole);
    setText(cents, `.${parts.cents}`);
    measure(parts.whole.length + 4);
  });
}
