
"use strict";
for (const filter of document.querySelectorAll(".filter")) {
  const buttons = filter.querySelectorAll("button");
  filter.hidden = false;
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const change = button.dataset.show;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      for (const card of filter.parentElement.querySelectorAll("[data-change]")) {
        card.hidden = change !== "" && card.dataset.change !== change;
      }
    });
  }
}
// On a narrow screen the style shows a row of many columns as a card, in which every number has its label.
for (const table of document.querySelectorAll(".scroll > table")) {
  const heads = table.tHead ? table.tHead.rows[0].cells : [];
  if (heads.length <= 5) continue;
  table.classList.add("stacks");
  for (const cell of table.tBodies[0].querySelectorAll("td")) {
    cell.dataset.label = heads[cell.cellIndex].textContent;
  }
}
for (const table of document.querySelectorAll("table.sortable")) {
  const value = (row, column) => row.cells[column].textContent.trim();
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    head.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const sign = up ? 1 : -1;
      const compare = (one, other) => {
        const [a, b] = [parseFloat(value(one, column)), parseFloat(value(other, column))];
        if (Number.isNaN(a) || Number.isNaN(b)) {
          if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
          return sign * value(one, column).localeCompare(value(other, column));
        }
        return sign * (a - b);
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  }
}
