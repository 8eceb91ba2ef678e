// A receipt (C2SP tlog-proof), and its promises in the order in which they are checked: the same as in
// `streams/ledger/receipt.py`, and a test holds the two together byte by byte.

import { fromBase64, fromDecimal, fromHex, fromUtf8, hex, same, sha256, utf8 } from "./bytes.js";
import { isSignedBy, parseNote } from "./notes.js";

export const PROMISES = ["form", "signature", "witnesses", "inclusion", "entry", "donor"];

const HEADER = "c2sp.org/tlog-proof@v1";
const RECEIPT_MAX_BYTES = 65536;
const PROOF_HASHES_MAX = 64;
const HASH_BYTES = 32;
const LEAF_PREFIX = Uint8Array.of(0);
const NODE_PREFIX = Uint8Array.of(1);

// The canonical form of JSON (RFC 8785) is a regular language, so nothing has to be written anew and compared.
const TEXT = String.raw`"(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(?:0[0-7bef]|1[0-9a-f]))*"`;
const NUMBER = "(?:0|[1-9][0-9]{0,4299}|-[1-9][0-9]{0,4298})"; // as long as Python takes them
const SHA256 = '"[0-9a-f]{64}"';
const canonical = (members) =>
  new RegExp(`^\\{${Object.entries(members).map(([name, value]) => `"${name}":(${value})`).join(",")}\\}$`);
const EXTRA_MEMBERS = { entry: TEXT, salt: SHA256 };
const LEAF_MEMBERS = {
  donated_at: NUMBER, donation_id: TEXT, donor: SHA256, fen: NUMBER, item_id: TEXT, line: NUMBER, merchant_id: TEXT,
  order_id: TEXT, project_id: TEXT, seq: NUMBER, source_offset: NUMBER,
};

/** The promise that fails, why (a word of `words.js`), and what that word wants to know. */
export class Failure extends Error {
  constructor(promise, why, facts = {}) {
    super(`${promise}: ${why}`);
    Object.assign(this, { promise, why, facts });
  }
}

/**
 * Check every promise of a receipt's bytes. `keys`: of `parseKey`, at least one. `buyerId`: or null.
 * Throws Failure for the first promise that fails, and Unsupported where the browser can't check signatures.
 */
export async function verifyReceipt(data, keys, buyerId) {
  const receipt = parseReceipt(data);
  const { checkpoint, signedBy, witnesses, strangers } = await checkSignatures(receipt.note, keys);
  await checkInclusion(receipt, checkpoint);
  const leaf = checkEntry(receipt);
  if (buyerId !== null && hex(await sha256(receipt.salt, utf8(buyerId))) !== leaf.donor) {
    throw new Failure("donor", "notTheirs", { buyerId });
  }
  return { leaf, checkpoint, signedBy, witnesses, strangers, donorChecked: buyerId !== null };
}

function parseReceipt(data) {
  if (data.length > RECEIPT_MAX_BYTES) throw new Failure("form", "tooLong");
  const blank = data.findIndex((byte, at) => byte === 10 && data[at + 1] === 10);
  const head = data.subarray(0, Math.max(blank, 0));
  const lines = String.fromCharCode(...head.subarray(0, 32)).split("\n", 1)[0] === HEADER ? textOf(head).split("\n") : [];
  if (lines.length < 3) throw new Failure("form", "noReceipt");
  if (lines.length - 3 > PROOF_HASHES_MAX) throw new Failure("form", "damaged", { place: "proof" });
  const extra = whole("extra", () => matched(EXTRA_MEMBERS, fromUtf8(fromBase64(after("extra ", lines[1])))));
  const index = whole("index", () => fromDecimal(after("index ", lines[2])));
  const proof = whole("proof", () => lines.slice(3).map(hash));
  const note = whole("checkpoint", () => parseNote(data.subarray(blank + 2)));
  return { index, proof, note, entry: extra.entry, salt: fromHex(extra.salt) };
}

/** What `read` gives; what it throws is a damage in this place of the receipt. */
function whole(place, read) {
  try {
    return read();
  } catch {
    throw new Failure("form", "damaged", { place });
  }
}

function textOf(head) {
  if (head.some((byte) => byte > 127)) throw new Failure("form", "damaged", { place: "head" });
  return fromUtf8(head);
}

function after(word, line) {
  if (!line.startsWith(word)) throw new Error("another word");
  return line.slice(word.length);
}

function hash(line) {
  const bytes = fromBase64(line);
  if (bytes.length !== HASH_BYTES) throw new Error("no hash");
  return bytes;
}

/** The members of JSON in its canonical form, numbers as BigInt. Throws where it has another form. */
function matched(members, text) {
  const match = canonical(members).exec(text);
  if (!match) throw new Error("not in the canonical form");
  const values = Object.entries(members).map(([name, shape], at) =>
    [name, shape === NUMBER ? BigInt(match[at + 1]) : JSON.parse(match[at + 1])]);
  return Object.fromEntries(values);
}

async function checkSignatures(note, keys) {
  const found = new Map();
  for (const signature of note.signatures) {
    for (const key of keys) {
      if (key.name !== signature.name || key.id !== signature.keyId || found.has(`${key.name}+${key.id}`)) continue;
      if (!(await isSignedBy(key, note.text, signature))) throw new Failure("signature", "doesNotFit", key);
      found.set(`${key.name}+${key.id}`, key);
    }
  }
  const signers = [...found.values()];
  const signedBy = signers.filter((key) => key.isLog);
  if (signedBy.length === 0) {
    const named = (all, id) => all.map((each) => `${each.name}+${each[id]}`).join(", ");
    const ours = named(keys.filter((key) => key.isLog), "id");
    throw new Failure("signature", "notByOurs", { signers: named(note.signatures, "keyId"), ours });
  }
  const checkpoint = parseCheckpoint(note.text);
  if (signedBy.some((key) => key.name !== checkpoint.origin)) {
    throw new Failure("signature", "otherLog", { name: signedBy[0].name, origin: checkpoint.origin });
  }
  const strangers = new Set(note.signatures.map((each) => `${each.name}+${each.keyId}`).filter((each) => !found.has(each)));
  return { checkpoint, signedBy, witnesses: signers.filter((key) => !key.isLog), strangers: [...strangers] };
}

function parseCheckpoint(text) {
  const lines = text.split("\n");
  try {
    if (lines.length < 4 || lines.pop() !== "" || lines.includes("")) throw new Error("no checkpoint");
    const [origin, size, root] = lines;
    return { origin, size: fromDecimal(size), root: hash(root) };
  } catch {
    throw new Failure("signature", "noCheckpoint");
  }
}

/** RFC 9162, 2.1.3.2. */
async function checkInclusion({ entry, index, proof }, { size, root }) {
  if (index >= size) throw new Failure("inclusion", "noLeaf", { index, size });
  let at = index;
  let last = size - 1n;
  let node = await sha256(LEAF_PREFIX, utf8(entry));
  for (const sibling of proof) {
    if (last === 0n) throw new Failure("inclusion", "proofTooLong");
    if (at & 1n || at === last) {
      node = await sha256(NODE_PREFIX, sibling, node);
      while (at && !(at & 1n)) {
        at >>= 1n;
        last >>= 1n;
      }
    } else {
      node = await sha256(NODE_PREFIX, node, sibling);
    }
    at >>= 1n;
    last >>= 1n;
  }
  if (last) throw new Failure("inclusion", "proofTooShort");
  if (!same(node, root)) throw new Failure("inclusion", "otherRoot");
}

function checkEntry({ entry, index }) {
  let leaf;
  try {
    leaf = matched(LEAF_MEMBERS, entry);
  } catch {
    throw new Failure("entry", "noDonation");
  }
  if (leaf.seq !== index) throw new Failure("entry", "otherNumber", { index, seq: leaf.seq });
  return leaf;
}
