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

function show(row) {
  const place = order.indexOf(row.latent);
  step("previous", place ? order[place - 1] : data.around[0]);
  step("next", place + 1 < order.length ? order[place + 1] : data.around[1]);
  find("heading").replaceChildren(conceptName(row.name, row.interpretable));
  document.title = `${row.name ?? "no name"} (latent ${row.latent})`;
  const status = element("p", "lead");
  status.append(badge(row), ` latent ${row.latent}`);
  find("concept").replaceChildren(status, ...statementParts(row), latentParts(row));
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
