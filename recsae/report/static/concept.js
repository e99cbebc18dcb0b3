// Shows the concept named in the address (#latent-12), or the list of the concepts in this file. Needs latent.js.
const byLatent = new Map(data.rows.map((row) => {
  const made = Object.fromEntries(data.columns.map((name, i) => [name, row[i]]));
  return [made.latent, made];
}));
const order = [...byLatent.keys()];

function step(id, latent) {
  const made = find(id);
  made.hidden = latent === null;
  if (latent !== null) made.href = conceptAddress(latent);
}

function scores(row) {
  const table = element("table", "figures wide scores");
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  const columns = [["Confidence", row.confidence], ["Shuffled", row.confidence_shuffled], ["Precision", row.precision], ["Recall", row.recall],
    ["F1", row.f1], ["Unseen items", row.unseen_confidence], ["Language model", row.judge_confidence]];
  const line = element("tr");
  for (const [name, value] of columns) {
    head.appendChild(element("th", "", name)).scope = "col";
    line.appendChild(element("td", "", decimal(value))).dataset.label = name;
  }
  if (row.confidence !== null) line.firstChild.append(element("span", "interval", bounds(row)));
  table.appendChild(element("tbody")).append(line);
  return table;
}

function show(row) {
  const place = order.indexOf(row.latent);
  step("previous", place ? order[place - 1] : data.around[0]);
  step("next", place + 1 < order.length ? order[place + 1] : data.around[1]);
  const name = row.name === null ? element("i", "", "no name") : isolated(row.name);
  find("heading").replaceChildren(name);
  document.title = `${row.name ?? "no name"} (latent ${row.latent})`;
  const status = element("p", "lead");
  status.append(element("span", row.interpretable ? "badge yes" : "badge", row.interpretable ? "interpretable" : row.status === "ok" ? "below the bar" : row.status), ` latent ${row.latent}`);
  const description = element("p", "description");
  description.append(isolated(row.caption ?? row.description ?? row.words ?? "No statement."));
  find("concept").replaceChildren(status, description, scores(row), latentParts(row));
}

function list() {
  for (const id of ["previous", "next"]) find(id).hidden = true;
  const made = element("ul");
  for (const latent of order) made.appendChild(element("li")).append(latentLink(latent));
  find("concept").replaceChildren(made);
}

function follow() {
  const row = byLatent.get(Number(/^#latent-(\d+)$/.exec(location.hash)?.[1] ?? NaN));
  if (row) show(row);
  else list();
  window.scrollTo(0, 0);
}

window.addEventListener("hashchange", () => {
  follow();
  find("heading").focus({ preventScroll: true });
});
follow();
