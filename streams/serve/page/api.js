// The API: questions, and the stream of events with what it says of its own freshness.

import { parse } from "./exact.js";

const BASE = "/api/v1";
const SILENT_MS = 7_000; // events come every two seconds at least: three missed are no accident
const STALE_MS = 10_000; // some two seconds are the pipeline's own
const RECONNECT_MS = 1_000;

export class NotFound extends Error {}

/** The answer; null while the server reads its totals back. Throws NotFound, or an error where nothing answers. */
export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(`${BASE}${path}${query ? `?${query}` : ""}`);
  if (response.status === 503) return null;
  if (response.status === 404 || response.status === 400) throw new NotFound();
  if (!response.ok) throw new Error(`${response.status}`);
  return parse(await response.text());
}

/** One stream of events. `onEvent(name, data)`; `freshness()` says at any moment what may be said of the figures. */
export class Stream {
  #source = null;
  #status = null;
  #heardAt = 0;
  #open = false;
  #watch;

  constructor(parameters, onEvent) {
    const query = new URLSearchParams(parameters).toString();
    this.path = `${BASE}/stream${query ? `?${query}` : ""}`;
    this.onEvent = onEvent;
    this.#connect();
    this.#watch = setInterval(() => this.#lookAfter(), RECONNECT_MS);
  }

  #connect() {
    this.#source?.close();
    const source = (this.#source = new EventSource(this.path));
    source.onopen = () => {
      this.#open = true;
    };
    source.onerror = () => {
      this.#open = false;
    };
    for (const name of ["overview", "project", "status", "reset"]) {
      source.addEventListener(name, (event) => this.#take(name, parse(event.data)));
    }
  }

  #take(name, data) {
    this.#open = true;
    this.#heardAt = performance.now();
    const status = name === "status" ? data : data.status;
    if (status) this.#status = status;
    this.onEvent(name, data);
  }

  /** A browser gives up where the answer is no stream, as with 503; we don't. */
  #lookAfter() {
    const silent = performance.now() - this.#heardAt > SILENT_MS;
    if (this.#source.readyState === EventSource.CLOSED) this.#connect();
    else if (silent && this.#heardAt) this.#open = false;
  }

  get status() {
    return this.#status;
  }

  /** `{ state, asOf, behind, share }`; times in ms. What the page knows is as old as the last event, too. */
  freshness() {
    const status = this.#status;
    const since = performance.now() - this.#heardAt;
    const behind = status?.behind_ms === null || !status ? null : Number(status.behind_ms) + since;
    const asOf = status?.as_of_ms ?? null;
    if (!this.#open) return { state: status || this.#heardAt ? "disconnected" : "loading", asOf, behind };
    if (!status) return { state: "loading", asOf, behind };
    if (status.state === "rebuilding") {
      const { read, of } = status.rebuilding;
      return { state: "rebuilding", asOf, behind, share: of ? Math.floor((100 * read) / of) : 0 };
    }
    if (asOf === null) return { state: "connected", asOf, behind };
    return { state: behind < STALE_MS ? "live" : "stale", asOf, behind };
  }

  close() {
    clearInterval(this.#watch);
    this.#source.close();
  }
}
