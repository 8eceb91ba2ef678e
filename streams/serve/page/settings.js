// What a person chose: language and theme. Kept in the browser, if it lets us.

const KEY = "everycent";

export function load() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

export function save(change) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...load(), ...change }));
  } catch {
    // Then it lasts as long as the page.
  }
}
