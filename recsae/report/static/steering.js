// What an opened row shows of its latent when it was turned: the share of its concept in the top 10 and NDCG@10, turned
// up and taken out, beside chance and the concept's linear probe. What there is of it says latents.py. It needs
// dom.js.
const signed = (value, digits = 1) => (value === null ? "—" : `${Number((100 * value).toFixed(digits)) === 0 ? "±" : value > 0 ? "+" : "−"}${Math.abs(100 * value).toFixed(digits)}`);

function turnedTable([clean, up, out, probe], row) {
  const table = element("table", "figures");
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  for (const column of ["", "Share", "NDCG@10"]) head.appendChild(element("th", "", column)).scope = "col";
  const body = table.appendChild(element("tbody"));
  const change = (value) => (value === null ? "—" : `${signed(value)}\u00a0%`);
  const line = (label, share, ndcg, shareBetween = "", ndcgBetween = "") => {
    const made = body.appendChild(element("tr"));
    made.appendChild(element("th", "", label)).scope = "row";
    for (const [value, ends] of [[share, shareBetween], [ndcg, ndcgBetween]]) {
      const cell = made.appendChild(element("td", "", value));
      if (ends) cell.append(element("span", "interval", ends));
    }
  };
  const turned = (label, one) => line(label, percent(one[0]), change(one[3]), between(one[1], one[2], percent), between(one[4], one[5], change));
  line("The model as it is", percent(clean), "");
  if (up) {
    turned(`Turned up by ${data.details.reference}`, up);
    line("95 of 100 random directions stay below", percent(up[6]), `mean ${change(up[7])}`);
  }
  if (probe) line("By the concept’s linear probe, as far", percent(probe[0]), change(probe[1]));
  if (out) {
    turned("Taken out", out);
    line("95 of 100 random directions stay above", percent(out[6]), `mean ${change(out[7])}`);
  }
  const bears = element("p", "meaning");
  bears.append("Share: of the places in the top 10, those of items that bear ", ...row.terms.flatMap((term, i) => (i ? [" and ", isolated(term)] : [isolated(term)])),
    ". NDCG@10: how much worse or better the list hits what score users did next.");
  return [bears, table, ...sides([["turned up", up], ["taken out", out]])];
}

// The other concept that moves most, in points of its share.
function sides(ways) {
  const known = ways.filter(([, one]) => one && one[8] !== null);
  if (!known.length) return [];
  const told = element("p", "meaning", "The other concept that moves most: ");
  known.forEach(([label, one], i) => told.append(i ? `; ${label} ` : `${label} `, isolated(data.details.sides[one[8]]), ` ${signed(one[9], 2)} points`));
  told.append(".");
  return [told];
}
