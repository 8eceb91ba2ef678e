// Any day, looked back at.

import { ask, NotFound, Stream } from "./api.js";
import { BarChart, byHour } from "./chart.js";
import { h, setText } from "./dom.js";
import { FreshnessLine } from "./freshness.js";
import { counted, Hero, note, ProjectList } from "./pieces.js";
import { hourMinute, longDay, words } from "./words.js";

const STEPS = [5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * 60);
const SOON_MS = 100;
const AGAIN_MS = 5_000; // the day may still grow; an answer that is the same costs next to nothing

export class DayPage {
  title = "";
  #closed = false;
  #timer = 0;

  constructor(parameters) {
    this.date = parameters.get("date");
    this.stream = new Stream({}, () => {});
    this.fresh = new FreshnessLine(this.stream);
    this.hero = new Hero(this.fresh.element);
    setText(this.hero.label, words().lookBack);
    this.input = h("input", { type: "date", "aria-label": words().chooseDay, min: "1970-01-01", max: "9999-12-31",
      onchange: () => this.input.value && this.#go(this.input.value) });
    this.previous = h("a", { class: "step", rel: "prev" }, "← ", words().previousDay);
    this.next = h("a", { class: "step", rel: "next" }, words().nextDay, " →");
    this.element = h("div", { class: "page day" },
      h("nav", { class: "days", "aria-label": words().chooseDay }, this.previous, this.input, this.next),
      this.hero.element, (this.below = h("div", { class: "figures" })));
    this.#load();
  }

  #go(date) {
    dispatchEvent(new CustomEvent("navigate", { detail: `/day?date=${date}` }));
  }

  async #load() {
    try {
      const day = await ask("/day", this.date ? { date: this.date } : {});
      if (this.#closed) return;
      if (day && this.stream.status) this.#show(day);
    } catch (error) {
      if (error instanceof NotFound) {
        this.hero.clear();
        this.below.replaceChildren(note(words().notFound));
        return;
      }
    }
    // The stream says which zone it is; most often it has said so by now.
    if (!this.#closed) this.#timer = setTimeout(() => this.#load(), this.stream.status ? AGAIN_MS : SOON_MS);
  }

  #show(day) {
    this.zone = this.stream.status.time_zone;
    const text = longDay(day.day.start_ms, this.zone);
    this.title = text;
    setText(this.hero.label, words().givenOn(text));
    this.hero.set(day.day.fen, counted(day.day.donations));
    if (document.activeElement !== this.input) this.input.value = day.date;
    for (const [link, date] of [[this.previous, day.previous], [this.next, day.next]]) {
      link.hidden = date === null;
      if (date) link.href = `/day?date=${date}`;
    }
    dispatchEvent(new Event("titlechange"));
    if (BigInt(day.day.donations) === 0n) {
      this.below.replaceChildren(note(words().nothingThatDay));
      return;
    }
    if (!this.list) this.#build(day);
    this.list.set(day.top);
    this.chart?.set(day.minutes ?? day.hours, day.day.start_ms, day.day.end_ms, day.minutes ? 60_000 : 3_600_000);
  }

  #build(day) {
    this.list = new ProjectList(words().topOfDay);
    const parts = [];
    if (day.hours !== null) {
      this.chart = new BarChart({
        label: day.minutes ? words().perMinute : words().perHour,
        span: (at) => hourMinute(at, this.zone),
        tick: (at) => hourMinute(at, this.zone),
        tableOf: day.minutes ? byHour : undefined,
        step: STEPS,
      });
      parts.push(h("section", { class: "card" }, h("h2", {}, day.minutes ? words().minuteByMinute : words().hourByHour), this.chart.element));
    }
    if (day.minutes === null) parts.push(note(day.hours === null ? words().released : words().minutesReleased));
    parts.push(h("section", { class: "card" }, h("h2", {}, words().topOfDay), this.list.element));
    this.below.replaceChildren(...parts);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.fresh.close();
    this.chart?.close();
    this.stream.close();
  }
}
