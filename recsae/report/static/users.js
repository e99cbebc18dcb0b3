// One user at a time, by choice or by the address (#user-3). What there is says users.py. It needs dom.js.
const chooser = find("user");

function part(heading, ...content) {
  const made = element("section");
  made.append(element("h2", "", heading), ...content);
  return made;
}

function history(user) {
  const list = element("ol");
  for (const number of user.history) list.appendChild(element("li")).append(item(number));
  const count = element("p", "meaning", user.history.length < user.events ? `the latest ${user.history.length} of ${counted(user.events)} events, the last one last` : "the last one last");
  return part("What he or she did", count, list);
}

function active(user) {
  const list = element("ol");
  for (const [latent, activation] of user.active) list.appendChild(element("li")).append(latentLink(latent), " ", element("span", "amount", decimal(activation)));
  return part("Active latents", element("p", "meaning", "and their activations, as in the dictionary"), list);
}

function recommended(user) {
  const table = element("table", "figures sums");
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  const columns = ["Item", "Score", "Beyond the average item", "of which by these latents", "by others", "by bias and error"];
  for (const column of columns) head.appendChild(element("th", "", column)).scope = "col";
  const body = table.appendChild(element("tbody"));
  for (const [number, score, average, listed, others, left] of user.items) {
    const line = body.appendChild(element("tr"));
    const name = line.appendChild(element("th"));
    name.scope = "row";
    name.append(item(number));
    line.append(element("td", "", decimal(score)), element("td", "", plus(score - average)));
    const parts = line.appendChild(element("td", "word")).appendChild(element("ul"));
    for (let place = 0; place < listed.length; place += 3) {
      const one = parts.appendChild(element("li"));
      one.append(latentLink(listed[place]), " ", element("span", "amount", plus(listed[place + 2])));
    }
    line.append(element("td", "", plus(others)), element("td", "", plus(left)));
    [...line.children].forEach((cell, i) => { cell.dataset.label = columns[i]; });
  }
  const meaning = element("p", "meaning", "A score tells items apart by what it has beyond that of the average item; that is the sum of what the latents, the bias and the SAE’s error give it beyond what they give the average item.");
  return part("What is recommended, and why", meaning, table);
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

const asked = () => Number(/^#user-(\d+)$/.exec(location.hash)?.[1] ?? 0);
data.users.forEach((user, number) => {
  const option = chooser.appendChild(element("option", "", user.id));
  option.value = String(number);
});
chooser.addEventListener("change", () => { location.hash = `#user-${chooser.value}`; });
chooser.form.addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", () => show(asked()));
show(asked());
