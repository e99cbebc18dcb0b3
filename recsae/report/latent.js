// What an opened row shows of its latent. What there is of it, and where, says latent_rows.py; a part that was not
// measured is left out. It needs marks.js and turned.js.
const MEASURES = [
  ["Most often", "cases in which it fires", 1, counted],
  ["Most strongly", "sum of its activations", 2, figure],
  ["Most distinctively", "lift: its share of the cases in which the latent fires, by its share of all", 3, (lift) => `×${figure(lift)}`],
];
const MATES = 24;
const groups = new Map();
{
  const [latent, group] = ["latent", "group"].map((name) => data.columns.indexOf(name));
  for (const row of data.rows) {
    if (row[group] === null) continue;
    if (!groups.has(row[group])) groups.set(row[group], []);
    groups.get(row[group]).push(row[latent]);
  }
}
const mates = (row) => (groups.get(row.group) ?? []).filter((latent) => latent !== row.latent);
const about = (part, row) => data.details[part]?.[row.latent];

function described(row) {
  const parts = element("div", "latent-parts");
  const part = (heading, className, ...content) => {
    const made = parts.appendChild(element("section", className));
    made.append(element("h4", "", heading), ...content);
  };
  parts.append(figures(row));
  const [items, levels, attributes, turned] = ["items", "levels", "attributes", "turned"].map((name) => about(name, row));
  if (items) {
    for (const [heading, meaning, column, shown] of MEASURES) {
      part(heading, "measure", element("p", "meaning", meaning), itemList(items, column, shown));
    }
  }
  if (levels) part("The concept by activation level", "levels", ...levelChart(levels));
  if (attributes) part("Attributes that it answers to", "answers", attributeTable(attributes));
  if (turned) part("When it is turned", "turned", ...turnedTable(turned, row));
  if (data.details.left_out && !items && !levels && !attributes && !turned) {
    parts.append(element("p", "meaning", "More is shown of surer latents only; what there is of this one is in the run’s Parquet files."));
  }
  return parts;
}

function figures(row) {
  const facts = element("dl");
  const fact = (label, ...content) => {
    const pair = facts.appendChild(element("div"));
    pair.append(element("dt", "", label), element("dd"));
    pair.lastChild.append(...content);
  };
  const others = mates(row);
  if (row.polysemantic) fact("Two meanings", ...row.meanings.flatMap((one, i) => (i ? [" · ", isolated(one)] : [isolated(one)])));
  if (others.length) fact(`Shares its concept with ${counted(others.length)} latent${others.length > 1 ? "s" : ""}`, ...mateLinks(others));
  if (!about("items", row)) {
    const list = element("ol");
    for (const number of row.top_items) {
      list.appendChild(element("li")).append(item(number), " ", element("code", "", data.titles.ids[number]));
    }
    fact("Top items", row.top_items.length ? list : "—");
  }
  fact("Terms", isolated(row.terms.join(", ") || "—"));
  if (row.tp !== null) {
    fact("Judged", `${counted(row.tp)} of ${counted(row.tp + row.fn)} active and ${counted(row.tn)} of ${counted(row.tn + row.fp)} silent cases right`);
  }
  if (row.confidence_expected !== null) fact("Expected on unseen cases", `confidence ${decimal(row.confidence_expected)}`);
  if (row.near_miss_rate !== null) fact("Near misses judged active, by attribute", percent(row.near_miss_rate));
  if (row.near_direction_rate !== null) fact("Near misses judged active, by direction", percent(row.near_direction_rate));
  if (row.attribute_confidence !== null) {
    fact("By attributes, the same cases", `confidence ${decimal(row.attribute_confidence)}, ` +
      `shuffled ${decimal(row.attribute_confidence_shuffled)}, AUC ${decimal(row.attribute_auc)}`);
  }
  if (row.held_out_confidence !== null) {
    fact("By attributes, all held-out cases", `confidence ${decimal(row.held_out_confidence)}, ` +
      `precision ${decimal(row.held_out_precision)}, recall ${decimal(row.held_out_recall)}`);
  }
  if (row.recsae_confidence !== null) {
    fact("By RecSAE’s protocol", `confidence ${decimal(row.recsae_confidence)}, ` +
      `recall ${decimal(row.recsae_recall)}, true-negative rate ${decimal(row.recsae_true_negative_rate)}`);
  }
  if (row.coherence !== null) fact("Coherence of its strongest cases", decimal(row.coherence));
  fact("Fires", `in ${counted(row.activations)} explain cases, at most ${decimal(row.maximum)}`);
  fact("Status", isolated(row.status));
  return facts;
}

function mateLinks(latents) {
  const shown = latents.slice(0, MATES).flatMap((latent) => [link(`#latent-${latent}`, String(latent)), " "]);
  return latents.length > MATES ? [...shown, `and ${counted(latents.length - MATES)} more`] : shown;
}

function itemList(items, column, shown) {
  const list = element("ol");
  for (const place of items[3 + column]) {
    list.appendChild(element("li")).append(item(items[0][place]), " ", element("span", "amount", shown(items[column][place])));
  }
  return list;
}

// Bars: the share of cases of a level whose item bears the concept's terms. Lines: what any item would give.
function levelChart([catalogue, popular, cases, hits]) {
  const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [340, 170, 44, 12, 26];
  const shares = hits.map((hit, level) => (cases[level] ? hit / cases[level] : null));
  const ceiling = Math.min(1, Math.max(0.1, Math.ceil(10 * Math.max(...shares, catalogue, popular)) / 10));
  const step = (WIDTH - LEFT) / shares.length;
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share / ceiling);
  const [svg, draw] = picture("level-chart", WIDTH, HEIGHT);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Hit ratio by level: ${shares.map((share, level) => `${level}: ${percent(share)}`).join(", ")}`);
  for (const share of [0, ceiling / 2, ceiling]) {
    draw("line", "grid", { x1: LEFT, x2: WIDTH, y1: y(share), y2: y(share) });
    draw("text", "", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${Math.round(100 * share)}\u00a0%`);
  }
  shares.forEach((share, level) => {
    const x = LEFT + step * level;
    draw("text", "", { x: x + step / 2, y: HEIGHT - 10, "text-anchor": "middle" }, String(level));
    if (share === null) return;
    const bar = draw("rect", level ? "concept" : "concept silent", { x: x + 2, y: y(share), width: step - 4, height: y(0) - y(share) });
    const told = document.createElementNS(SVG, "title");
    told.textContent = `level ${level}: ${counted(hits[level])} of ${counted(cases[level])} cases`;
    bar.append(told);
  });
  draw("line", "catalogue", { x1: LEFT, x2: WIDTH, y1: y(catalogue), y2: y(catalogue) });
  draw("line", "popular", { x1: LEFT, x2: WIDTH, y1: y(popular), y2: y(popular) });
  const legend = element("p", "legend");
  legend.append(
    element("span", "key concept", "of the level’s cases"),
    element("span", "key catalogue", `of all items: ${percent(catalogue)}`),
    element("span", "key popular", `weighted by popularity: ${percent(popular)}`),
  );
  return [svg, legend];
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
