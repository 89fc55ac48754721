"use strict";
for (const panel of document.querySelectorAll("[data-method]")) {
  const data = JSON.parse(panel.querySelector("script[type='application/json']").textContent);
  const table = panel.querySelector(".matrix"), readout = panel.querySelector(".readout");
  const rows = [...table.tBodies[0].rows], heads = table.tHead.rows[0].cells;
  if (data.models.length < 2) continue;
  const hint = "Point at a cell, tap it, or walk with the arrow keys: a pair of models, its affinity and 95 % interval.";
  const show = (value) => value.toFixed(data.digits).replace(/^-(0\.0+)$/, "$1").replace("-", "\u2212");
  const pick = (of, i, j) => of[Math.max(i, j)][Math.min(i, j)];
  const strong = (text) => Object.assign(document.createElement("b"), { textContent: text });
  let at = null, pinned = false;

  function clear() {
    for (const cell of table.querySelectorAll(".on, .at")) cell.classList.remove("on", "at");
    if (at) at.tabIndex = -1;
    at = null;
    readout.textContent = hint;
    readout.classList.remove("told");
  }
  function point(cell) {
    clear();
    const i = cell.parentNode.sectionRowIndex, j = cell.cellIndex - 1;
    at = cell;
    cell.classList.add("at");
    rows[i].cells[0].classList.add("on");
    heads[j + 1].classList.add("on");
    readout.classList.add("told");
    if (i === j) {
      readout.replaceChildren(strong(data.models[i]), " with itself: 1 by definition");
      return;
    }
    readout.replaceChildren(
      strong(data.models[i]), " and ", strong(data.models[j]), ": affinity ", strong(show(pick(data.affinity, i, j))),
      `, 95 % interval ${show(pick(data.low, i, j))} to ${show(pick(data.high, i, j))}`);
  }
  const cellOf = (event) => event.target.closest("tbody td");
  table.addEventListener("pointerover", (event) => {
    if (!pinned && event.pointerType === "mouse" && cellOf(event)) point(cellOf(event));
  });
  table.addEventListener("pointerleave", () => { if (!pinned) clear(); });
  table.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    pinned = !(pinned && cell === at);
    point(cell);
  });
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  panel.querySelector(".scroll").addEventListener("keydown", (event) => {
    if (event.key === "Escape") { pinned = false; clear(); return; }
    if (!steps[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [down, right] = at ? steps[event.key] : [0, 0], last = rows.length - 1;
    const i = Math.min(last, Math.max(0, (at ? at.parentNode.sectionRowIndex : 0) + down));
    const j = Math.min(last, Math.max(0, (at ? at.cellIndex - 1 : 1) + right));
    const cell = rows[i].cells[j + 1];
    pinned = true;
    point(cell);
    cell.tabIndex = 0;
    cell.focus();
  });
  readout.hidden = false;
  clear();
}
const command = document.querySelector(".command");
if (navigator.clipboard) {
  const button = Object.assign(document.createElement("button"), { className: "copy", type: "button", textContent: "Copy" });
  button.addEventListener("click", () => navigator.clipboard.writeText(command.textContent)
    .then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Select the text to copy it"; }));
  command.after(button);
}
