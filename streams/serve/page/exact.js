// Amounts are integers of fen that may pass 2^53: they're read from the text as BigInt and never become a Number, but
// for the height of a bar in a chart.

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d{16,}/g;

/** JSON in which integers too long for a Number come as text; `BigInt()` takes those and numbers alike. */
export const parse = (text) =>
  JSON.parse(text.replace(TOKEN, (token) => (token.startsWith('"') ? token : `"${token}"`)));

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");

/** 1234567 fen: `{ whole: "12,345", cents: "67" }`. */
export function yuanParts(fen) {
  const value = BigInt(fen);
  return { whole: grouped((value / 100n).toString()), cents: (value % 100n).toString().padStart(2, "0") };
}

/** 1234567 fen: `¥12,345.67`. */
export function yuan(fen) {
  const { whole, cents } = yuanParts(fen);
  return `¥${whole}.${cents}`;
}

/** The same, without cents where there are none: `¥12,345`. */
export const roundYuan = (fen) => yuan(fen).replace(/\.00$/, "");

/** 1234567: `1,234,567`. */
export const count = (number) => grouped(BigInt(number).toString());

/** How much of `whole` is `part`, in thousandths, rounded down; at most 1000. */
export function thousandths(part, whole) {
  if (BigInt(whole) === 0n) return 0;
  const share = (BigInt(part) * 1000n) / BigInt(whole);
  return Number(share > 1000n ? 1000n : share);
}

/** Yuan as a Number, for the height of a bar and nothing else. */
export const height = (fen) => Number(BigInt(fen)) / 100;
