// Facts of a latent in words, for its opened row in the dictionary and for its page. Needs dom.js.
const MATES = 24;
const mates = (row) => (data.groups[row.group] ?? []).filter((latent) => latent !== row.latent);

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
  if (!data.details?.items?.[row.latent]) {
    const list = element("ol");
    for (const number of row.top_items) {
      list.appendChild(element("li")).append(item(number), " ", element("code", "", data.titles.ids[number]));
    }
    fact("Top items", row.top_items.length ? list : "—");
  }
  fact("Terms", isolated(row.terms.join(", ") || "—"));
  if (row.tp !== null) {
    fact("Judged", `${counted(row.tp)} of ${counted(row.tp + row.fn)} active and ${counted(row.tn)} of ${counted(row.tn + row.fp)} non-activating cases right`);
  }
  if (row.confidence_expected !== null) fact("Expected on unseen cases", `confidence ${decimal(row.confidence_expected)}`);
  if (row.near_miss_rate !== null) fact("Hard negatives judged active, by attribute", percent(row.near_miss_rate));
  if (row.near_direction_rate !== null) fact("Hard negatives judged active, by direction", percent(row.near_direction_rate));
  if (row.attribute_confidence !== null) {
    fact("By attributes, on the same cases", `confidence ${decimal(row.attribute_confidence)}, ` +
      `shuffled ${decimal(row.attribute_confidence_shuffled)}, AUC ${decimal(row.attribute_auc)}`);
  }
  if (row.held_out_confidence !== null) {
    fact("By attributes, on all held-out cases", `confidence ${decimal(row.held_out_confidence)}, ` +
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
  const shown = latents.slice(0, MATES).flatMap((latent) => [link(conceptAddress(latent), String(latent)), " "]);
  return latents.length > MATES ? [...shown, `and ${counted(latents.length - MATES)} more`] : shown;
}
