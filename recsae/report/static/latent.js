// Renders the details of a latent on its concept page. latents.py documents the data; parts that were not measured are
// left out. Needs dom.js, facts.js, charts.js and steering.js.
const MEASURES = [
  ["Most often", "cases in which it fires", 1, counted],
  ["Most strongly", "sum of its activations", 2, figure],
  ["Most distinctively", "lift: its share of the cases in which the latent fires, divided by its share of all cases", 3, (lift) => `×${figure(lift)}`],
];
const ROLES = {
  top: "Among the strongest",
  level: "Across the range of activation",
  near_miss: "Hard negative: does not fire, item shares attributes",
  near_direction: "Hard negative: does not fire, close in direction",
  random: "Does not fire",
};
const detailsOf = (part, row) => data.details[part]?.[row.latent];

function latentParts(row) {
  const parts = element("div", "latent-parts");
  const part = (heading, className, ...content) => {
    const made = parts.appendChild(element("section", className));
    made.append(element("h2", "", heading), ...content);
  };
  const { latent } = row;
  const [items, levels, deciles, attributes, turned, curve] = ["items", "levels", "deciles", "attributes", "turned", "curves"].map((name) => detailsOf(name, row));
  parts.append(figures(row));
  const [recall, rivals] = ["recall", "rivals"].map((name) => detailsOf(name, row));
  if (recall) part("The statement by level of activation", "levels", ...recallChart(latent, recall));
  if (levels) part("The judged term by activation level", "levels", ...levelChart(latent, levels));
  if (levels && deciles) part("How strongly it fires", "levels", ...spreadChart(latent, deciles, levels));
  if (curve) part("The concept by steering strength", "levels", ...steeringChart(latent, curve));
  if (items) {
    for (const [heading, meaning, column, shown] of MEASURES) {
      part(heading, "measure", element("p", "meaning", meaning), itemList(items, column, shown));
    }
  }
  if (rivals) part("The best statement of each kind and view", "broad", rivalTable(rivals));
  if (data.cases?.[latent]) part("Cases", "cases", ...caseList(data.cases[latent]));
  if (attributes) part("Attributes it responds to", "answers", attributeTable(attributes));
  if (turned) part("When it is steered", "turned", ...steeringTable(turned, row));
  if (data.neighbours?.[latent]) part("Closest latents", "kin", element("p", "meaning", "cosine of decoder directions"), neighbourList(data.neighbours[latent]));
  if (data.nights?.[latent]) part("History by night", "kin", nightTable(data.nights[latent]));
  return parts;
}

// Histories, oldest first; the next event is never shown.
function caseList(cases) {
  const list = element("ol", "cases");
  for (const [role, activation, level, top, history] of cases) {
    const line = list.appendChild(element("li", level ? "fires" : "silent"));
    const fired = level ? `${decimal(activation)}, level ${level}` : "does not fire";
    line.append(element("h3", "", ROLES[data.roles[role]]), element("span", "amount", fired));
    const text = line.appendChild(element("p"));
    text.append("history: ", ...history.flatMap((number, i) => (i ? [" → ", item(number)] : [item(number)])));
    if (top !== null) text.append("; ranked first: ", item(top));
  }
  return [element("p", "meaning", "From users held out from naming."), list];
}

function neighbourList(pairs) {
  const list = element("ol");
  for (let place = 0; place < pairs.length; place += 2) {
    list.appendChild(element("li")).append(latentLink(pairs[place]), " ", element("span", "amount", decimal(pairs[place + 1])));
  }
  return list;
}

function nightTable(nights) {
  const table = element("table", "figures");
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  for (const column of ["Night", "Name", "Confidence", "Change"]) head.appendChild(element("th", "", column)).scope = "col";
  const body = table.appendChild(element("tbody"));
  for (const [night, change, name, confidence, low, high, interpretable] of nights) {
    const line = body.appendChild(element("tr"));
    line.appendChild(element("th", "", String(night))).scope = "row";
    line.appendChild(element("td", "word")).append(name === null ? "—" : conceptName(name, interpretable));
    const cell = line.appendChild(element("td", "", `${decimal(confidence)}${interpretable ? " ✓" : ""}`));
    if (confidence !== null) cell.append(element("span", "interval", between(low, high, decimal)));
    line.append(element("td", "", change ?? "first seen"));
  }
  return table;
}

function itemList(items, column, shown) {
  const list = element("ol");
  for (const place of items[3 + column]) {
    list.appendChild(element("li")).append(item(items[0][place]), " ", element("span", "amount", shown(items[column][place])));
  }
  return list;
}

function attributeTable(rows) {
  const table = element("table", "figures");
  const columns = ["Attribute a", "r", "P(fires | a)", "P(a | fires)", "AUC"];
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  for (const column of columns) head.appendChild(element("th", "", column)).scope = "col";
  const body = table.appendChild(element("tbody"));
  for (const [view, pair, r, fires, attribute, auc] of rows) {
    const line = body.appendChild(element("tr"));
    const name = line.appendChild(element("th"));
    name.scope = "row";
    name.append(isolated(data.details.names[pair][0]), ": ", isolated(data.details.names[pair][1]));
    if (data.details.views.length > 1) name.append(element("span", "interval", data.details.views[view]));
    for (const shown of [decimal(r), percent(fires), percent(attribute), decimal(auc)]) line.append(element("td", "", shown));
  }
  return table;
}
