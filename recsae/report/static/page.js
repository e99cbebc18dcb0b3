// The table of concepts: sorts, searches and filters, and renders one page of rows at a time, so that ten thousand
// latents cost no more than fifty. A link to a latent (#latent-12) goes to its row and opens it. Needs dom.js, facts.js
// and items.js.
const PAGE = 50;
const concepts = data.rows.map((row) => Object.fromEntries(data.columns.map((name, i) => [name, row[i]])));
const byLatent = new Map(concepts.map((row) => [row.latent, row]));
const headers = [...document.querySelectorAll(".dictionary th[data-key]")];
const steps = [...document.querySelectorAll("button[data-step]")];
const opened = new Set();
// All latents have the same bar, so sorting by the lower end of the interval puts interpretable ones first.
const state = { key: "confidence", descending: true, page: 0, shown: [] };

const sortValues = {
  confidence: (row) => row.confidence_lower,
  top_items: (row) => (row.top_items.length ? title(row.top_items[0]) : null),
  kind: verdict,
};
const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function compare(a, b) {
  const value = sortValues[state.key] ?? ((row) => row[state.key]);
  const [left, right] = [value(a), value(b)];
  // Unknown values come last in both directions.
  if (left === null || right === null) return (left === null) - (right === null) || a.latent - b.latent;
  const way = typeof left === "string" ? order.compare(left, right) : left - right;
  return (state.descending ? -way : way) || a.latent - b.latent;
}

function haystack(row) {
  row.haystack ??= fold([row.latent, row.name ?? "", row.words ?? "", row.gloss ?? "", row.caption ?? "", row.description ?? "", row.judge_name ?? "", ...row.terms, ...row.meanings, ...row.top_items.map(title)].join("\n"));
  return row.haystack;
}

function refresh() {
  const wanted = words(find("query").value);
  const only = find("interpretable").checked;
  state.shown = concepts
    .filter((row) => (!only || row.interpretable) && wanted.every((word) => haystack(row).includes(word)))
    .sort(compare);
  state.page = 0;
  for (const header of headers) {
    if (header.dataset.key === state.key) header.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    else header.removeAttribute("aria-sort");
  }
  find("sort").value = state.key;
  find("direction").textContent = state.descending ? "Descending" : "Ascending";
  draw();
}

function draw() {
  const start = state.page * PAGE;
  const rows = state.shown.slice(start, start + PAGE);
  const body = find("rows");
  body.replaceChildren(...rows.flatMap((row) => (opened.has(row.latent) ? [line(row), detail(row)] : [line(row)])));
  if (!rows.length) {
    const empty = body.appendChild(element("tr", "empty"));
    const cell = empty.appendChild(element("td", "", concepts.length ? "No concept matches." : "The dictionary is empty."));
    cell.colSpan = headers.length;
  }
  const total = state.shown.length;
  const range = total ? `${counted(start + 1)}–${counted(start + rows.length)} of ${counted(total)}` : "none";
  for (const place of document.querySelectorAll(".pages .range")) place.textContent = range;
  for (const button of steps) button.disabled = button.dataset.step < 0 ? start === 0 : start + PAGE >= total;
}

const cells = {
  name: nameCell,
  confidence(cell, row) {
    cell.append(element("span", "value", decimal(row.confidence)));
    if (row.confidence === null) return;
    cell.append(element("span", "interval", bounds(row)));
    cell.append(strip(row));
  },
  f1(cell, row) {
    cell.append(decimal(row.f1));
    if (row.core_f1 !== null) cell.append(element("span", "interval", `narrow ${decimal(row.core_f1)}`));
  },
  frequency: (cell, row) => cell.append(percent(row.frequency)),
  top_items(cell, row) {
    const list = cell.appendChild(element("ul"));
    for (const number of row.top_items.slice(0, 3)) list.appendChild(element("li")).append(isolated(title(number)));
    if (!row.top_items.length) list.append(element("li", "", "—"));
  },
  kind: (cell, row) => cell.append(badge(row)),
};

function line(row) {
  const tr = element("tr", row.interpretable ? "" : "unproven");
  tr.setAttribute("role", "row");
  tr.id = `latent-${row.latent}`;
  for (const header of headers) {
    const key = header.dataset.key;
    const cell = tr.appendChild(element(key === "name" ? "th" : "td", key));
    cell.setAttribute("role", key === "name" ? "rowheader" : "cell");
    if (key === "name") cell.scope = "row";
    cell.dataset.label = header.textContent;
    if (cells[key]) cells[key](cell, row);
    else cell.append(decimal(row[key]));
  }
  return tr;
}

function nameCell(cell, row) {
  const button = cell.appendChild(element("button"));
  button.type = "button";
  button.setAttribute("aria-expanded", opened.has(row.latent));
  button.append(conceptName(row.name, row.interpretable));
  const others = mates(row).length;
  if (others) {
    const mark = element("span", "mark", `×${others + 1}`);
    mark.title = `${others + 1} latents under “${row.group_name}”`;
    cell.append(" ", mark);
  }
  if (row.words !== null) {
    const said = element("span", "words");
    said.append(isolated(row.words));
    said.title = row.words;
    cell.append(said);
  }
  cell.append(element("span", "latent", `latent ${row.latent}`));
  if (row.polysemantic) cell.append(element("span", "latent", "two meanings"));
  button.addEventListener("click", () => {
    const open = !opened.delete(row.latent);
    button.setAttribute("aria-expanded", open);
    if (open) {
      opened.add(row.latent);
      cell.parentElement.after(detail(row));
    } else cell.parentElement.nextElementSibling.remove();
  });
}

// A reference to a latent: its number, with its concept if it has one.
function latentName(latent) {
  const { name = null, interpretable = false } = byLatent.get(latent) ?? {};
  const made = element("span");
  made.append(...(name === null ? [`latent ${latent}`] : [conceptName(name, interpretable), " ", element("span", "amount", latent)]));
  return made;
}

// Confidence with its interval and control on a line from 0 to 1; the numbers are beside it.
function strip(row) {
  const [svg, draw] = picture("strip", 100, 14);
  const x = (value) => 6 + 88 * value;
  svg.setAttribute("aria-hidden", "true");
  draw("line", "track", { x1: x(0), x2: x(1), y1: 7, y2: 7 });
  draw("line", "track", { x1: x(0.5), x2: x(0.5), y1: 3, y2: 11 });
  if (data.bar !== null) draw("line", "bar", { x1: x(data.bar), x2: x(data.bar), y1: 0, y2: 14 });
  if (row.confidence_lower !== null && row.confidence_upper !== null) {
    draw("line", "range", { x1: x(row.confidence_lower), x2: x(row.confidence_upper), y1: 7, y2: 7 });
  }
  if (row.confidence_shuffled !== null) {
    const at = x(row.confidence_shuffled);
    draw("path", "shuffled", { d: `M${at - 4} 7 L${at} 3 L${at + 4} 7 L${at} 11 Z` });
  }
  draw("circle", "dot", { cx: x(row.confidence), cy: 7, r: 3.5 });
  return svg;
}

function detail(row) {
  const tr = element("tr", "detail");
  tr.setAttribute("role", "row");
  const cell = tr.appendChild(element("td"));
  cell.setAttribute("role", "cell");
  cell.colSpan = headers.length;
  if (row.caption ?? row.description) cell.appendChild(element("p", "description")).append(isolated(row.caption ?? row.description));
  cell.append(figures(row));
  const more = link(conceptAddress(row.latent), `All of latent ${row.latent}`);
  more.className = "more";
  cell.append(more);
  return tr;
}

function sortBy(key, descending) {
  Object.assign(state, { key, descending });
  refresh();
}

// Numbers sort descending first, text ascending.
const startsDescending = (key) => headers.find((header) => header.dataset.key === key).dataset.kind === "number";
function toggleSort(key) {
  sortBy(key, state.key === key ? !state.descending : startsDescending(key));
}

function move(step) {
  state.page += step;
  draw();
  find("dictionary").scrollIntoView();
}

for (const header of headers) header.firstChild.addEventListener("click", () => toggleSort(header.dataset.key));
find("sort").addEventListener("change", (event) => sortBy(event.target.value, startsDescending(event.target.value)));
find("direction").addEventListener("click", () => sortBy(state.key, !state.descending));
find("query").addEventListener("input", refresh);
find("interpretable").addEventListener("change", refresh);
for (const button of steps) button.addEventListener("click", () => move(Number(button.dataset.step)));
find("query").form.addEventListener("submit", (event) => event.preventDefault());

// Goes to a latent's row and opens it; clears the search and the filter if they hide it.
function showLatent(latent) {
  const row = byLatent.get(latent);
  if (!row) return;
  if (!state.shown.includes(row)) {
    find("query").value = "";
    find("interpretable").checked = false;
    refresh();
  }
  opened.add(latent);
  state.page = Math.floor(state.shown.indexOf(row) / PAGE);
  draw();
  const line = find(`latent-${latent}`);
  line.scrollIntoView();
  line.querySelector("button").focus({ preventScroll: true });
}

function follow() {
  const [, kind, number] = /^#(latent|item)-(\d+)$/.exec(location.hash) ?? [];
  if (kind === "latent") showLatent(Number(number));
  if (kind === "item") showItem(Number(number));
}

window.addEventListener("hashchange", follow);
// A link to the current address fires no hashchange.
document.addEventListener("click", (event) => {
  if (event.target.closest("a")?.hash === location.hash) follow();
});
refresh();
if (data.items.latents) showItems(data.items.latents);
follow();

