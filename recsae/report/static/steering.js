// The effect of steering a latent: the share of its concept in the top 10 and NDCG@10, steered up and ablated, beside
// chance and the concept's linear probe. latents.py documents the data. Needs dom.js.
const signed = (value, digits = 1) => (value === null ? "—" : `${Number((100 * value).toFixed(digits)) === 0 ? "±" : value > 0 ? "+" : "−"}${Math.abs(100 * value).toFixed(digits)}`);

function steeringTable([clean, up, out, probe], row) {
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
  const effect = (label, one) => line(label, percent(one[0]), change(one[3]), between(one[1], one[2], percent), between(one[4], one[5], change));
  line("Unchanged model", percent(clean), "");
  if (up) {
    effect(`Steered up by ${data.details.reference}`, up);
    line("Random directions, 95th percentile", percent(up[6]), `mean ${change(up[7])}`);
  }
  if (probe) line("Linear probe of the concept, same length", percent(probe[0]), change(probe[1]));
  if (out) {
    effect("Ablated", out);
    line("Random directions, 5th percentile", percent(out[6]), `mean ${change(out[7])}`);
  }
  const meaning = element("p", "meaning");
  meaning.append("Share: of the places in the top 10, those of items with ", ...row.terms.flatMap((term, i) => (i ? [" and ", isolated(term)] : [isolated(term)])),
    ". NDCG@10: relative change in how well the list predicts what score users did next.");
  return [meaning, table, ...sides([["steered up", up], ["ablated", out]])];
}

// The other concept whose share changes most, in percentage points.
function sides(ways) {
  const known = ways.filter(([, one]) => one && one[8] !== null);
  if (!known.length) return [];
  const text = element("p", "meaning", "The other concept whose share changes most: ");
  known.forEach(([label, one], i) => text.append(i ? `; ${label} ` : `${label} `, isolated(data.details.sides[one[8]]), ` ${signed(one[9], 2)} points`));
  text.append(".");
  return [text];
}
