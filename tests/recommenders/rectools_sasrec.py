"""RecTools' SASRec as a torch module from plain numbers: (B, L) tokens in, (B, L, n_items + 1) logits out.

Tokens are 1 … n_items, 0 is padding and goes on the left; fill up to `max_length` as RecTools does, for a row's scores
depend on how much padding it has. Column 0 of the logits is the padding. The names of the weights are RecTools' own:
`load_state_dict(model.lightning_model.torch_model.state_dict())` fits.
"""

from __future__ import annotations

from rectools.models.nn.item_net import IdEmbeddingsItemNet, SumOfEmbeddingsConstructor
from rectools.models.nn.transformers.net_blocks import LearnableInversePositionalEncoding
from rectools.models.nn.transformers.sasrec import SASRecTransformerLayers
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from rectools.models.nn.transformers.torch_backbone import TransformerTorchBackbone
from torch import Tensor


class SASRec(TransformerTorchBackbone):
    """RecTools' backbone, called with the tokens themselves in place of a dictionary."""

    def forward(self, items_BL: Tensor) -> Tensor:
        logits_BLN: Tensor = super().forward({"x": items_BL})
        return logits_BLN


def build(n_items: int, width: int, blocks: int, heads: int, max_length: int, dropout: float = 0.2) -> SASRec:
    return SASRec(
        n_heads=heads,
        dropout_rate=dropout,
        item_model=SumOfEmbeddingsConstructor(n_items + 1, [IdEmbeddingsItemNet(width, n_items + 1, dropout)]),
        pos_encoding_layer=LearnableInversePositionalEncoding(True, max_length, width),
        transformer_layers=SASRecTransformerLayers(blocks, width, heads, dropout),
        similarity_module=DistanceSimilarityModule(),
        use_causal_attn=True,
        use_key_padding_mask=False,
    )
