"""Parse a command line of OpenDPD's main.py by the flags and defaults of the version that it is for.

Sources: arguments.py of the release 2.4.2 (its wheel on PyPI) and of the fork github.com/minosoc/OpenDPD, which has
Transformers, at 624ad7b (the founding note's code; unchanged up to 637ed74) and at 949f757 (its later line of work).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from dpdrun.errors import RecipeError
from dpdrun.recipe.problems import closest

_SWITCH = "switch"  # a flag without a value

_COMMON: dict[str, Any] = {
    **{"dataset_name": None, "dataset_path": None, "filename": "", "log_precision": 8},
    **{"step": "run_dpd", "eval_val": 1, "eval_test": 1, "accelerator": "cuda", "devices": 0, "re_level": "soft"},
    **{"use_segments": _SWITCH, "frame_length": 200, "frame_stride": 1, "seed": 0, "loss_type": "l2"},
    **{"opt_type": "adamw", "grad_clip_val": 200.0, "PA_num_layers": 1, "DPD_hidden_size": 15, "DPD_num_layers": 1},
    **{"quant": _SWITCH, "n_bits_w": 8, "n_bits_a": 8, "pretrained_model": "", "quant_dir_label": ""},
    **{"thx": 0.0, "thh": 0.0, "num_dvr_units": 3, "window_size": 4},
}
_PLOTS: dict[str, Any] = {"plot": _SWITCH, "plot_every": 10, "gif_duration": 10.0}
_ADAPTED: dict[str, Any] = {  # common to both lines of the fork
    **{"batch_size": 256, "batch_size_eval": 256, "lr_schedule": 0, "lr": 5e-4, "lr_end": 1e-4, "decay_factor": 0.1},
    **{"PA_hidden_size": 23, "q_pretrain": ""},
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "accelerator": ("cpu", "cuda", "mps"),
    "re_level": ("soft", "hard"),
    "loss_type": ("l1", "l2"),
    "opt_type": ("sgd", "adam", "adamw", "adabound", "rmsprop"),
}


@dataclass(frozen=True)
class OpenDPDVersion:
    """One version of OpenDPD.

    Attributes:
        name: for comments and messages.
        defaults: flag (without its dashes) -> default; "switch" marks a flag without a value.
        backbones: what `--PA_backbone` takes.
        fork: whether it is the fork, whose warmup was stepped once an epoch.
    """

    name: str
    defaults: Mapping[str, Any]
    backbones: frozenset[str]
    fork: bool = False


RELEASE = OpenDPDVersion(
    "OpenDPD 2.4.2",
    {
        **_COMMON,
        **_PLOTS,
        **{"batch_size": 16, "batch_size_eval": 16, "metric_profile": "legacy-opendpd-v1", "n_epochs": 150},
        **{"lr_schedule": 1, "lr": 5e-3, "lr_end": 5e-5, "decay_factor": 0.5, "patience": 5},
        **{"cuda_graph_training": _SWITCH, "K": 5, "gmp_memory_length": 11, "q_pretrain": _SWITCH},
        **{"PA_user_definition": None, "DPD_user_definition": None, "collect_delta_stats": _SWITCH},
        **{"PA_backbone": "tres_gru", "PA_hidden_size": 27, "DPD_backbone": "tres_gru"},
    },
    frozenset(
        {
            *("gru", "tres_gru", "tres_deltagru", "gmp", "lstm", "vdlstm", "dgru", "tcn", "rvtdcnn", "pgjanet"),
            *("dvrjanet", "deltagru", "deltajanet", "qgru", "qgru_amp1", "bojanet", "apnrru", "mcldnn"),
            "user_template",
        }
    ),
)
_OLD_BACKBONES = frozenset(
    {
        *("gmp", "deltagru", "deltajanet", "janet", "fcn", "gru", "dgru", "qgru", "qgru_amp1", "lstm", "vdlstm"),
        *("rvtdcnn", "mamba", "tcn", "pntdnn", "pdgru", "pgjanet", "dvrjanet", "bojanet", "pnjanet", "apnrnn"),
        *("djanet", "mcldnn"),
    }
)
FORK = OpenDPDVersion(
    "the fork minosoc/OpenDPD at 637ed74",
    {
        **_COMMON,
        **_ADAPTED,
        **{"dataset_name": "APA_200MHz", "version": "", "eval_test": 0, "n_epochs": 50, "patience": 20.0, "K": 4},
        **{"warmup_steps": 0, "weight_decay": 0.01, "PA_backbone": "dgru", "DPD_backbone": "dgru"},
        **{"d_model": 2048, "n_heads": 8, "d_ff": 2048, "dropout_ff": 0.1, "dropout_attn": 0.1},
    },
    _OLD_BACKBONES | {"tcnn", "neuraltx", "transformer_encoder"},
    fork=True,
)
LATER = OpenDPDVersion(
    "the fork minosoc/OpenDPD at 949f757",
    {
        **_COMMON,
        **_PLOTS,
        **_ADAPTED,
        **{"n_epochs": 100, "patience": 10.0, "K": 5, "gmp_memory_length": 11},
        **{"PA_backbone": "gru", "DPD_backbone": "gru"},
        **{"mamba_d_state": 4, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 0},
        **{"n_heads": 2, "d_ff": 18, "use_pos_encoding": 0, "output_residual_concat": 0, "input_mlp_hidden": 0},
        **{"output_mlp_hidden": 0, "conv_stem_kernel": 0, "local_attn_window": 0, "ffn_type": "mlp"},
        **{"use_gmp_stem": 0, "gmp_stem_kernel": 5, "eval_match_train_len": 0, "last_token_loss": 0, "lookahead": 0},
    },
    _OLD_BACKBONES | {"transformer"},
)
VERSIONS = (RELEASE, FORK, LATER)  # the first that has every flag of a command is used


@dataclass(frozen=True)
class Arguments:
    """A command line of OpenDPD: all values, and the flags that it gave."""

    version: OpenDPDVersion
    values: Mapping[str, Any]
    given: frozenset[str]

    def __getitem__(self, flag: str) -> Any:
        return self.values[flag]

    def get(self, flag: str, default: Any = None) -> Any:
        """Return the value of a flag, or `default` where this version has no such flag."""
        return self.values.get(flag, default)


class _RefusedError(Exception):
    """The message that argparse would print before it exits."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _RefusedError(message.removeprefix("argument "))


def parse(words: Sequence[str], where: str) -> Arguments:
    """Parse the words after main.py as OpenDPD's own argparse does, by the first version that has all the flags.

    Args:
        words: `["--lr", "1e-4", ...]`; `--lr=1e-4` and unambiguous abbreviations such as `--warm` are argparse's.
        where: for messages, such as `train.sh:12`.

    Raises:
        RecipeError: flags or values that no version has.
    """
    readings = [(_problems(words, version), version) for version in VERSIONS]
    problems, version = min(readings, key=lambda reading: len(reading[0]))
    if problems:
        raise RecipeError("\n".join(f"{where}: {problem}" for problem in problems))
    given = vars(_parser(version).parse_args(list(words)))
    defaults = {flag: False if value == _SWITCH else value for flag, value in version.defaults.items()}
    return Arguments(version, defaults | given, frozenset(given))


def _problems(words: Sequence[str], version: OpenDPDVersion) -> list[str]:
    try:
        known, unknown = _parser(version).parse_known_args(list(words))
    except _RefusedError as error:
        return [f"{error} ({version.name})"]
    flags = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    problems = [f"{flag}: OpenDPD has no such flag{_near(flag)}" for flag in flags]
    if unknown and not flags:
        problems = [f"{' '.join(unknown)}: these words follow no flag of OpenDPD"]
    backbone = getattr(known, "PA_backbone", None)
    if backbone is not None and backbone not in version.backbones:
        near = closest(backbone, sorted({name for each in VERSIONS for name in each.backbones}))
        hint = f"; did you mean {near}?" if near else f"; it has {', '.join(sorted(version.backbones))}"
        problems.append(f"--PA_backbone {backbone}: {version.name} has no such backbone{hint}")
    return problems


def _near(flag: str) -> str:
    flags = sorted({f"--{name}" for version in VERSIONS for name in version.defaults})
    near = closest("--" + flag.lstrip("-").replace("-", "_"), flags)
    return f"; did you mean {near}?" if near else ""


def _parser(version: OpenDPDVersion) -> _Parser:
    parser = _Parser(prog="main.py", add_help=False, argument_default=argparse.SUPPRESS)
    for flag, default in version.defaults.items():
        if default == _SWITCH:
            parser.add_argument(f"--{flag}", action="store_true", default=argparse.SUPPRESS)
        else:
            kind = str if default is None else type(default)
            parser.add_argument(f"--{flag}", type=kind, choices=_CHOICES.get(flag))
    return parser
