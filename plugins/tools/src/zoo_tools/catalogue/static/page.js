// Buttons that copy the code beside them.
"use strict";
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  const label = button.firstChild;
  button.addEventListener("click", async () => {
    const pre = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(pre.textContent);
    } catch {
      // Pages that came over plain HTTP have no clipboard of that kind; the old command works there.
      getSelection().selectAllChildren(pre);
      document.execCommand("copy");
      getSelection().removeAllRanges();
    }
    label.data = "Copied";
    setTimeout(() => (label.data = "Copy"), 1500);
  });
}
