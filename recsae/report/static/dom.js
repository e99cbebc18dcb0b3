// Helpers for all pages: elements, number formats, SVG, and links. Catalogue text enters the document through
// textContent only.
const SVG = "http://www.w3.org/2000/svg";
const find = (id) => document.getElementById(id);
const data = JSON.parse(find("data").textContent);

const element = (name, className, text) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const decimal = (value, digits = 2) => (value === null ? "—" : value.toFixed(digits).replace("-", "−"));
const between = (low, high, shown) => (low === null || high === null ? "" : `${shown(low)} to ${shown(high)}`);
const bounds = (row) => between(row.confidence_lower, row.confidence_upper, decimal) || "no interval";
const percent = (value) => (value === null ? "—" : `${(100 * value).toFixed(value === 0 || value >= 0.01 ? 1 : value >= 0.001 ? 2 : 3)}\u00a0%`);
const counted = (value) => (value === null ? "—" : value.toLocaleString("en"));
// Sums of activations and lifts range from hundredths to millions.
const figure = (value) => (value === null ? "—" : value.toLocaleString("en", { maximumSignificantDigits: 3 }));
const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const words = (text) => fold(text).split(/\s+/).filter(Boolean);

// Titles may be right-to-left or contain bidirectional marks: <bdi> confines their effect to the title.
const isolated = (text) => element("bdi", "", text);

// An SVG of `width` by `height`, and a function that adds shapes to it.
function picture(className, width, height) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", className);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const draw = (name, className, attributes, text) => {
    const shape = svg.appendChild(document.createElementNS(SVG, name));
    shape.setAttribute("class", className);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    if (text !== undefined) shape.textContent = text;
    return shape;
  };
  return [svg, draw];
}

// Adds a tooltip to a shape.
function tip(shape, text) {
  const tooltip = document.createElementNS(SVG, "title");
  tooltip.textContent = text;
  shape.append(tooltip);
}

function link(address, ...content) {
  const made = element("a");
  made.href = address;
  made.append(...content);
  return made;
}

const title = (number) => data.titles.titles[number];
const viewed = new Map((data.items?.latents ?? []).map((row) => [row[0], row]));
// The number of an item's view in the report; other pages get it with the titles.
const viewOf = (number) => (data.titles.views ? data.titles.views[number] : viewed.has(number) ? number : null);
// An item in a list: a link if the report has a view of it.
const item = (number) => {
  const view = viewOf(number);
  return view === null ? isolated(title(number)) : link(`${data.titles.views ? "report.html" : ""}#item-${view}`, isolated(title(number)));
};
const conceptAddress = (latent) => `concepts-${String(Math.floor(latent / data.perPage)).padStart(3, "0")}.html#latent-${latent}`;

// What a latent is called. Where its statement is below the bar, the name is muted and says so.
function conceptName(name, interpretable) {
  if (name === null) return element("i", "", "no name");
  const made = element("bdi", interpretable ? "" : "unproven", name);
  made.title = interpretable ? name : `${name} (below the bar)`;
  return made;
}

// A latent by its name, for pages with `names`; latents outside the dictionary have no page.
function latentLink(latent) {
  const [name, interpretable] = data.names[latent] ?? [null, false];
  const label = name === null ? [`latent ${latent}`] : [conceptName(name, interpretable), " ", element("span", "amount", latent)];
  return latent in data.names ? link(conceptAddress(latent), ...label) : label[0];
}

// The class of a latent: a tick where its statement holds, and what it lacks where not.
const verdict = (row) => (row.interpretable || row.kind !== "unexplained" ? row.kind : row.status === "ok" ? "unexplained, below the bar" : row.status);
const badge = (row) => element("span", row.interpretable ? "badge yes" : "badge", verdict(row));

// A link to the numbers behind a chart, as a CSV file.
function numbersOf(name, columns, rows) {
  const lines = [columns, ...rows].map((row) => row.map((value) => value ?? "").join(","));
  const made = link(`data:text/csv;charset=utf-8,${encodeURIComponent(`${lines.join("\n")}\n`)}`, "The numbers (CSV)");
  made.download = `${name}.csv`;
  made.className = "numbers";
  return made;
}
