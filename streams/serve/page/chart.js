// Bars over time, drawn by uPlot, with what is read off them in exact figures, and the same as a table.

import { h, setText } from "./dom.js";
import { count, height, yuan } from "./exact.js";
import { words } from "./words.js";

const HEIGHT = 240;
const HEIGHT_SMALL = 180;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Yuan on an axis: short, as `12k` or `1.2万`. */
function axisYuan(value) {
  const chinese = document.documentElement.lang !== "en";
  const units = chinese ? [[1e8, "亿"], [1e4, "万"]] : [[1e9, "bn"], [1e6, "m"], [1e3, "k"]];
  for (const [size, unit] of units) if (value >= size) return `${+(value / size).toFixed(2)}${unit}`;
  return `${+value.toFixed(2)}`;
}

export class BarChart {
  #plot = null;
  #points = [];
  #resize;
  #scheme = matchMedia("(prefers-color-scheme: dark)");

  /**
   * `label`: what is drawn; `span(ms)`: the text of a bar's time; `tick(ms)`: that on the axis;
   * `tableOf(points)`: the rows of the table, where a bar each would be too many.
   */
  constructor({ label, span, tick, tableOf = (points) => points, step }) {
    this.span = span;
    this.tick = tick;
    this.tableOf = tableOf;
    this.step = step;
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

  /** `points`: `[[start_ms, fen, donations]]` in their order; the axis spans `from` to `to`, its marks go by `origin`. */
  set(points, from, to, origin = from) {
    this.#points = points;
    this.origin = origin / 1000;
    this.range = [from / 1000, to / 1000];
    const data = [points.map((point) => point[0] / 1000), points.map((point) => height(point[1]))];
    if (this.#plot) {
      this.#plot.setData(data, false);
      this.#plot.setScale("x", { min: this.range[0], max: this.range[1] });
    } else if (globalThis.uPlot) {
      this.data = data;
      this.#build(data);
    }
    this.data = data;
    if (this.table.open) this.#fillTable();
    this.#read(null);
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
      padding: [12, 18, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => this.range },
        y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] },
      },
      axes: [
        { ...axis, size: 28, grid: { show: false }, splits: (plot, _, min, max) => this.#splits(plot, min, max),
          values: (_, ticks) => ticks.map((at) => this.tick(at * 1000)) },
        { ...axis, grid: { stroke: color("--line"), width: 1 }, size: 54, space: 48, values: (_, ticks) => ticks.map(axisYuan) },
      ],
      series: [
        {},
        {
          stroke: "transparent",
          fill: color("--accent"),
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars({ size: [0.72, 22, 1], align: 1, gap: 0 }),
        },
      ],
      hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)] },
    };
    this.#plot = new uPlot(options, data, this.canvas);
  }

  /** Where the axis is marked: whole steps from the start of the day, in whatever zone that is. */
  #splits(plot, min, max) {
    const room = Math.max(1, Math.floor(plot.bbox.width / devicePixelRatio / 76));
    const step = this.step.find((each) => (max - min) / each <= room) ?? this.step.at(-1);
    const marks = [];
    for (let at = this.origin + Math.ceil((min - this.origin) / step) * step; at <= max; at += step) marks.push(at);
    return marks;
  }

  #rebuild() {
    if (!this.#plot) return;
    this.#plot.destroy();
    this.#build(this.data);
  }

  #fit() {
    if (this.#plot) this.#plot.setSize(this.#size());
  }

  #read(index) {
    const point = index === null || index === undefined ? this.#points.at(-1) : this.#points[index];
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
