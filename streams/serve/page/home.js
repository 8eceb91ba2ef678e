// The first page: what was given this year, live; today's minutes; where it goes.

import { ask, Stream } from "./api.js";
import { BarChart, byHour } from "./chart.js";
import { h, setText } from "./dom.js";
import { FreshnessLine } from "./freshness.js";
import { choice, counted, Hero, note, ProjectList, Tiles } from "./pieces.js";
import { hourMinute, longDay, month, words } from "./words.js";

const WHOLE_DAY_EVERY_MS = 60_000; // events hold the last minutes; donations may come late for older ones
const MINUTE_STEPS = [5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * 60);

export class Home {
  title = "";
  #minutes = new Map();
  #day = null;
  #overview = null;
  #top = "top_day";
  #timer;

  constructor() {
    this.stream = new Stream({}, (name, data) => this.#take(name, data));
    this.fresh = new FreshnessLine(this.stream);
    this.hero = new Hero(this.fresh.element);
    this.note = h("div", { role: "note" });
    this.tiles = new Tiles({ day: words().today, month: words().month, all: words().all });
    this.list = new ProjectList(words().topProjects);
    this.zone = undefined;
    this.chart = new BarChart({
      label: words().perMinute,
      span: (at) => hourMinute(at, this.zone),
      tick: (at) => hourMinute(at, this.zone),
      tableOf: byHour,
      step: MINUTE_STEPS,
    });
    this.chartTitle = h("h2", {}, words().minuteByMinute);
    this.figures = h("div", { class: "figures", hidden: true },
      this.tiles.element,
      h("section", { class: "card" }, this.chartTitle, this.chart.element),
      h("section", { class: "card" },
        h("div", { class: "card-head" }, h("h2", {}, words().topProjects),
          choice(words().topProjects, words().topOf, this.#top, (value) => this.#choose(value))),
        this.list.element));
    this.element = h("div", { class: "page home" }, this.hero.element, this.note, this.figures);
    this.#fetchAll();
    this.#timer = setInterval(() => this.#fetchAll(), WHOLE_DAY_EVERY_MS);
  }

  async #fetchAll() {
    try {
      const overview = await ask("/overview");
      if (overview) this.#show(overview);
    } catch {
      // The line of freshness says that nothing answers; the stream comes back by itself.
    }
  }

  #take(name, data) {
    if (name === "reset") {
      this.#minutes.clear();
      this.#overview = null;
    } else if (name === "overview") {
      const dayBefore = this.#day;
      this.#show(data);
      if (this.#day !== dayBefore) this.#fetchAll();
    }
  }

  #show(overview) {
    const known = this.#overview?.status.position ?? -1;
    if (overview.status.position < known) return; // an answer that was on its way when an event came
    this.#overview = overview;
    this.zone = overview.status.time_zone;
    if (overview.day.start_ms !== this.#day) this.#minutes.clear();
    this.#day = overview.day.start_ms;
    for (const point of overview.minutes) this.#minutes.set(point[0], point);
    this.#draw();
  }

  #draw() {
    const { year, day, is_present: isPresent } = this.#overview;
    const dayText = longDay(day.start_ms, this.zone);
    setText(this.hero.label, words().givenInYear(year.start.slice(0, 4)));
    this.hero.set(year.fen, counted(year.donations));
    const monthText = isPresent ? words().month : month(this.#overview.month.start_ms, this.zone);
    this.tiles.rename({ day: isPresent ? words().today : dayText, month: monthText });
    this.tiles.set(this.#overview);
    const isEmpty = BigInt(this.#overview.all.donations) === 0n;
    this.figures.hidden = isEmpty;
    this.#say(isEmpty ? words().empty : isPresent ? "" : words().notToday(dayText));
    this.#drawChart();
    this.list.set(this.#overview[this.#top]);
    this.title = "";
  }

  #drawChart() {
    const { day, at_ms: at, is_present: isPresent } = this.#overview;
    // All of the day so far, and at least an hour: early in the day the bars shall be seen.
    const to = isPresent ? Math.max(at, day.start_ms + 3_600_000) : day.end_ms;
    const points = [...this.#minutes.values()].sort((a, b) => a[0] - b[0]);
    const from = points.length ? Math.max(day.start_ms, Math.min(points[0][0] - 600_000, to - 3_600_000)) : day.start_ms;
    this.chart.set(points, from, to, 60_000, day.start_ms);
  }

  #choose(value) {
    this.#top = value;
    if (this.#overview) this.list.set(this.#overview[value]);
  }

  #say(text) {
    if (this.note.textContent !== text) this.note.replaceChildren(...(text ? [note(text)] : []));
  }

  close() {
    clearInterval(this.#timer);
    this.fresh.close();
    this.chart.close();
    this.stream.close();
  }
}
