// Charts of one latent: its concept by activation level, its activations, and the effect of steering it, each with its
// numbers. Needs dom.js.
const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [340, 170, 44, 12, 26];

const legendOf = (...keys) => {
  const legend = element("p", "legend");
  legend.append(...keys.map(([kind, text]) => element("span", `key ${kind}`, text)));
  return legend;
};

// Bars: the share of a level's cases whose item has the concept's terms. Lines: the share among all items.
function levelChart(latent, [catalogue, popular, cases, hits]) {
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
    tip(bar, `level ${level}: ${counted(hits[level])} of ${counted(cases[level])} cases`);
  });
  draw("line", "catalogue", { x1: LEFT, x2: WIDTH, y1: y(catalogue), y2: y(catalogue) });
  draw("line", "popular", { x1: LEFT, x2: WIDTH, y1: y(popular), y2: y(popular) });
  const legend = legendOf(
    ["concept", "of the level’s cases"],
    ["catalogue", `of all items: ${percent(catalogue)}`],
    ["popular", `weighted by popularity: ${percent(popular)}`],
  );
  return [svg, legend, numbersOf(`latent-${latent}-levels`, ["level", "cases", "have the terms"], cases.map((count, level) => [level, count, hits[level]]))];
}

// Density of activations, with cases whose item has the concept below and the others stacked above. Levels are deciles:
// each bar is as wide as its range of activations and as high as the density of its cases.
function spreadChart(latent, edges, [, , cases, hits]) {
  const widths = edges.slice(1).map((edge, level) => Math.max(edge - edges[level], 0));
  const densities = widths.map((width, level) => (width > 0 ? [hits[level + 1] / width, cases[level + 1] / width] : [0, 0]));
  const [most, furthest] = [Math.max(...densities.map(([, all]) => all), 1e-9), edges.at(-1) || 1];
  const x = (activation) => LEFT + (WIDTH - LEFT - 8) * (activation / furthest);
  const y = (density) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - density / most);
  const [svg, draw] = picture("level-chart", WIDTH, HEIGHT);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Activations of score cases up to ${decimal(furthest)}, split by whether the item has the concept; ${counted(cases[0])} cases without activation`);
  draw("line", "grid", { x1: LEFT, x2: WIDTH, y1: y(0), y2: y(0) });
  densities.forEach(([with_, all], level) => {
    const [left, width] = [x(edges[level]), Math.max(x(edges[level + 1]) - x(edges[level]) - 1, 0.5)];
    const other = draw("rect", "other", { x: left, y: y(all), width, height: y(with_) - y(all) });
    draw("rect", "concept", { x: left, y: y(with_), width, height: y(0) - y(with_) });
    tip(other, `${decimal(edges[level])} to ${decimal(edges[level + 1])}: ${counted(hits[level + 1])} of ${counted(cases[level + 1])} cases have the concept`);
  });
  for (const at of [0, furthest / 2, furthest]) draw("text", "", { x: x(at), y: HEIGHT - 10, "text-anchor": at === furthest ? "end" : "middle" }, decimal(at));
  const legend = legendOf(["concept", "item has the concept"], ["other", "item does not"]);
  const zero = element("p", "meaning", `Does not fire in ${counted(cases[0])} score cases, of which ${percent(cases[0] ? hits[0] / cases[0] : null)} have the concept.`);
  const rows = cases.map((count, level) => [level ? edges[level - 1] : "silent", level ? edges[level] : "silent", count, hits[level]]);
  return [svg, legend, zero, numbersOf(`latent-${latent}-activations`, ["from", "to", "cases", "have the terms"], rows)];
}

// The concept's share of the top 10 by steering strength, with its interval, beside random directions and the probe.
function steeringChart(latent, steps) {
  const known = steps.flatMap(([, share, low, high, , nullLow, nullHigh, probe]) => [share, low, high, nullLow, nullHigh, probe]).filter((share) => share !== null);
  const ceiling = Math.min(1, Math.max(0.05, Math.ceil(20 * Math.max(...known)) / 20));
  const [first, last] = [steps[0][0], steps.at(-1)[0]];
  const x = (strength) => LEFT + 8 + (WIDTH - LEFT - 24) * ((strength - first) / (last - first || 1));
  const y = (share) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - Math.min(Math.max(share, 0), ceiling) / ceiling);
  const path = (points) => points.filter(([, share]) => share !== null).map(([at, share], i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(share).toFixed(1)}`).join(" ");
  const [svg, draw] = picture("level-chart turning-chart", WIDTH, HEIGHT);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Share of the concept in the top 10 by strength: ${steps.map(([at, share]) => `${at}: ${percent(share)}`).join(", ")}`);
  for (const share of [0, ceiling / 2, ceiling]) {
    draw("line", "grid", { x1: LEFT, x2: WIDTH, y1: y(share), y2: y(share) });
    draw("text", "", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share));
  }
  const band = [...steps.map((step) => [step[0], step[6]]), ...steps.map((step) => [step[0], step[5]]).reverse()];
  draw("path", "chance", { d: `${path(band)} Z` });
  draw("path", "chance-mean", { d: path(steps.map((step) => [step[0], step[4]])) });
  draw("path", "probe", { d: path(steps.map((step) => [step[0], step[7]])) });
  draw("path", "line", { d: path(steps.map((step) => [step[0], step[1]])) });
  let labelled = -WIDTH;
  for (const [at, share, low, high, , , , , ndcg] of steps) {
    draw("line", "line", { x1: x(at), x2: x(at), y1: y(low), y2: y(high) });
    const dot = draw("circle", "dot", { cx: x(at), cy: y(share), r: 3.5 });
    tip(dot, `strength ${at}: share ${percent(share)}, NDCG@10 ${ndcg === null ? "—" : `${signed(ndcg)} %`}`);
    if (x(at) - labelled < 32 && at !== last) continue; // avoid overlapping labels
    labelled = x(at);
    draw("text", "", { x: x(at), y: HEIGHT - 10, "text-anchor": "middle" }, String(at));
  }
  const legend = legendOf(["line", "this latent"], ["probe", "the concept’s linear probe"], ["chance", "nine in ten random directions"]);
  const columns = ["strength", "share", "lower", "upper", "random mean", "random 5 %", "random 95 %", "probe", "change of NDCG@10"];
  return [svg, legend, numbersOf(`latent-${latent}-turned`, columns, steps)];
}
