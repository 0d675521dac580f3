"""Operations per sample of our Transformers, counted by the rules of the Arena.

The Arena counts multiplications and additions for the kinds that it knows, and attention is none of them. Its own
ledger and prices are used here: a dot product of n terms is n multiplications and n - 1 additions, and each value of a
nonlinear function is a table of slopes and intercepts, one multiplication and one addition; it has no entry for the
exponential of a softmax, which is priced like its other functions of one variable. A stream keeps the keys and values
of a window, so each is computed once.
"""

from __future__ import annotations

from opendpd.core.arena_ops import Ledger, _envelope

from dpdrun.recipe.schema import TransformerModel


def ledger_of(config: TransformerModel) -> Ledger:
    """Return the itemised operations of a Transformer of benchmarks/arena: a window, no norms, a bilinear MLP.

    Raises:
        ValueError: the Transformer has other parts.
    """
    if config.norm != "off" or config.activation != "bilinear" or not isinstance(config.window, int):
        raise ValueError("operations are counted for windows, without norms, with a bilinear MLP")
    D, H, W = config.d_model, config.heads, config.window
    wide = max(1, round(config.ff_mult * D))
    inputs = 4 if config.features == "envelope" else 2
    ledger = _envelope(Ledger(), cube=True) if inputs == 4 else Ledger()
    ledger.put("scales of features and output", mul=inputs + 2)
    ledger.dense("embedding", inputs, D)
    ledger.put("convolution", mul=config.conv * D, add=config.conv * D)  # each tap is added to the embedding
    for _ in range(config.layers):
        ledger.put("query, key, value", mul=3 * D * D, add=3 * D * (D - 1) + D)
        ledger.put("scale of the query", mul=D)
        ledger.put("scores and their relative bias", mul=W * D, add=W * (D - H) + W * H)
        ledger.put("largest score and the distance to it", add=H * (W - 1) + H * W)
        ledger.put("exponentials", mul=H * W, add=H * W)
        ledger.put("their sum", add=H * (W - 1), reciprocal=H)
        ledger.put("weighted sum of values", mul=W * D + D, add=(W - 1) * D)
        ledger.dense("output of the attention", D, D).put("residual", add=D)
        ledger.dense("MLP in", D, 2 * wide).put("product", mul=wide)
        ledger.dense("MLP out", wide, D).put("residual", add=D)
    ledger.dense("head", D, 2)
    if config.skip == "on":
        ledger.dense("linear path", inputs, 2, bias=False).put("sum of both paths", add=2)
    return ledger
