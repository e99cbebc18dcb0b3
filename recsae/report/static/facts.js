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
  if (row.words !== null && !data.details) fact(row.interpretable ? "Statement" : "The best statement found, below the bar", isolated(row.words));
  if (row.polysemantic) fact("Two meanings", ...row.meanings.flatMap((one, i) => (i ? [" · ", isolated(one)] : [isolated(one)])));
  if (others.length) fact(`${counted(others.length)} more latent${others.length > 1 ? "s" : ""} under “${row.group_name}”`, ...mateLinks(others));
  if (!data.details?.items?.[row.latent]) {
    const list = element("ol");
    for (const number of row.top_items) {
      list.appendChild(element("li")).append(item(number), " ", element("code", "", data.titles.ids[number]));
    }
    fact("Top items", row.top_items.length ? list : "—");
  }
  if (row.gloss !== null) fact("In a short formula", isolated(row.gloss));
  if (row.core_words !== null && row.core_words !== row.words) {
    fact("Narrow reading, with the highest F1", isolated(row.core_words),
      `: precision ${decimal(row.core_precision)}, recall ${decimal(row.core_recall)}, F1 ${decimal(row.core_f1)}`);
  }
  if (!data.details) {
    if (row.promotes !== null) {
      fact("Promotes", isolated(row.promotes), row.agrees === null ? "" : row.agrees ? " (agrees with the statement)" : " (not what the statement says)");
      if (row.holds_down !== null) fact("Holds down", isolated(row.holds_down));
    }
    if (row.unseen_confidence !== null) fact("On unseen items", `confidence ${decimal(row.unseen_confidence)} (${between(row.unseen_lower, row.unseen_upper, decimal) || "no interval"})`);
    if (row.confidence_shuffled !== null) fact("Shuffled: before another latent", `confidence ${decimal(row.confidence_shuffled)}${data.bar === null ? "" : `; the bar of all controls is ${decimal(data.bar)}`}`);
    if (row.term_confidence !== null) fact("The best single term", `confidence ${decimal(row.term_confidence)}`);
  }
  if (row.tp !== null) {
    fact("On all score cases", `satisfied by ${counted(row.tp)} of ${counted(row.tp + row.fn)} cases in which it fires, and by ${counted(row.fp)} of ${counted(row.tn + row.fp)} in which it does not`);
  }
  if (row.judge_confidence !== null) {
    fact("The language model judged", isolated(row.judge_name), `: confidence ${decimal(row.judge_confidence)}, ` +
      `shuffled ${decimal(row.judge_shuffled)}, AUC ${decimal(row.judge_auc)}`);
  }
  if (row.judge_expected !== null) fact("Expected of the language model on unseen cases", `confidence ${decimal(row.judge_expected)}`);
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
  if (row.status !== "ok") fact("Status", isolated(row.status));
  return facts;
}

function mateLinks(latents) {
  const shown = latents.slice(0, MATES).flatMap((latent) => [link(conceptAddress(latent), String(latent)), " "]);
  return latents.length > MATES ? [...shown, `and ${counted(latents.length - MATES)} more`] : shown;
}
