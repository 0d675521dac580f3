"""The contract of a kind of model, measured on a small one with random weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from dpdrun import models
from dpdrun.models._base import BehaviouralModel, stream, stream_chunks
from dpdrun.models._overlap import OverlappingModel
from dpdrun.models._reach import TOLERANCE, effect, output_of, reach_of, undeclared
from dpdrun.plugins.check import FailedError, Point
from dpdrun.recipe import yaml12
from dpdrun.recipe.describe import is_section
from dpdrun.recipe.plugins import Entry

BATCH, LENGTH = 2, 23
SCALE_X, SCALE_Y = 0.2, 0.7
MOVED = 0.1  # standard deviation added to every weight, so that branches that start at zero are seen
SETTLING = 1024  # samples after which a model without a declared context is asked whether it has forgotten
TIMED = 2048  # samples of the record that is timed


def points_of_a_kind(entry: Entry, settings: Sequence[str]) -> Iterator[Point]:
    """Return the points of the contract of a kind, each of which runs when it is called."""
    return iter(_Contract(entry, settings).points())


class _Contract:
    """One kind under test. The model is built by the second point, and shared by the later ones."""

    def __init__(self, entry: Entry, settings: Sequence[str]) -> None:
        self._kind, self._settings = entry.value, settings
        self._config: Any = None
        self._model: Any = None

    def points(self) -> list[Point]:
        named: list[tuple[str, Callable[[], str]]] = [
            ("section", self._section),
            ("build", self._build),
            ("shapes", self._shapes),
            ("repeats", self._repeats),
            ("gradients", self._gradients),
            ("silence", self._silence),
            ("records apart", self._apart),
            ("save and load", self._saved),
            ("units", self._units),
            ("context", self._context),
            ("state", self._state),
            ("stream", self._stream),
            ("cost", self._cost),
        ]
        return named

    def _section(self) -> str:
        section, fields = self._kind.section, self._kind.section.model_fields
        given = {}
        for setting in self._settings:
            key, _, text = setting.partition("=")
            given[key.removeprefix("model.")] = yaml12.scalar(text.strip())
        missing = [name for name, info in fields.items() if info.is_required() and name not in given and name != "kind"]
        if missing:
            raise FailedError(f"no default for {', '.join(missing)}; give values: --set {missing[0]}=VALUE")
        if bare := [name for name, info in fields.items() if not (info.description or is_section(info))]:
            raise FailedError(f"no description of {', '.join(bare)}; `dpdrun explain` and the docs show it")
        name = next(iter(fields["kind"].annotation.__args__))
        try:
            self._config = section.model_validate({"kind": name} | given)
        except ValidationError as error:
            first = error.errors()[0]
            raise FailedError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if not (section.__doc__ or "").strip():
            raise FailedError("Config has no docstring; its first line is what recipes show of the kind")
        return ", ".join(f"{name} {getattr(self._config, name)}" for name in fields)

    def _built(self, scale_x: float = SCALE_X, scale_y: float = SCALE_Y) -> BehaviouralModel:
        torch.manual_seed(0)
        model = models.build(self._config, scale_x=scale_x, scale_y=scale_y)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(MOVED * torch.randn_like(parameter))
        return model.eval()

    def _build(self) -> str:
        self._model = model = self._built()
        for name in ("lookahead", "context", "macs_per_sample"):
            if not hasattr(model, name):
                raise FailedError(f"the model does not set {name}")
        count = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if not count:
            raise FailedError("the model has no parameters to train")
        if not torch.equal(_flat(model), _flat(self._built())):
            raise FailedError("the same seed gives other weights: draw them from torch's global generator")
        return f"{count:,} parameters, {_seen(model)}"

    def _shapes(self) -> str:
        model, kind = self._model, self._config.kind
        own: Any = model.module if isinstance(model, OverlappingModel) else model
        if own is model and model.lookahead is not None:
            returned = model.step(_record(LENGTH), model.initial_state(BATCH))
            if not (isinstance(returned, tuple) and len(returned) == 2):
                raise FailedError(f"step() returns a {type(returned).__name__}; it has to be a tuple, (y, state)")
        for batch, length in ((BATCH, LENGTH), (1, 1), (3, 64)):
            y = output_of(own, _record(length, batch), kind)
            if y.dtype != torch.get_default_dtype():
                raise FailedError(f"the output is {y.dtype}, expected {torch.get_default_dtype()}")
        return "(B, T, 2) -> (B, T, 2), one sample too"

    def _gradients(self) -> str:
        model = copy.deepcopy(self._model).train()
        y = model(_record(max(LENGTH, 2 * (model.context or 0))))
        _finite(y, "the output")
        y.square().sum().backward()
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                raise FailedError(f"{name} gets no gradient: the output does not depend on it")
            _finite(parameter.grad, f"the gradient of {name}")
        return "every parameter has a finite gradient"

    def _silence(self) -> str:
        x = torch.zeros(1, LENGTH, 2, requires_grad=True)
        model = copy.deepcopy(self._model).train()
        y = model(x)
        _finite(y, "the output for zeros")
        y.sum().backward()
        for name, gradient in [("the input", x.grad), *((n, p.grad) for n, p in model.named_parameters())]:
            if gradient is not None:
                _finite(gradient, f"for zeros, the gradient of {name}")
        return "finite output and gradients for zeros"

    def _repeats(self) -> str:
        x = _record(LENGTH)
        if torch.equal(self._model(x), self._model(x)):
            return "the same input gives the same output in eval mode"
        torch.manual_seed(0)
        first = self._model(x)
        torch.manual_seed(0)
        if torch.equal(self._model(x), first):
            cause = "it draws random numbers, such as F.dropout without training=self.training"
        else:
            cause = "a state is kept in the module"
        raise FailedError(f"in eval mode the same input gives another output: {cause}")

    def _apart(self) -> str:
        x, alone = _record(LENGTH, 3), self._model(_record(LENGTH, 3)[:1])
        together = self._model(x)[:1]
        if (off := _off(together, alone)) > TOLERANCE:
            raise FailedError(f"a record alone and in a batch differ by {off:.1e} of the rms")
        return "a record does not depend on the others of its batch"

    def _units(self) -> str:
        unit, scaled, x = self._built(1.0, 1.0), self._built(50.0, 300.0), _record(LENGTH)
        if (off := _off(scaled(50.0 * x), 300.0 * unit(x))) > 10 * TOLERANCE:
            raise FailedError(f"scaled input and output differ by {off:.1e} of the rms: use scale_x and scale_y")
        return "input and output follow scale_x and scale_y"

    def _stream(self) -> str:
        model = self._model
        if model.lookahead is None:
            return "none: it takes complete records, so it cannot be exported; declare a context to change that"
        x = _record(3 * LENGTH + 2 * (model.context or 0) + model.lookahead)
        whole, worst, generator = model(x), 0.0, torch.Generator().manual_seed(1)
        for _ in range(3):
            chunks, at = [], 0
            while at < x.shape[1]:
                size = int(torch.randint(1, LENGTH, (1,), generator=generator))
                chunks.append(x[:, at : at + size])
                at += size
            worst = max(worst, _off(torch.cat(list(stream_chunks(model, chunks)), dim=1), whole))
        worst = max(worst, _off(stream(model, x[:, :LENGTH], 1), model(x[:, :LENGTH])))
        if worst > TOLERANCE:
            raise FailedError(
                f"a stream in random chunks differs from the complete record by {worst:.1e} of the rms: the state does "
                "not hold all that later outputs depend on"
            )
        return f"random chunks equal the complete record to {worst:.0e} of the rms"

    def _context(self) -> str:
        model = self._model
        if model.lookahead is None:
            return "not declared"
        past = SETTLING if model.context is None else model.context
        at = LENGTH + model.lookahead
        effects = effect(model, _record(at + past + LENGTH), at)
        if model.context is None:
            effects, faded = effects[: at + past], float(effects[at + past :].max())
        reach = reach_of(effects, at)
        if excess := undeclared(reach, model.context, model.lookahead):
            raise FailedError(f"it {excess}; declare what it depends on, or mask it")
        if model.context is None:
            return f"no limit declared; inputs {SETTLING} samples ago change an output by {faded:.0e}"
        note = f"; with these weights the furthest that matters is {reach[0]} ago" if reach[0] < past else ""
        return f"no output depends on more than the declared {past} past and {model.lookahead} future samples{note}"

    @torch.no_grad()
    def _state(self) -> str:
        model = self._model
        if model.lookahead is None:
            return "none"
        x = _record(2 * LENGTH)
        _, state = model.step(x[:, :LENGTH], model.initial_state(BATCH))
        kept = copy.deepcopy(state)
        first, _ = model.step(x[:, LENGTH:], state)
        again, _ = model.step(x[:, LENGTH:], kept)
        repeated, _ = model.step(x[:, LENGTH:], state)
        if (off := max(_off(again, first), _off(repeated, first))) > TOLERANCE:
            raise FailedError(f"continuing twice from one state differs by {off:.1e} of the rms: step() changes it")
        return "a stream continues from a saved state"

    def _saved(self) -> str:
        fresh = models.build(self._config, scale_x=1.0, scale_y=1.0).eval()
        fresh.load_state_dict(
            load(save({name: value.contiguous() for name, value in self._model.state_dict().items()}))
        )
        x = _record(LENGTH)
        if (off := _off(fresh(x), self._model(x))) > TOLERANCE:
            raise FailedError(
                f"loaded weights give another output, off by {off:.1e} of the rms: what decides it must be a parameter "
                "or a buffer"
            )
        return "weights and scales survive safetensors"

    def _cost(self) -> str:
        model, x = copy.deepcopy(self._model).train(), _record(TIMED, 1)
        began = time.perf_counter()
        model(x).square().mean().backward()
        step_us = (time.perf_counter() - began) / TIMED * 1e6
        with torch.inference_mode():
            began = time.perf_counter()
            self._model(x)
            forward_us = (time.perf_counter() - began) / TIMED * 1e6
        return (
            f"{model.macs_per_sample:,} MAC/sample; here {forward_us:.2g} us per sample to predict, "
            f"{step_us:.2g} us to train"
        )


def _record(length: int, batch: int = BATCH) -> Tensor:
    return SCALE_X * torch.randn(batch, length, 2, generator=torch.Generator().manual_seed(length)) / 2**0.5


def _off(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, over the rms of what is expected."""
    rms = float(expected.detach().square().sum(-1).mean().sqrt())
    return float((found - expected).detach().abs().max()) / max(rms, 1e-12)


def _finite(value: Tensor, what: str) -> None:
    if not bool(value.isfinite().all()):
        raise FailedError(f"{what} is not finite")


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def _seen(model: BehaviouralModel) -> str:
    if model.lookahead is None:
        return "depends on the complete record"
    past = "all past samples" if model.context is None else f"{model.context} past samples"
    return f"depends on {past} and {model.lookahead} future ones"
