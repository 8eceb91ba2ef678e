// Bars over time, drawn by uPlot, with what is read off them in exact figures, and the same as a table.

import { h, setText } from "./dom.js";
import { count, height, yuan } from "./exact.js";
import { words } from "./words.js";

const HEIGHT = 240;
const HEIGHT_SMALL = 180;
const BAR_MIN = 3; // pixels
const MARK_WIDTH = 76;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Yuan on an axis: short, as `12k` or `1.2万`. */
function axisYuan(value) {
  const chinese = document.documentElement.lang !== "en";
  const units = chinese ? [[1e8, "亿"], [1e4, "万"]] : [[1e9, "bn"], [1e6, "m"], [1e3, "k"]];
  for (const [size, unit] of units) if (value >= size) return `¥${+(value / size).toFixed(2)}${unit}`;
  return `¥${+value.toFixed(2)}`;
}

export class BarChart {
  #plot = null;
  #points = [];
  #drawn = [];
  #resize;
  #scheme = matchMedia("(prefers-color-scheme: dark)");

  /**
   * `label`: what is drawn; `span(ms)`: the text of a bar's time; `tick(ms)`: that on the axis;
   * `tableOf(points)`: the rows of the table, where a bar each would be too many; `step`: the distances of marks to
   * choose from, s. Without: the bars are days or longer, some of which are marked, each in its middle.
   */
  constructor({ label, span, tick, tableOf = (points) => points, step }) {
    this.span = span;
    this.tick = tick;
    this.tableOf = tableOf;
    this.step = step;
    this.label = label;
    this.readout = h("p", { class: "readout", "aria-hidden": "true" });
    this.canvas = h("div", { class: "plot", role: "img", "aria-label": label });
    this.rows = h("tbody");
    const head = [words().time, words().amount, words().number].map((text) => h("th", { scope: "col" }, text));
    this.table = h(
      "details",
      { class: "table" },
      h("summary", {}, words().asTable),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
        h("table", {}, h("caption", { class: "hidden" }, label), h("thead", {}, h("tr", {}, head)), this.rows)),
    );
    this.table.addEventListener("toggle", () => this.#fillTable());
    this.element = h("figure", { class: "chart" }, this.readout, this.canvas, this.table);
    this.#resize = new ResizeObserver(() => this.#fit());
    this.#resize.observe(this.canvas);
    this.redraw = () => this.#rebuild();
    this.#scheme.addEventListener("change", this.redraw);
    addEventListener("themechange", this.redraw);
  }

  /**
   * `points`: `[[start_ms, fen, donations]]` in their order; the axis spans `from` to `to`, its marks go by `origin`.
   * `unit`: how long a bar lasts, ms, where all last as long.
   */
  set(points, from, to, unit, origin = from) {
    this.#points = points;
    this.unit = unit;
    this.origin = origin / 1000;
    this.slot = points.length ? to - points.at(-1)[0] : to - from;
    const before = this.step ? 0 : this.slot / 2;
    this.range = [(from - before) / 1000, (to - before) / 1000];
    this.#draw();
    if (this.table.open) this.#fillTable();
    this.#read(null);
    this.#describe();
  }

  /** Bars that would be thinner than can be told apart are drawn as one outline instead. */
  #draw() {
    const isDense = Boolean(this.unit) && ((this.range[1] - this.range[0]) * 1000) / this.unit > this.canvas.clientWidth / BAR_MIN;
    this.#drawn = isDense ? everyUnit(this.#points, this.unit) : this.#points;
    const data = [this.#drawn.map((point) => point[0] / 1000), this.#drawn.map((point) => height(point[1]))];
    if (this.#plot && isDense === this.dense) {
      this.#plot.setData(data, false);
      this.#plot.setScale("x", { min: this.range[0], max: this.range[1] });
    } else if (globalThis.uPlot) {
      this.#plot?.destroy();
      this.dense = isDense;
      this.#build(data);
    }
  }

  #describe() {
    if (!this.#points.length) return;
    const most = this.#points.reduce((best, point) => (BigInt(point[1]) > BigInt(best[1]) ? point : best));
    const [first, last] = [this.#points[0], this.#points.at(-1)].map((point) => this.span(point[0]));
    this.canvas.setAttribute("aria-label", words().chartAbout(this.label, first, last, yuan(most[1]), this.span(most[0])));
  }

  #size() {
    const width = Math.max(240, this.canvas.clientWidth);
    return { width, height: width < 560 ? HEIGHT_SMALL : HEIGHT };
  }

  #build(data) {
    const axis = { stroke: color("--muted"), font: `12px ${color("--sans")}`, ticks: { show: false } };
    const options = {
      ...this.#size(),
      legend: { show: false },
      padding: [12, this.step ? 18 : 26, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => this.range },
        y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] },
      },
      axes: [
        { ...axis, size: 28, grid: { show: false }, splits: (plot, _, min, max) => this.#splits(plot, min, max),
          values: (_, ticks) => ticks.map((at) => this.tick(at * 1000)) },
        { ...axis, grid: { stroke: color("--line"), width: 1 }, size: 60, space: 48, values: (_, ticks) => ticks.map(axisYuan) },
      ],
      series: [
        {},
        {
          points: { show: false },
          ...(this.dense
            ? { stroke: color("--accent"), width: 1, fill: color("--accent-soft"), paths: uPlot.paths.stepped({ align: 1 }) }
            : { width: 0, fill: color("--accent"), paths: uPlot.paths.bars({ size: [0.72, 44, 1], align: this.step ? 1 : 0, gap: 0 }) }),
        },
      ],
      hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)] },
    };
    this.#plot = new uPlot(options, data, this.canvas);
  }

  /** Where the axis is marked: whole steps from the start of the day, in whatever zone that is; or bars, the newest one first. */
  #splits(plot, min, max) {
    const room = Math.max(1, Math.floor(plot.bbox.width / devicePixelRatio / MARK_WIDTH));
    if (!this.step) {
      const every = Math.ceil((max - min) / room / (this.slot / 1000) - 0.1); // months aren't all as long
      const marked = (_, place) => (this.#points.length - 1 - place) % every === 0;
      return this.#points.filter(marked).map((point) => point[0] / 1000);
    }
    const step = this.step.find((each) => (max - min) / each <= room) ?? this.step.at(-1);
    const marks = [];
    for (let at = this.origin + Math.ceil((min - this.origin) / step) * step; at <= max; at += step) marks.push(at);
    return marks;
  }

  #rebuild() {
    if (!this.#plot) return;
    this.#plot.destroy();
    this.#plot = null;
    this.#draw();
  }

  #fit() {
    if (!this.#plot) return;
    this.#plot.setSize(this.#size());
    this.#draw();
  }

  #read(index) {
    // What is drawn may have the last one's end, too, behind it.
    const isLast = index === null || index === undefined || index >= this.#drawn.length - 1;
    const point = isLast ? this.#points.at(-1) : this.#drawn[index];
    setText(
      this.readout,
      point ? `${this.span(point[0])}  ·  ${yuan(point[1])}  ·  ${words().donations(count(point[2]))}` : " ",
    );
  }

  #fillTable() {
    this.rows.replaceChildren(
      ...this.tableOf(this.#points).map(([at, fen, donations]) =>
        h("tr", {}, h("th", { scope: "row" }, this.span(at)), h("td", {}, yuan(fen)), h("td", {}, count(donations)))),
    );
  }

  close() {
    this.#resize.disconnect();
    this.#scheme.removeEventListener("change", this.redraw);
    removeEventListener("themechange", this.redraw);
    this.#plot?.destroy();
  }
}

/** With zeros between, where nothing was given, and the last to its end: so an outline goes on for as long as each lasts. */
function everyUnit(points, unit) {
  const all = [];
  for (const point of points) {
    for (let at = all.length ? all.at(-1)[0] + unit : point[0]; at < point[0]; at += unit) all.push([at, 0, 0]);
    all.push(point);
  }
  if (all.length) all.push([all.at(-1)[0] + unit, ...all.at(-1).slice(1)]);
  return all;
}

/** Minutes added up to hours, for a table that somebody can read. */
export function byHour(points) {
  const hours = new Map();
  for (const [at, fen, donations] of points) {
    const start = at - (at % 3_600_000);
    const sum = hours.get(start) ?? [start, 0n, 0n];
    hours.set(start, [start, sum[1] + BigInt(fen), sum[2] + BigInt(donations)]);
  }
  return [...hours.values()];
}
