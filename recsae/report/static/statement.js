// What a latent's statement says on its concept page, and how well it holds beside its controls. Needs dom.js.
const READ_AS = { recommended: "of the item recommended", last: "of the last item", history: "of the history", item: "of the item" };

function statementParts(row) {
  const text = element("p", "said");
  text.append(...(row.words === null ? ["No statement was found."] : [isolated(row.words)]));
  const parts = [text];
  if (!row.interpretable && row.words !== null) {
    parts.push(element("p", "caution", "Below the bar: this is the best statement that was found, and it does not tell the latent’s cases well enough to be believed."));
  }
  const description = row.caption ?? row.description;
  if (description !== null) {
    const made = element("p", "description");
    made.append("In the language model’s words: ", isolated(description));
    parts.push(made);
  }
  if (row.promotes !== null) parts.push(effectText(row));
  const tried = data.details.tried?.[row.latent];
  if (tried) parts.push(element("p", "description", triedText(tried)));
  if (row.confidence !== null) parts.push(scores(row));
  return parts;
}

// What the latent does to scores, beside the cases in which it fires.
function effectText({ promotes, holds_down: holdsDown, effect_confidence: confidence, agrees }) {
  const made = element("p", "description");
  made.append("Promotes ", isolated(promotes), `${confidence === null ? "" : ` (confidence ${decimal(confidence)} on items kept from the search)`}`);
  if (holdsDown !== null) made.append("; holds down ", isolated(holdsDown));
  made.append(agrees === null ? "." : agrees ? ". This agrees with the statement." : ". This is not what the statement says.");
  return made;
}

const TRIED = {
  agrees: "In synthetic histories in which only this feature differs, the latent does as the statement says",
  contradicts: "In synthetic histories in which only this feature differs, the latent does the opposite",
  unclear: "In synthetic histories in which only this feature differs, no difference can be told",
  untested: "This feature cannot be changed alone in a synthetic history",
};
const triedText = ([answer, change]) => `${TRIED[answer] ?? answer}${change === null ? "" : `: it fires in ${signed(change)} points of them when the feature lies in the range`}.`;

function scores(row) {
  const table = element("table", "figures wide scores");
  const columns = ["Confidence", "Precision", "Recall", "F1"];
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  for (const name of ["", ...columns]) head.appendChild(element("th", "", name)).scope = "col";
  const body = table.appendChild(element("tbody"));
  const line = (label, confidence, interval = "", figures = []) => {
    const made = body.appendChild(element("tr"));
    made.appendChild(element("th", "", label)).scope = "row";
    columns.forEach((name, i) => {
      const value = [confidence, ...figures][i];
      if (value === undefined) {
        made.append(element("td", "none"));
        return;
      }
      const cell = made.appendChild(element("td", "", decimal(value)));
      cell.dataset.label = name;
      if (i === 0 && interval) cell.append(element("span", "interval", interval));
    });
  };
  line("The statement, on all score cases", row.confidence, bounds(row), [row.precision, row.recall, row.f1]);
  if (row.unseen_confidence !== null) line("On items kept from the search", row.unseen_confidence, between(row.unseen_lower, row.unseen_upper, decimal) || "no interval");
  if (row.confidence_shuffled !== null) line("Shuffled: before another latent", row.confidence_shuffled);
  if (data.bar !== null) line("The bar: 95th percentile of all controls", data.bar);
  if (row.term_confidence !== null) line("The best single term", row.term_confidence);
  if (row.judge_confidence !== null) line("By the language model’s judge, a sample", row.judge_confidence, between(row.judge_lower, row.judge_upper, decimal));
  return table;
}

// Recall at each level of activation (a tenth of the cases in which the latent fires), and the share of non-activating cases that satisfy the statement.
function recallChart(latent, [from, others, shares]) {
  const step = (WIDTH - LEFT) / shares.length;
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
  const [svg, draw] = picture("level-chart", WIDTH, HEIGHT);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Share of cases that satisfy the statement, by level of activation: ${shares.map((share, i) => `${i + 1}: ${percent(share)}`).join(", ")}; where it does not fire: ${percent(others)}`);
  for (const share of [0, 0.5, 1]) {
    draw("line", "grid", { x1: LEFT, x2: WIDTH, y1: y(share), y2: y(share) });
    draw("text", "", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share}\u00a0%`);
  }
  shares.forEach((share, i) => {
    const x = LEFT + step * i;
    draw("text", "", { x: x + step / 2, y: HEIGHT - 10, "text-anchor": "middle" }, String(i + 1));
    const bar = draw("rect", from !== null && i + 1 >= from ? "concept" : "concept silent", { x: x + 2, y: y(share), width: step - 4, height: y(0) - y(share) });
    tip(bar, `level ${i + 1}: ${percent(share)}`);
  });
  if (others !== null) draw("line", "catalogue", { x1: LEFT, x2: WIDTH, y1: y(others), y2: y(others) });
  const legend = legendOf(["concept", "satisfy it"], ["catalogue", `where it does not fire: ${percent(others)}`]);
  const holds = from === null ? "Fewer than 80 % of the cases satisfy the statement, even at the highest level." : `At least 80 % of the cases satisfy the statement ${from === 1 ? "at every level" : from === shares.length ? "at the highest level only" : `from level ${from} on`}.`;
  return [svg, legend, element("p", "meaning", holds), numbersOf(`latent-${latent}-recall`, ["level", "satisfy the statement"], shares.map((share, i) => [i + 1, share]))];
}

// The best statement of each kind and view: what else was tried.
function rivalTable(rivals) {
  const table = element("table", "figures rivals");
  const head = table.appendChild(element("thead")).appendChild(element("tr"));
  for (const column of ["Statement", "Confidence", "F1"]) head.appendChild(element("th", "", column)).scope = "col";
  const body = table.appendChild(element("tbody"));
  for (const [kind, view, text, confidence, low, high, f1, passes] of rivals) {
    const line = body.appendChild(element("tr", passes ? "" : "unproven"));
    const name = line.appendChild(element("th"));
    name.scope = "row";
    name.append(isolated(text), element("span", "interval", `${kind}${kind === "behaviour" ? "" : `, ${READ_AS[view] ?? view}`}${passes ? "" : ", below the bar"}`));
    const cell = line.appendChild(element("td", "", decimal(confidence)));
    cell.append(element("span", "interval", between(low, high, decimal)));
    line.append(element("td", "", decimal(f1)));
  }
  return table;
}
