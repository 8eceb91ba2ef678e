// The page itself: what was put in, and what it comes to. It holds nothing but what stands on it.

import { utf8 } from "./bytes.js";
import { canVerify, parseKey, Unsupported } from "./notes.js";
import { Failure, PROMISES, verifyReceipt } from "./receipt.js";
import { moment, words, yuan } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const SIGNS = { auto: "◐", light: "○", dark: "●" };
const MARKS = { holds: "✓", fails: "✗", skipped: "–" };
const FILE_MAX_BYTES = 1048576; // what is longer isn't read: no receipt is
const root = document.documentElement;
const place = (id) => document.getElementById(id);

let theme = "auto";
let held = null; // {name, bytes}: the receipt
let turn = 0; // of checks: only the last one shows
let shown = null; // draws the result again, in another language

/** Making elements. Text is always text: nothing here reads HTML. */
function h(name, properties, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// What is put in

function hold(name, bytes) {
  held = { name, bytes };
  drawHeld();
  check();
}

async function take(file) {
  try {
    hold(file.name, new Uint8Array(await file.slice(0, FILE_MAX_BYTES).arrayBuffer()));
  } catch {
    turn++;
    say(() => [verdict("bad", words().unreadable)]);
  }
}

/** A text that was pasted: marking it often leaves out its last line's end, and some systems have ends of their own. */
function takeText(given) {
  const text = given.replaceAll("\r\n", "\n");
  hold(null, utf8(text.endsWith("\n") ? text : `${text}\n`));
}

async function keysPutIn() {
  const own = place("keys").value.split(/\s+/).filter(Boolean);
  const keys = [];
  for (const text of own.length > 0 ? own : BUILT_IN_KEYS) {
    try {
      keys.push(await parseKey(text));
    } catch {
      return { wrong: text };
    }
  }
  return { keys };
}

// What it comes to

async function check() {
  const mine = ++turn;
  const outcome = await judge();
  if (mine !== turn) return;
  say(outcome);
  place("result").scrollIntoView({ block: "nearest" });
}

/** What draws the outcome: a function, as the language may change. */
async function judge() {
  if (!held) return () => [verdict("unknown", words().needReceipt)];
  if (!(await canVerify())) return () => [verdict("bad", isSecureContext ? words().unsupported : words().insecure)];
  const { keys, wrong } = await keysPutIn();
  if (wrong) return () => [verdict("bad", words().badKey(wrong))];
  if (keys.length === 0) return () => [verdict("unknown", words().needKey)];
  try {
    const found = await verifyForBuyer(held.bytes, keys, place("buyer").value);
    return () => drawRight(found);
  } catch (error) {
    if (error instanceof Failure) return () => drawWrong(error);
    if (error instanceof Unsupported) return () => [verdict("bad", words().unsupported)];
    throw error;
  }
}

/** An id as it was typed; if it isn't that one, without the spaces that keyboards of phones put around it. */
async function verifyForBuyer(bytes, keys, typed) {
  try {
    return await verifyReceipt(bytes, keys, typed === "" ? null : typed);
  } catch (error) {
    if (error.promise !== "donor" || typed.trim() === typed) throw error;
    return verifyReceipt(bytes, keys, typed.trim() || null);
  }
}

function say(outcome) {
  shown = outcome;
  place("result").replaceChildren(...outcome());
}

const verdict = (kind, text) => h("h2", { class: `verdict ${kind}` }, text);

function drawRight({ leaf, checkpoint, signedBy, witnesses, strangers, donorChecked }) {
  const named = witnesses.map((key) => `${key.name} (${key.id})`).join(", ");
  const facts = { ...checkpoint, id: signedBy[0].id, index: leaf.seq, witnesses: named };
  const skipped = {};
  if (!donorChecked) skipped.donor = words().donorSkipped;
  if (witnesses.length === 0) skipped.witnesses = words().witnessesSkipped;
  const rows = PROMISES.map((promise) => promise in skipped
    ? row(promise, "skipped", skipped[promise]) : row(promise, "holds", words().holds[promise](facts)));
  if (strangers.length > 0) {
    rows[PROMISES.indexOf("witnesses")].append(h("span", { class: "fact" }, words().strangers(strangers.length, strangers.join(", "))));
  }
  return [verdict(donorChecked ? "good" : "part", donorChecked ? words().valid : words().validButDonor),
    drawDonation(leaf), drawPromises(rows), ...(witnesses.length === 0 ? [h("p", { class: "others" }, words().alone)] : [])];
}

function drawWrong({ promise: failed, why, facts }) {
  const at = PROMISES.indexOf(failed);
  const rows = PROMISES.map((promise, number) => {
    if (number === at) return row(promise, "fails", "");
    if (number > at) return row(promise, "skipped", words().notReached);
    return promise === "witnesses" ? row(promise, "skipped", "") : row(promise, "holds", "");
  });
  return [verdict("bad", words().invalid(words().promise[failed])), h("p", { class: "why" }, words().why[why](facts)),
    drawPromises(rows)];
}

function row(promise, state, text) {
  return h("li", { "data-promise": promise, "data-state": state }, h("span", { class: "mark", "aria-hidden": "true" }, MARKS[state]),
    h("b", {}, words().promise[promise]), h("span", { class: "state" }, words().state[state]), ...(text ? [h("span", { class: "fact" }, text)] : []));
}

const drawPromises = (rows) => h("ol", { class: "promises", "aria-label": words().promisesTitle }, ...rows);

function drawDonation(leaf) {
  const facts = { amount: yuan(leaf.fen), project: leaf.project_id, at: moment(leaf.donated_at), id: leaf.donation_id, order: leaf.order_id };
  return h("dl", { class: "donation" }, ...Object.entries(facts).map(([name, text]) =>
    h("div", { class: name }, h("dt", {}, words().donation[name]), h("dd", {}, text))));
}

// The frame

function drawHeld() {
  place("held").textContent = held ? words().held(held.name ?? words().pasted, held.bytes.length) : "";
}

function draw() {
  document.title = words().title;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = words()[element.dataset.word];
  place("built-in").replaceChildren(...(BUILT_IN_KEYS.length === 0 ? [] : [h("p", {}, words().keysBuiltIn(BUILT_IN_KEYS.length)),
    h("ul", {}, ...BUILT_IN_KEYS.map((key) => h("li", {}, h("code", {}, key))))]));
  const language = place("language");
  language.textContent = words().language;
  language.lang = root.lang === "en" ? "zh-CN" : "en";
  language.title = words().languageLabel;
  place("theme").setAttribute("aria-label", words().theme[theme]);
  place("theme").title = words().theme[theme];
  place("theme-sign").textContent = SIGNS[theme];
  drawHeld();
  if (shown) say(shown);
}

place("language").addEventListener("click", () => {
  root.lang = root.lang === "en" ? "zh-CN" : "en";
  draw();
});
place("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  draw();
});
place("form").addEventListener("submit", (event) => {
  event.preventDefault();
  check();
});
place("file").addEventListener("change", (event) => {
  if (event.target.files[0]) take(event.target.files[0]);
});
place("text").addEventListener("input", (event) => {
  if (event.target.value) takeText(event.target.value);
});
for (const id of ["keys", "buyer"]) place(id).addEventListener("change", () => held && check());
for (const kind of ["dragover", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault(); // a file that misses its place must not take the page's
    place("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
addEventListener("dragleave", () => place("drop").classList.remove("over"));
addEventListener("paste", (event) => {
  if (event.target.closest("textarea, input:not([type=file])")) return;
  const [file] = event.clipboardData.files;
  const text = event.clipboardData.getData("text/plain");
  if (file) take(file);
  else if (text) takeText(text);
});

root.lang = navigator.language.startsWith("zh") ? "zh-CN" : "en";
place("keys-own").open = BUILT_IN_KEYS.length === 0;
draw();

// For whoever wants to check many receipts at the console; our tests do.
globalThis.everycent = { parseKey, verifyReceipt };
