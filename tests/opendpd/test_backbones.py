"""The model for each backbone."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from dpdrun.errors import RecipeError
from dpdrun.opendpd.arguments import VERSIONS, parse
from dpdrun.opendpd.backbones import RecipeLines, model_of
from dpdrun.recipe.schema import ModelSection

BACKBONES = sorted({name for version in VERSIONS for name in version.backbones})


def model(*words: str) -> tuple[dict[str, object], RecipeLines]:
    section = model_of(parse(words, "here"), "here")
    return {key: value for key, value, _ in section.lines}, section


def test_each_is_a_model_or_is_refused() -> None:
    made, refused = [], []
    for backbone in BACKBONES:
        try:
            values, _ = model("--PA_backbone", backbone)
        except RecipeError:
            refused.append(backbone)
        else:
            made.append(TypeAdapter(ModelSection).validate_python(values).kind)
    assert set(made) == {"transformer", "gru", "gmp"}
    assert {"tcn", "rvtdcnn", "pgjanet", "mcldnn", "mamba", "lstm", "user_template"} <= set(refused)
    assert not {"gru", "dgru", "tres_gru", "gmp", "transformer_encoder", "transformer"} & set(refused)


def test_a_refusal_names_what_there_is() -> None:
    with pytest.raises(RecipeError) as caught:
        model("--PA_backbone", "tcn")
    assert "here: --PA_backbone tcn has no counterpart: dpdrun has transformer, gru and gmp" in str(caught.value)
    assert "can be translated: gru, dgru" in str(caught.value)


def test_an_exact_gru_says_nothing_and_a_near_one_does() -> None:
    assert model("--PA_backbone", "gru", "--PA_hidden_size", "9")[1].remarks == []
    values, near = model("--PA_backbone", "dgru", "--PA_num_layers", "2")
    assert values == {"kind": "gru", "hidden": 27, "layers": 2, "features": "envelope", "skip": "on"}
    assert "the closest model of dpdrun" in near.remarks[0]


def test_the_encoder_of_the_case_study() -> None:
    values, section = model(
        *("--PA_backbone", "transformer_encoder", "--d_model", "64", "--n_heads", "2", "--d_ff", "256"),
        *("--dropout_ff", "0.1", "--dropout_attn", "0.2", "--PA_hidden_size", "23"),
    )
    assert values == {
        **{"kind": "transformer", "layers": 1, "d_model": 64, "heads": 2, "ff_mult": 4.0, "activation": "relu"},
        **{"window": "full", "positions": "sinusoidal", "features": "iq", "embedding": "layernorm_mlp", "conv": 0},
        **{"skip": "off", "dropout": 0.1, "residual_init": "xavier"},
    }
    assert "--dropout_attn 0.2 cannot differ here" in {key: said for key, _, said in section.lines}["dropout"]
    assert "--PA_hidden_size" in section.remarks[0]


def test_the_later_transformer() -> None:
    values, section = model(
        *("--PA_backbone", "transformer", "--PA_hidden_size", "6", "--local_attn_window", "8"),
        *("--output_residual_concat", "1", "--use_gmp_stem", "1"),
    )
    assert (values["d_model"], values["ff_mult"], values["window"], values["positions"], values["skip"]) == (
        *(6, 3.0, 5),
        *("none", "on"),
    )
    assert len(section.remarks) == 2
