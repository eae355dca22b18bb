// Draws the plots and makes the table sortable; the page's words need none of this.
const figures = JSON.parse(document.getElementById("figures").textContent);
const plots = Object.entries(figures).map(([key, figure]) => {
  const plot = document.getElementById(`plot-${key}`);
  const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom"; // a finger scrolls the page
  Plotly.newPlot(plot, figure.data, { ...figure.layout, dragmode }, { responsive: true, displayModeBar: false });
  if (key !== "training") plot.on("plotly_click", ({ points }) => { location.hash = `layer-${points[0].x}`; });
  return plot;
});
addEventListener("beforeprint", () => plots.forEach((plot) => Plotly.relayout(plot, { width: 640 })));
addEventListener("afterprint", () => plots.forEach((plot) => Plotly.relayout(plot, { width: null, autosize: true })));

const body = document.querySelector("#layers tbody");
const value = (row, column) => {
  const cell = row.cells[column];
  if (cell.dataset.value === undefined) return cell.textContent;
  return cell.dataset.value === "inf" ? Infinity : cell.dataset.value === "-inf" ? -Infinity : Number(cell.dataset.value);
};
const compare = (a, b) => {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  return Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : a < b ? -1 : a > b ? 1 : 0; // what does not apply comes last
};
document.querySelectorAll("#layers th[scope=col]").forEach((head, column) => {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") === "ascending";
    const missing = (row) => Number.isNaN(value(row, column));
    const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
    const ordered = falling ? [...rows.filter((r) => !missing(r)).reverse(), ...rows.filter(missing)] : rows;
    head.parentElement.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...ordered);
  });
});
