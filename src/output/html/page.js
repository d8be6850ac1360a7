"use strict";
// Sorts and filters the tables of this page; without it everything is still there to read.
(() => {
  const zh = document.documentElement.lang.startsWith("zh");
  const compare = new Intl.Collator(document.documentElement.lang, { numeric: true }).compare;
  const value = (row, column) => {
    const cell = row.cells[column];
    if (!cell || cell.classList.contains("null")) return null;
    const text = cell.dataset.v ?? cell.textContent;
    return cell.classList.contains("n") && !Number.isNaN(Number(text)) ? Number(text) : text;
  };
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : compare(String(a), String(b)));
  const sort = (table, header) => {
    const down = header.getAttribute("aria-sort") === "ascending";
    const column = header.cellIndex;
    const rows = Array.from(table.tBodies[0].rows, (row) => [value(row, column), row]);
    // NULL is last in both directions
    rows.sort(([a], [b]) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : down ? order(b, a) : order(a, b)));
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll(".scroll > table")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    for (const header of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      button.title = zh ? "排序" : "Sort";
      header.replaceChildren(button);
      button.addEventListener("click", () => sort(table, header));
    }
    if (body.rows.length < 10) continue;
    const label = document.createElement("label");
    label.className = "filter";
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = zh ? "筛选…" : "Filter…";
    input.setAttribute("aria-label", zh ? "筛选表格行" : "Filter the rows of the table");
    const count = document.createElement("span");
    count.setAttribute("role", "status");
    label.append(input, count);
    table.parentNode.before(label);
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of body.rows) {
        const has = Array.from(row.cells).some((cell) => cell.textContent.toLowerCase().includes(wanted));
        row.hidden = !has;
        shown += has ? 1 : 0;
      }
      count.textContent = wanted ? `${shown} / ${body.rows.length}` : "";
    });
  }
})();
