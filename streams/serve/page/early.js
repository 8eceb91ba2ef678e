// Before anything is painted: the theme and language that were chosen, so that nothing flashes.
"use strict";
(() => {
  let stored = {};
  try {
    stored = JSON.parse(localStorage.getItem("everycent") ?? "{}");
  } catch {
    // No storage, or something else in it: as the browser has it.
  }
  const root = document.documentElement;
  if (stored.theme === "light" || stored.theme === "dark") root.dataset.theme = stored.theme;
  const wanted = stored.language ?? navigator.language;
  root.lang = wanted.startsWith("zh") ? "zh-CN" : "en";
})();
