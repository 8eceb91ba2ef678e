// The frame around the pages: addresses, language, theme, header and footer.

import { DayPage } from "./day.js";
import { h, setText } from "./dom.js";
import { DonationPage } from "./donation.js";
import { Home } from "./home.js";
import { ProjectPage } from "./project.js";
import { Search } from "./search.js";
import { load, save } from "./settings.js";
import { words } from "./words.js";

/** An address that is none of ours. */
class Nowhere {
  title = words().nowhere;

  constructor() {
    this.element = h("div", { class: "page" },
      h("section", { class: "hero" }, h("h1", { class: "hero-label" }, this.title), h("p", {}, h("a", { href: "/" }, words().toFirst))));
  }

  close() {}
}

const PAGES = { "/": Home, "/project": ProjectPage, "/day": DayPage, "/donation/": DonationPage };
const THEMES = ["auto", "light", "dark"];
const SIGNS = { auto: "◐", light: "○", dark: "●" };
const root = document.documentElement;
const main = document.getElementById("main");

let page = null;

function open(moveFocus) {
  page?.close();
  const Page = PAGES[location.pathname] ?? Nowhere;
  page = new Page(new URLSearchParams(location.search));
  main.replaceChildren(page.element);
  drawTitle();
  for (const link of document.querySelectorAll("#top nav a")) {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (moveFocus) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function go(address) {
  history.pushState(null, "", address);
  open(true);
}

function drawTitle() {
  document.title = page?.title ? `${page.title} · ${words().name}` : words().name;
}

function drawFrame() {
  setText(document.getElementById("skip"), words().skip);
  const theme = load().theme ?? "auto";
  const themeButton = h("button", { type: "button", class: "quiet", "aria-label": words().theme[theme], title: words().theme[theme],
    onclick: nextTheme }, h("span", { "aria-hidden": "true" }, SIGNS[theme]));
  document.getElementById("top").replaceChildren(
    h("a", { class: "brand", href: "/" }, h("img", { src: "/page/mark.svg", alt: "", width: "26", height: "26" }), words().name),
    h("nav", { "aria-label": words().navigation }, h("a", { href: "/" }, words().live), h("a", { href: "/day" }, words().lookBack)),
    new Search().element,
    h("div", { class: "tools" },
      h("button", { type: "button", class: "quiet", lang: root.lang === "en" ? "zh-CN" : "en", title: words().languageLabel,
        onclick: nextLanguage }, words().language),
      themeButton));
  document.getElementById("foot").replaceChildren(
    h("p", {}, words().about), h("p", {}, h("a", { href: "/api/v1/openapi.json" }, words().api)));
}

function nextLanguage() {
  const language = root.lang === "en" ? "zh" : "en";
  save({ language });
  root.lang = language === "zh" ? "zh-CN" : "en";
  drawFrame();
  open(false);
  document.querySelector(".tools button").focus();
}

function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(load().theme ?? "auto") + 1) % THEMES.length];
  save({ theme });
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  drawFrame();
  dispatchEvent(new Event("themechange"));
  document.querySelector(".tools button:last-child").focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || link.origin !== location.origin || !(link.pathname in PAGES) || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
addEventListener("popstate", () => open(true));
addEventListener("navigate", (event) => go(event.detail));
addEventListener("titlechange", drawTitle);

drawFrame();
open(false);
