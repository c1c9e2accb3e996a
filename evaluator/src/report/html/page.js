
"use strict";
for (const filter of document.querySelectorAll(".filter")) {
  const buttons = filter.querySelectorAll("button");
  filter.hidden = false;
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const change = button.dataset.show;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      for (const card of document.querySelectorAll("[data-change]")) {
        card.hidden = change !== "" && card.dataset.change !== change;
      }
    });
  }
}
