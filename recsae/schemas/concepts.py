"""The tables from evidence to the dictionary, as Arrow schemas; conventions as in base.py."""

from __future__ import annotations

import pyarrow as pa

from recsae.schemas.base import required, table_schema

EVIDENCE = table_schema(
    "evidence",
    3,
    required("latent", pa.int32()),
    required("part", pa.string()),
    required("role", pa.string()),  # top, level, random, popularity, near_miss, near_direction
    required("rank", pa.int32()),  # order within the role
    required("case_id", pa.int64()),
    required("user_idx", pa.int32()),
    required("position", pa.int32()),
    required("item_idx", pa.int32()),
    pa.field("top_idx", pa.int32()),  # null where the activations were given without it
    required("activation", pa.float32()),
    required("level", pa.int8()),  # 0 inactive; 1 to 10 by deciles of its positive activations on explain users
)

LATENT_STATS = table_schema(
    "latent_stats",
    1,
    required("latent", pa.int32()),
    required("frequency", pa.float64()),  # share of explain cases in which it fires
    required("activations", pa.int64()),  # explain cases in which it fires
    required("maximum", pa.float32()),
    required("quantiles", pa.list_(pa.float32())),  # the nine inner deciles of its positive activations
    required("top_items", pa.list_(pa.int32())),  # of the explain evidence, by number of cases
    required("evidence_hash", pa.string()),
)

LATENT_ITEMS = table_schema(
    "latent_items",
    1,
    required("latent", pa.int32()),
    required("item_idx", pa.int32()),
    required("activations", pa.int64()),  # explain cases of the item in which the latent fires
    required("strength", pa.float64()),  # the sum of its activations there
    required("lift", pa.float64()),  # P(item | fires) / P(item), over explain cases
    pa.field("rank_activations", pa.int32()),  # from 0; null beyond the first ones by this measure
    pa.field("rank_strength", pa.int32()),
    pa.field("rank_lift", pa.int32()),
)

ITEM_LATENTS = table_schema(
    "item_latents",
    1,
    required("item_idx", pa.int32()),
    required("latent", pa.int32()),
    required("rank", pa.int32()),  # from 0, by strength
    required("activations", pa.int64()),
    required("strength", pa.float64()),
)

CODES = ("sae", "raw", "pca", "untrained")
"""What attributes are correlated with: the SAE's latents and, as controls, raw dimensions, PCA directions and an
untrained SAE."""

ATTRIBUTE_STATS = table_schema(
    "attribute_stats",
    1,
    required("code", pa.string()),  # of CODES
    required("view", pa.string()),  # whose item has the attribute: recommended, input
    required("latent", pa.int32()),
    required("attribute", pa.string()),
    required("value", pa.string()),
    required("rank", pa.int32()),  # from 0, among the attributes of the latent, by |correlation|
    required("cases", pa.int64()),  # score cases whose item has it
    pa.field("fires", pa.int64()),  # score cases in which the latent fires; null where every case has a value
    pa.field("both", pa.int64()),
    required("correlation", pa.float64()),  # Pearson
    pa.field("p_fires", pa.float64()),  # P(fires | attribute)
    pa.field("p_attribute", pa.float64()),  # P(attribute | fires)
    required("mean_activation", pa.float64()),  # over all cases whose item has it, non-activating ones included
    pa.field("auc", pa.float64()),  # of the activation, for the attribute; null for raw and pca
)

ATTRIBUTE_BEST = table_schema(
    "attribute_best",
    1,
    required("code", pa.string()),
    required("view", pa.string()),
    required("attribute", pa.string()),
    required("value", pa.string()),
    required("cases", pa.int64()),
    required("latent", pa.int32()),
    required("correlation", pa.float64()),  # the largest over latents; the largest |r| for raw and pca
    pa.field("null_mean", pa.float64()),  # of the largest, with attributes permuted across items
    pa.field("null_upper", pa.float64()),  # its 95th percentile
    pa.field("p_value", pa.float64()),  # share of permutations, the observed one among them, at least as large
)

COHERENCE = table_schema(
    "coherence",
    1,
    required("code", pa.string()),  # sae, raw, untrained
    required("latent", pa.int32()),
    pa.field("within", pa.float64()),  # mean cosine between the vectors of its strongest score cases
    pa.field("between", pa.float64()),  # and with those of other latents
    pa.field("within_centred", pa.float64()),  # the same after subtracting the mean activation
    pa.field("between_centred", pa.float64()),
)

LABELS = table_schema(
    "labels",
    2,
    required("latent", pa.int32()),
    required("candidate", pa.int32()),
    required("concept", pa.string()),
    pa.field("description", pa.string()),
    required("source", pa.string()),  # terms, pair, model
    required("terms", pa.list_(pa.string())),  # of the vocabulary; an item that has all of them is an instance
    required("view", pa.string()),
    required("prompt_version", pa.string()),
    required("model", pa.string()),
    pa.field("support", pa.int32()),  # different items of the evidence that have it
    pa.field("tfidf", pa.float64()),
    pa.field("lift", pa.float64()),  # its share of the evidence by its share of all events
    pa.field("pmi", pa.float64()),  # nats
    required("finalist", pa.bool_()),
    required("status", pa.string()),  # ok, or what went wrong with this row
)

CAPTIONS = table_schema(
    "captions",
    1,
    required("latent", pa.int32()),
    pa.field("caption", pa.string()),  # the sentence; null where the model gave none
    required("status", pa.string()),  # ok, or why it is not kept
    pa.field("auc_select", pa.float64()),  # of the language-model judge on select users
    pa.field("auc_words", pa.float64()),  # the same of the statement read out
    required("kept", pa.bool_()),
)

VERDICTS = table_schema(
    "verdicts",
    1,
    required("concept", pa.string()),
    required("item_idx", pa.int32()),
    required("judge", pa.string()),
    required("view", pa.string()),
    required("prompt_version", pa.string()),
    required("model", pa.string()),
    pa.field("value", pa.float64()),  # nats: a log-likelihood (pmi) or log-odds (yes_no)
    required("status", pa.string()),
)

SCORES = table_schema(
    "scores",
    2,
    required("latent", pa.int32()),
    required("candidate", pa.int32()),
    required("concept", pa.string()),
    required("part", pa.string()),  # select, score
    required("judge", pa.string()),  # llm, attributes, held_out (attributes over all cases), recsae (its protocol)
    required("control", pa.string()),  # none, shuffled
    required("tp", pa.int64()),
    required("fp", pa.int64()),
    required("tn", pa.int64()),
    required("fn", pa.int64()),
    pa.field("precision", pa.float64()),
    pa.field("recall", pa.float64()),
    pa.field("f1", pa.float64()),
    pa.field("auc", pa.float64()),
    pa.field("confidence", pa.float64()),  # balanced accuracy
    pa.field("lower", pa.float64()),  # of confidence: 95 %, resampling users
    pa.field("upper", pa.float64()),
    pa.field("expected", pa.float64()),  # confidence to expect on unseen cases: drawn towards the mean of all latents
    pa.field("centre", pa.float64()),  # the judge's threshold, fixed on select users
    pa.field("near_miss_rate", pa.float64()),  # hard negatives judged active; never in the headline
    pa.field("near_direction_rate", pa.float64()),
)

LEVELS = table_schema(
    "levels",
    1,
    required("latent", pa.int32()),
    required("concept", pa.string()),
    required("level", pa.int8()),  # 0 inactive; 1 to 10 by the deciles in latent_stats
    required("cases", pa.int64()),  # all score cases at that level
    required("hits", pa.int64()),  # those whose item has the concept's terms
    required("catalogue_share", pa.float64()),  # share of all items that have them
    required("popular_share", pa.float64()),  # the same, items weighted by their training events
)

NOT_ASKED = "not in the sample"
"""`judge_status` of a latent that was not labelled."""

INTERPRETABLE = ("formula", "item set", "item list", "behaviour", "free text")
KINDS = (*INTERPRETABLE, "effect only", "unexplained")
"""The classes of latents: every latent that fires is in exactly one. Those of INTERPRETABLE have a statement that the
judge accepts which can tell."""

CONCEPTS = table_schema(
    "concepts",
    5,
    required("latent", pa.int32()),
    required("stable_id", pa.string()),  # the same in every night, with `[nights]`
    required("kind", pa.string()),  # of KINDS
    required("interpretable", pa.bool_()),  # its statement is accepted by the judge that can tell
    pa.field("name", pa.string()),  # no two alike; null without a statement
    pa.field("statement", pa.string()),  # JSON; of an unexplained latent the best that was found
    pa.field("words", pa.string()),  # the statement read out
    pa.field("gloss", pa.string()),  # beside an item set or list: the best short formula of the same view, in words
    pa.field("caption", pa.string()),  # a sentence by the language model that holds on select users
    pa.field("description", pa.string()),  # of a free text
    required("terms", pa.list_(pa.string())),  # of a formula of terms joined by `and`: those that are not negated
    pa.field("statement_view", pa.string()),  # which item the statement is about: recommended, last, history, item
    required("view", pa.string()),  # which item of a case the evidence and the language model's judge are about
    pa.field("confidence", pa.float64()),  # of the statement, exactly: balanced accuracy on all cases of score users
    pa.field("confidence_lower", pa.float64()),  # 95 %, by the jackknife over groups of users
    pa.field("confidence_upper", pa.float64()),
    pa.field("confidence_shuffled", pa.float64()),  # of the statement before another latent
    pa.field("p_value", pa.float64()),  # of a confidence at or below the bar of the controls
    pa.field("precision", pa.float64()),
    pa.field("recall", pa.float64()),
    pa.field("f1", pa.float64()),
    pa.field("tp", pa.int64()),
    pa.field("fp", pa.int64()),
    pa.field("tn", pa.int64()),
    pa.field("fn", pa.int64()),
    pa.field("unseen_confidence", pa.float64()),  # on cases whose item was kept from the search
    pa.field("unseen_lower", pa.float64()),
    pa.field("unseen_upper", pa.float64()),
    pa.field("core_statement", pa.string()),  # JSON of the statement with the highest F1 on select users
    pa.field("core_words", pa.string()),
    pa.field("core_precision", pa.float64()),
    pa.field("core_recall", pa.float64()),
    pa.field("core_f1", pa.float64()),
    pa.field("term_confidence", pa.float64()),  # of the best single term, range or popularity, in any view
    pa.field("promotes", pa.string()),  # the items whose scores gain most where it fires, in words
    pa.field("promotes_statement", pa.string()),  # JSON
    pa.field("holds_down", pa.string()),
    pa.field("holds_down_statement", pa.string()),
    pa.field("effect_confidence", pa.float64()),  # balanced accuracy of `promotes` on items kept from the search
    pa.field("agrees", pa.bool_()),  # whether what it promotes satisfies its statement beyond chance
    required("status", pa.string()),  # ok, or why there is no statement or score
    pa.field("judge_name", pa.string()),  # what the language model judged, in the sample: a term, a pair or a free text
    pa.field("judge_source", pa.string()),  # terms, pair, model
    pa.field("judge_confidence", pa.float64()),  # balanced accuracy over judged cases
    pa.field("judge_lower", pa.float64()),
    pa.field("judge_upper", pa.float64()),
    pa.field("judge_expected", pa.float64()),  # on unseen cases: shrunk, as it is one of many
    pa.field("judge_shuffled", pa.float64()),
    pa.field("judge_precision", pa.float64()),
    pa.field("judge_recall", pa.float64()),
    pa.field("judge_f1", pa.float64()),
    pa.field("judge_auc", pa.float64()),
    pa.field("near_miss_rate", pa.float64()),
    pa.field("near_direction_rate", pa.float64()),
    required("judge_status", pa.string()),  # ok, NOT_ASKED, or why there is no verdict
    pa.field("attribute_confidence", pa.float64()),
    pa.field("attribute_confidence_shuffled", pa.float64()),
    pa.field("attribute_auc", pa.float64()),
    pa.field("held_out_confidence", pa.float64()),  # by attributes over all score cases
    pa.field("held_out_precision", pa.float64()),
    pa.field("held_out_recall", pa.float64()),
    pa.field("recsae_confidence", pa.float64()),  # by RecSAE's protocol, over five active and five non-activating cases
    pa.field("recsae_recall", pa.float64()),
    pa.field("recsae_true_negative_rate", pa.float64()),
    pa.field("group", pa.int32()),  # the first latent with the same heading; null without a name
    pa.field("group_name", pa.string()),  # the heading; of a group of one its name
    required("group_size", pa.int32()),
    pa.field("polysemantic", pa.bool_()),  # two terms share its evidence and hardly any item has both; in the sample
    required("meanings", pa.list_(pa.string())),  # those terms
    pa.field("coherence", pa.float64()),  # `within` of COHERENCE
    pa.field("causal", pa.float64()),  # change of the concept's share in the top 10 when the latent is steered up
    pa.field("causal_lower", pa.float64()),  # 95 %, resampling users
    pa.field("causal_upper", pa.float64()),
    pa.field("causal_null", pa.float64()),  # 95th percentile of that change by random directions of the same length
    pa.field("causal_probe", pa.float64()),  # by the concept's linear probe
    pa.field("causal_ablation", pa.float64()),  # change of the share when the latent is ablated
    pa.field("drift", pa.string()),  # what became of it since last night: kept, renamed, moved, new; null on the first
    required("frequency", pa.float64()),
    required("activations", pa.int64()),
    required("maximum", pa.float32()),
    required("top_items", pa.list_(pa.string())),  # titles
    required("top_item_ids", pa.list_(pa.string())),
    required("evidence_hash", pa.string()),
    required("model", pa.string()),
    required("prompt_version", pa.string()),
    required("fingerprints", pa.map_(pa.string(), pa.string())),  # of every stage behind the row
)
