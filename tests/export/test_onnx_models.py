"""Which kinds have a graph, and that every setting of a recipe's model section is known to it."""

from __future__ import annotations

from dpdrun import models
from dpdrun.export.onnx_models import KINDS
from dpdrun.recipe.schema import GMPModel, GRUModel, TransformerModel

# A new setting must be taught to onnx_models and to numpy_reference; then it is listed here.
KNOWN = {
    TransformerModel: "kind d_model layers heads window conv ff_mult embedding features positions activation skip "
    "lookahead residual_init dropout norm attention_bias",
    GRUModel: "kind hidden layers features skip",
    GMPModel: "kind order delays cross constant conjugate",
}


def test_every_kind_has_a_graph() -> None:
    assert sorted(KINDS) == models.kinds()


def test_every_model_setting_is_known_to_the_export() -> None:
    for section, names in KNOWN.items():
        assert set(section.model_fields) == set(names.split()), section
