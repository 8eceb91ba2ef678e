// One project: what it has received, live, its windows, its history.

import { ask, NotFound, Stream } from "./api.js";
import { BarChart } from "./chart.js";
import { h, setText } from "./dom.js";
import { roundYuan, thousandths } from "./exact.js";
import { FreshnessLine } from "./freshness.js";
import { choice, counted, Hero, note, Tiles } from "./pieces.js";
import { longDay, month, shortDay, words } from "./words.js";

const DAY_MS = 86_400_000;
const DAYS_SHOWN = 60;
const HISTORY = {
  day: { span: longDay, tick: shortDay },
  month: { span: month, tick: month },
};
const RETRY_MS = 2_000;

export class ProjectPage {
  title = "";
  #kind = "day";
  #closed = false;

  constructor(parameters) {
    this.id = parameters.get("id") ?? "";
    this.stream = new Stream({ project: this.id }, (name, data) => name === "project" && this.#show(data));
    this.fresh = new FreshnessLine(this.stream);
    this.hero = new Hero(this.fresh.element);
    this.charity = h("p", { class: "charity" });
    this.hero.label.after(this.charity);
    this.goalText = h("span", {});
    this.goalBar = h("progress", { max: "1000", value: "0", "aria-label": words().goalLabel });
    this.goal = h("p", { class: "goal", hidden: true }, this.goalBar, this.goalText);
    this.hero.below.after(this.goal);
    this.description = h("p", { class: "description" });
    this.tiles = new Tiles({ hour: words().hour, day: words().today, month: words().month, year: words().year });
    this.chartHolder = h("div", {});
    this.figures = h("div", { class: "figures" },
      this.tiles.element,
      this.description,
      h("section", { class: "card" },
        h("div", { class: "card-head" }, h("h2", {}, words().history),
          choice(words().history, { day: words().dayByDay, month: words().monthByMonth }, "day", (kind) => this.#choose(kind))),
        this.chartHolder));
    this.element = h("div", { class: "page project" }, this.hero.element, this.figures);
    setText(this.hero.label, this.id);
    this.#start();
  }

  async #start() {
    try {
      const project = await ask("/project", { id: this.id });
      if (project === null) throw new Error("rebuilding");
      this.#show(project);
      await this.#drawHistory();
    } catch (error) {
      if (this.#closed) return;
      if (error instanceof NotFound) this.#sayNotFound();
      else setTimeout(() => this.#closed || this.#start(), RETRY_MS);
    }
  }

  #sayNotFound() {
    this.hero.clear();
    this.figures.replaceChildren(note(words().notFound));
  }

  #show(project) {
    const zone = project.status.time_zone;
    this.nowMs = project.status.now_ms;
    const sums = Object.fromEntries(project.totals.map((total) => [total.window, total]));
    this.title = project.name ?? project.project_id;
    setText(this.hero.label, this.title);
    setText(this.charity, [project.charity, project.name ? project.project_id : ""].filter(Boolean).join(" · "));
    setText(this.description, project.description);
    const all = sums.all ?? { fen: 0, donations: 0 };
    this.hero.set(all.fen, counted(all.donations));
    this.tiles.set(sums);
    if (sums.day && sums.day.end_ms <= project.status.now_ms) {
      this.tiles.rename({
        day: longDay(sums.day.start_ms, zone),
        month: month(sums.month.start_ms, zone),
        year: sums.year.start.slice(0, 4),
      });
      this.tiles.all.hour.element.hidden = true;
    }
    this.goal.hidden = project.goal_fen === null;
    if (project.goal_fen !== null) {
      const share = thousandths(all.fen, project.goal_fen);
      this.goalBar.value = share;
      setText(this.goalText, words().goal((share / 10).toFixed(1), roundYuan(project.goal_fen)));
    }
    dispatchEvent(new Event("titlechange"));
    this.#take(project, zone);
  }

  /** The newest bar grows with what comes. */
  #take(project, zone) {
    this.zone = zone;
    const newest = project.totals.find((total) => total.window === this.#kind);
    if (!newest || !this.points) return;
    const place = this.points.findIndex(([at]) => at === newest.start_ms);
    const point = [newest.start_ms, newest.fen, newest.donations];
    if (place >= 0) this.points[place] = point;
    else this.points.push(point);
    this.#setChart(newest.end_ms);
  }

  async #choose(kind) {
    this.#kind = kind;
    this.points = undefined;
    await this.#drawHistory();
  }

  async #drawHistory() {
    const kind = this.#kind;
    const now = this.nowMs;
    const range = kind === "day" ? await this.#daysFrom(now) : { limit: 2000 };
    const answer = await ask("/project/totals", { id: this.id, window: kind, ...range });
    if (answer === null || this.#closed || kind !== this.#kind) return;
    this.points = answer.totals.map((total) => [total.start_ms, total.fen, total.donations]);
    this.chart?.close();
    const { span, tick } = HISTORY[kind];
    this.chart = new BarChart({
      label: kind === "day" ? words().dayByDay : words().monthByMonth,
      span: (at) => span(at, this.zone),
      tick: (at) => tick(at, this.zone),
    });
    this.chartHolder.replaceChildren(this.chart.element);
    this.#setChart(answer.totals.at(-1)?.end_ms ?? now);
  }

  /** The last days before the newest that has donations, which may be long ago. */
  async #daysFrom(now) {
    const recent = { from_ms: Math.max(0, now - DAYS_SHOWN * DAY_MS), limit: 100 };
    const found = await ask("/project/totals", { id: this.id, window: "day", ...recent });
    if (found?.totals.length) return recent;
    const months = await ask("/project/totals", { id: this.id, window: "month", limit: 2000 });
    const newest = months?.totals.at(-1);
    return newest ? { from_ms: Math.max(0, newest.end_ms - DAYS_SHOWN * DAY_MS), limit: 100 } : recent;
  }

  #setChart(endMs) {
    if (!this.chart) return;
    const least = this.#kind === "day" ? 30 * DAY_MS : 365 * DAY_MS;
    const from = Math.min(this.points[0]?.[0] ?? endMs, endMs - least);
    this.chart.set(this.points, from, endMs);
  }

  close() {
    this.#closed = true;
    this.fresh.close();
    this.chart?.close();
    this.stream.close();
  }
}
