// Making elements. Text is always text: nothing here reads HTML.

/** `h("a", { href: "/", class: "x" }, "text", child)`; properties that begin with `on` are listeners. */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set the text only where it differs, so that a screen reader isn't told of what stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
