// A click on a column's title sorts the table by it, a second one the other way round.
for (const table of document.querySelectorAll(".sortable table")) {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column].firstChild?.textContent.trim() ?? "";
    const number = Number(cell.replace("−", "-").replaceAll(",", ""));
    return cell === "–" ? [2, cell] : Number.isNaN(number) ? [1, cell] : [0, number];
  };
  const compare = ([kind, a], [other, b]) =>
    kind - other || (kind === 0 ? a - b : a.localeCompare(b));
  [...table.tHead.rows[0].cells].forEach((title, column) => {
    const isWords = body.rows[0]?.cells[column].classList.contains("words") ?? false;
    title.classList.toggle("words", isWords);
    const button = document.createElement("button");
    button.textContent = title.textContent;
    title.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = title.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      title.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort(([a], [b]) => (down ? compare(b, a) : compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
