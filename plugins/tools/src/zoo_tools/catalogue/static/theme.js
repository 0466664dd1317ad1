// Apply the chosen colours before the page is shown. The documentation's theme stores its choice in the same way.
"use strict";
(() => {
  const root = document.documentElement;
  const modes = ["auto", "light", "dark"];
  const names = { auto: "system setting", light: "light", dark: "dark" };
  let mode = "auto";
  try {
    mode = localStorage.getItem("mode") || "auto";
  } catch {
    // Storage is disabled: the choice is kept for this page only.
  }
  if (!modes.includes(mode)) mode = "auto";
  const apply = () => (mode === "auto" ? root.removeAttribute("data-theme") : root.setAttribute("data-theme", mode));
  apply();
  addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-button]");
    const show = () => {
      button.dataset.mode = mode;
      button.setAttribute("aria-label", `Colours: ${names[mode]}`);
      button.title = button.getAttribute("aria-label");
    };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      mode = modes[(modes.indexOf(mode) + 1) % modes.length];
      try {
        localStorage.setItem("mode", mode);
        localStorage.setItem("theme", mode === "auto" ? "" : mode);
      } catch {
        // as above
      }
      apply();
      show();
      dispatchEvent(new Event("themechange"));
    });
    for (const element of document.querySelectorAll(".js-only")) {
      if (!element.matches("#tray, #empty, .more")) element.hidden = false;
    }
  });
})();
