// Items with their strongest latents: a search over titles and ids. items.py documents the data. Needs dom.js, and
// `latentName` of page.js.
const ITEMS_SHOWN = 6;
const folded = new Map();

function matching(query) {
  const wanted = words(query);
  return data.items.latents.filter(([number]) => {
    if (!folded.has(number)) folded.set(number, fold(`${title(number)}\n${data.titles.ids[number]}`));
    return wanted.every((word) => folded.get(number).includes(word));
  });
}

function showItems(found) {
  const shown = found.slice(0, ITEMS_SHOWN);
  find("item-range").textContent = found.length > shown.length ? `${shown.length} of ${counted(found.length)}` : shown.length ? "" : "No item matches.";
  find("item-list").replaceChildren(...shown.map(itemCard));
}

function itemCard([number, ...latents]) {
  const card = element("article");
  const heading = card.appendChild(element("h3"));
  heading.append(isolated(title(number)), " ", element("code", "", data.titles.ids[number]));
  const list = card.appendChild(element("ol"));
  for (let place = 0; place < latents.length; place += 3) {
    const [latent, activations, strength] = latents.slice(place, place + 3);
    const line = list.appendChild(element("li"));
    line.append(link(conceptAddress(latent), latentName(latent)), " ", element("span", "amount", `${figure(strength)} in ${counted(activations)} case${activations === 1 ? "" : "s"}`));
  }
  return card;
}

function showItem(number) {
  if (!viewed.has(number)) return;
  find("item-query").value = title(number);
  showItems([viewed.get(number)]);
  find("items").scrollIntoView();
}

if (data.items.latents) {
  find("item-query").addEventListener("input", (event) => showItems(matching(event.target.value)));
  find("item-query").form.addEventListener("submit", (event) => event.preventDefault());
}
