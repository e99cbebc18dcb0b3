// Shows the selected user, or the one in the address (#user-3). users.py documents the data. Needs dom.js.
const chooser = find("user");

function part(heading, ...content) {
  const made = element("section");
  made.append(element("h2", "", heading), ...content);
  return made;
}

function history(user) {
  const list = element("ol");
  for (const number of user.history) list.appendChild(element("li")).append(item(number));
  const count = element("p", "meaning", user.history.length < user.events ? `the latest ${user.history.length} of ${counted(user.events)} events, oldest first` : "oldest first");
  return part("History", count, list);
}

function active(user) {
  const list = element("ol");
  for (const [latent, activation] of user.active) list.appendChild(element("li")).append(latentLink(latent), " ", element("span", "amount", decimal(activation)));
  return part("Active latents", element("p", "meaning", "with their activations"), list);
}

function recommended(user) {
  const table = element("table", "figures sums");
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  const columns = ["Item", "Score", "Beyond the average item", "everyone gets", "this user’s own, by these latents", "by others", "by the SAE’s error"];
  for (const column of columns) head.appendChild(element("th", "", column)).scope = "col";
  const body = table.appendChild(element("tbody"));
  for (const [number, score, average, listed, others, error, everyone] of user.items) {
    const line = body.appendChild(element("tr"));
    const name = line.appendChild(element("th"));
    name.scope = "row";
    name.append(item(number));
    line.append(element("td", "", decimal(score)), element("td", "", plus(score - average)), element("td", "", plus(everyone)));
    const parts = line.appendChild(element("td", "word")).appendChild(element("ul"));
    for (let place = 0; place < listed.length; place += 2) {
      const one = parts.appendChild(element("li"));
      one.append(latentLink(listed[place]), " ", element("span", "amount", plus(listed[place + 1])));
    }
    line.append(element("td", "", plus(others)), element("td", "", plus(error)));
    [...line.children].forEach((cell, i) => { cell.dataset.label = columns[i]; });
  }
  const meaning = element("p", "meaning", "Items are ranked by how far their score exceeds that of the average item. Of this difference, everyone gets what the average user gets for the item; a latent’s own part is what its activation gives beyond its mean over users.");
  const [named, unnamed, error] = user.carried.map((share) => (share === null ? "—" : `${Math.round(100 * share)} %`));
  const carried = element("p", "", `Of what is this user’s own in these items, latents with an interpretable concept carry ${named}, other latents ${unnamed}, and the SAE’s error ${error}.`);
  return part("Recommendations and their reasons", carried, meaning, table);
}

const plus = (value) => (value === null ? "—" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`);

function show(number) {
  const user = data.users[number];
  if (!user) return;
  chooser.value = String(number);
  const parts = element("div", "user-parts");
  parts.append(history(user), ...(user.active ? [active(user)] : []), recommended(user));
  find("shown").replaceChildren(parts);
}

const userInAddress = () => Number(/^#user-(\d+)$/.exec(location.hash)?.[1] ?? 0);
data.users.forEach((user, number) => {
  const option = chooser.appendChild(element("option", "", user.id));
  option.value = String(number);
});
chooser.addEventListener("change", () => { location.hash = `#user-${chooser.value}`; });
chooser.form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", () => show(userInAddress()));
show(userInAddress());
