// Signed notes and their keys (C2SP signed-note): what `streams/ledger/notes.py` says, once more.

import { fromBase64, fromUtf8, hex, sha256, utf8 } from "./bytes.js";

const KEY_ID_BYTES = 4;
const TIME_BYTES = 8;
const SIGNATURE_BYTES = 64;
const PUBLIC_BYTES = 32;
const SIGNATURES_MAX = 100;
const LOG = 1; // the byte that says what a key signs: a note's text
const COSIGNATURE = 4; // a checkpoint, with the time at which a witness saw it
const DASH = "— ";
const CONTROL = /[\x00-\x09\x0b-\x1f]/;
// What Python takes for white space, which isn't quite what JavaScript does.
const FORBIDDEN_IN_NAME = /[+\x09-\x0d\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

const isName = (name) => name !== "" && !FORBIDDEN_IN_NAME.test(name) && !CONTROL.test(name);

/** The browser has no Ed25519: then nothing can be said. */
export class Unsupported extends Error {}

/** A verifier key, `name+id+base64`. Throws. */
export async function parseKey(text) {
  const match = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(text.trim());
  if (!match) throw new Error("not of the form name+id+base64");
  const [, name, givenId, encoded] = match;
  const material = fromBase64(encoded);
  const kind = material[0];
  if (!isName(name) || (kind !== LOG && kind !== COSIGNATURE) || material.length !== 1 + PUBLIC_BYTES) {
    throw new Error("not an Ed25519 key");
  }
  const id = hex((await sha256(utf8(`${name}\n`), material)).subarray(0, KEY_ID_BYTES));
  if (id !== givenId) throw new Error("not the id that belongs to it");
  return { name, id, kind, isLog: kind === LOG, publicBytes: material.subarray(1) };
}

/** A note: its text, and all signatures that it bears, whosoever they are. Verifies nothing; throws. */
export function parseNote(bytes) {
  const whole = fromUtf8(bytes);
  const end = whole.lastIndexOf("\n\n");
  if (CONTROL.test(whole) || end < 0 || !whole.endsWith("\n")) throw new Error("no note");
  const lines = whole.slice(end + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) throw new Error("too many signatures");
  return { text: `${whole.slice(0, end)}\n`, signatures: lines.map(parseSignature) };
}

function parseSignature(line) {
  const space = line.indexOf(" ", DASH.length);
  if (!line.startsWith(DASH) || space < 0) throw new Error("no signature line");
  const name = line.slice(DASH.length, space);
  const data = fromBase64(line.slice(space + 1));
  if (!isName(name) || data.length <= KEY_ID_BYTES) throw new Error("no signature");
  return { name, keyId: hex(data.subarray(0, KEY_ID_BYTES)), data: data.subarray(KEY_ID_BYTES) };
}

/** Whether `key` made the signature over `text`. Throws Unsupported. */
export async function isSignedBy(key, text, signature) {
  if (key.isLog) return verifyEd25519(key.publicBytes, signature.data, utf8(text));
  if (signature.data.length !== TIME_BYTES + SIGNATURE_BYTES) return false;
  const atS = BigInt(`0x${hex(signature.data.subarray(0, TIME_BYTES))}`);
  const message = utf8(`cosignature/v1\ntime ${atS}\n${text}`);
  return verifyEd25519(key.publicBytes, signature.data.subarray(TIME_BYTES), message);
}

async function verifyEd25519(publicBytes, signature, message) {
  let key;
  try {
    key = await crypto.subtle.importKey("raw", publicBytes, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (error.name !== "DataError") throw new Unsupported(error.message);
    return false; // of no point on the curve
  }
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

/** Whether this browser can check signatures: tried with the first example of RFC 8032, and with one bit of it wrong. */
export async function canVerify() {
  if (!globalThis.crypto?.subtle) return false;
  const publicBytes = fromBase64("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
  const right = fromBase64("5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==");
  const wrong = Uint8Array.from(right, (byte, at) => (at === 0 ? byte ^ 1 : byte));
  try {
    const nothing = new Uint8Array();
    return (await verifyEd25519(publicBytes, right, nothing)) && !(await verifyEd25519(publicBytes, wrong, nothing));
  } catch {
    return false;
  }
}
