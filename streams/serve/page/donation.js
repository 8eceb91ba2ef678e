// A donor's own donation. The link's token stands behind the address's `#`, which browsers keep to themselves; it goes to
// the server in a header, so that no log, no proxy's and no history of referrers has it.

import { ask } from "./api.js";
import { h, setText } from "./dom.js";
import { parse, yuan } from "./exact.js";
import { Hero, note, projectPath } from "./pieces.js";
import { longDay, moment, words } from "./words.js";

const RECEIPT = "/donation/receipt";
const kept = { token: null, answer: null }; // so that another language asks for nothing again

/** `{ text, leaf, expiresAtMs }`, or `{ refused: why }`. */
async function fetchReceipt(token) {
  if (token === "") return { refused: "linkRefused" };
  if (kept.token === token) return kept.answer;
  const response = await fetch(RECEIPT, { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  if (response.status === 404) return { refused: "linkRefused" };
  if (!response.ok) return { refused: "linkLater" };
  const text = await response.text();
  const answer = { text, leaf: leafOf(text), expiresAtMs: Number(response.headers.get("Link-Expires-At-S")) * 1000 };
  Object.assign(kept, { token, answer });
  return answer;
}

/** The donation that a receipt is of. It is only shown here; checking it is the business of verify.html. */
function leafOf(text) {
  const extra = text.split("\n")[1].slice("extra ".length);
  const bytes = Uint8Array.from(atob(extra), (character) => character.charCodeAt(0));
  return parse(JSON.parse(new TextDecoder().decode(bytes)).entry);
}

export class DonationPage {
  title = words().yourDonation;
  #closed = false;
  #address = null;

  constructor() {
    this.hero = new Hero(h("span", {}));
    setText(this.hero.label, this.title);
    this.rest = h("div", { class: "figures" });
    this.element = h("div", { class: "page donation" }, this.hero.element, this.rest);
    this.#start();
  }

  async #start() {
    const answer = await fetchReceipt(location.hash.slice(1)).catch(() => ({ refused: "linkLater" }));
    const status = answer.refused ? null : await ask("/status").catch(() => null);
    const project = answer.refused ? null : await ask("/project", { id: answer.leaf.project_id }).catch(() => null);
    if (this.#closed) return;
    if (answer.refused) {
      this.hero.element.replaceChildren(this.hero.label);
      this.rest.replaceChildren(note(words()[answer.refused]));
    } else {
      this.#show(answer, status?.time_zone, project?.name);
    }
    setText(document.getElementById("announce"), answer.refused ? words()[answer.refused] : this.said);
  }

  #show({ text, leaf, expiresAtMs }, zone, projectName) {
    const at = Number(leaf.donated_at);
    const project = projectName ?? leaf.project_id;
    this.hero.set(leaf.fen, words().givenTo(project));
    this.said = words().gaveTo(yuan(leaf.fen), project);
    this.#address ??= URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
    const facts = {
      project: h("a", { href: projectPath(leaf.project_id) }, project),
      givenAt: moment(at, zone),
      donationId: leaf.donation_id,
      orderId: leaf.order_id,
    };
    this.rest.replaceChildren(
      h("dl", { class: "facts" }, ...Object.entries(facts).map(([name, value]) =>
        h("div", {}, h("dt", {}, words()[name]), h("dd", {}, value)))),
      h("section", { class: "card" }, h("h2", {}, words().receipt), h("p", {}, words().receiptAbout),
        h("p", { class: "deeds" },
          h("a", { class: "deed", href: this.#address, download: `${leaf.donation_id.replace(":", "-")}.tlog-proof` }, words().download),
          h("a", { href: "/verify.html" }, words().verify)),
        h("p", { class: "charity" }, words().linkKeep(longDay(expiresAtMs, zone)))));
  }

  close() {
    this.#closed = true;
    if (this.#address) URL.revokeObjectURL(this.#address);
  }
}
