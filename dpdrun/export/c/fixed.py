"""Write a fixed-point program (docs/fixed-point.md) in C: the words of `quantization.reference`, all of them.

Each operation becomes a function on arrays of words. Tensors that are read with a delay are rings in the state, whose
slots advance at the start of a step; the others live for one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError
from dpdrun.export.c.source import Source, fill
from dpdrun.quantization.cost import OPERATIONS as COUNTED
from dpdrun.quantization.cost import cost_of

Operation = dict[str, Any]
Arrays = dict[str, NDArray[np.int64]]

# Helpers that a source defines if it uses them, in this order
HELPERS = {
    "back": """
        /* The slot of a ring before another one */
        static int back(int32_t slot, int delay, int length)
        {
            const int found = (int)slot - delay;

            return found < 0 ? found + length : found;
        }
        """,
    "saturate": """
        static int64_t saturate(int64_t v, int bits)
        {
            const int64_t largest = ((int64_t)1 << (bits - 1)) - 1;

            return v > largest ? largest : v < -largest - 1 ? -largest - 1 : v;
        }
        """,
    "rescale": """
        /* Divide by 2^shift, rounded half up; >> is arithmetic, as asserted above */
        static int64_t rescale(int64_t v, int shift)
        {
            if (shift > 0) { return (v + ((int64_t)1 << (shift - 1))) >> shift; }
            return v * ((int64_t)1 << -shift);
        }
        """,
    "divide": """
        /* a / b rounded half up, b > 0 */
        static int64_t divide(int64_t a, int64_t b)
        {
            const int64_t above = 2 * a + b, below = 2 * b;

            return above / below - (above % below < 0);
        }
        """,
    "root": """
        /* floor(sqrt(v)), digit by digit */
        static int64_t root(int64_t v)
        {
            uint64_t rest = (uint64_t)v, found = 0, bit = (uint64_t)1 << 62;

            while (bit > rest) { bit >>= 2; }
            while (bit) {
                if (rest >= found + bit) {
                    rest -= found + bit;
                    found = (found >> 1) + bit;
                } else {
                    found >>= 1;
                }
                bit >>= 2;
            }
            return (int64_t)found;
        }
        """,
    "lookup": """
        /*
         * Interpolate between points that are 2^position words apart; the last one holds beyond. For x < 0 mirror minus
         * the value of -x. The result has as many more fraction bits as position.
         */
        static int64_t lookup(const uint16_t *points, int count, int position, int64_t mirror, int64_t x)
        {
            const int64_t end = (int64_t)(count - 1) << position, length = x < 0 ? -x : x;
            const int64_t size = length < end ? length : end;
            const int64_t above = size >> position, index = above < count - 2 ? above : count - 2;
            const int64_t step = (int64_t)points[index + 1] - points[index];
            const int64_t value = (int64_t)points[index] * ((int64_t)1 << position)
                + step * (size - index * ((int64_t)1 << position));

            return x < 0 ? mirror - value : value;
        }
        """,
    "exp2_negative": """
        /* 2^-t with 15 fraction bits; t >= 0 has 12: 6 choose an interval of the table, 6 interpolate, octaves shift */
        static int64_t exp2_negative(int64_t t)
        {
            const int octaves = t < (int64_t)32 << 12 ? (int)(t >> 12) : 31, index = (int)((t >> 6) & 63);
            const int64_t step = (int64_t)exp2_points[index + 1] - exp2_points[index];

            return rescale(exp2_points[index] + rescale(step * (t & 63), 6), octaves);
        }
        """,
}


def word_type(bits: int) -> str:
    """Return the C type of two's-complement words."""
    return next(f"int{width}_t" for width in (8, 16, 32, 64) if bits <= width)


def identifier(name: str) -> str:
    """Return the C name of a tensor; x and y are the parameters of the step."""
    return {"x": "input", "y": "result"}.get(name, name.replace(".", "_"))


@dataclass
class Words:
    """A program on its way to C."""

    c: Source
    program: dict[str, Any]
    weights: Arrays
    helpers: set[str] = field(default_factory=lambda: {"saturate", "rescale"})

    def type_of(self, name: str) -> str:
        """Return the C type of a tensor."""
        return word_type(self.program["tensors"][name]["bits"])

    def size(self, name: str) -> int:
        """Return the channels of a tensor."""
        return int(self.program["tensors"][name]["size"])

    def ring(self, name: str) -> int:
        """Return the slots of a tensor's ring; 0 if it is not kept."""
        rows = self.program["history"].get(name, 0)
        return rows + 1 if rows else 0

    def slots(self, name: str, delay: str | int = 0) -> str:
        """Return the words of a kept tensor some samples ago, as a C expression."""
        length = self.ring(name)
        if delay == 0:
            return f"s->{identifier(name)}[s->slot_{length}]"
        self.helpers.add("back")
        return f"s->{identifier(name)}[back(s->slot_{length}, {delay}, {length})]"

    def now(self, name: str) -> str:
        """Return the words of a tensor in the step, as a C expression."""
        return self.slots(name) if self.ring(name) else identifier(name)

    def table(self, name: str, values: NDArray[np.int64], comment: str = "") -> str:
        """Add a table of integers in the smallest type; returns its C type."""
        largest = max(int(values.max(initial=0)), -int(values.min(initial=0)) - 1, 0)
        ctype = word_type(largest.bit_length() + 1)
        self.c.table(name, values, comment, ctype=ctype)
        return ctype

    def points(self, name: str) -> str:
        """Add the table of a function, once; returns its C name."""
        own = f"{identifier(name)}_points"
        if not any(f" {own}[" in text for text in self.c.tables):
            self.c.table(own, self.weights[name], f"{name}, 15 fraction bits", ctype="uint16_t")
        return own


@dataclass
class Function:
    """The C function of one operation."""

    words: Words
    each: Operation
    state: bool = False
    given: dict[str, str] = field(default_factory=dict)
    tops: list[str] = field(default_factory=list)

    @property
    def own(self) -> str:
        """C name of the tensor that it makes."""
        return identifier(self.each["out"])

    @property
    def accumulator(self) -> str:
        """C type of its sums: they fit, whatever the input."""
        bits = self.each["accumulator_bits"]
        return "int32_t" if bits <= 32 and self._shifts().min() >= 0 else "int64_t"

    def _shifts(self) -> NDArray[np.int64]:
        return np.atleast_1d(np.asarray(self.each["shift"]))

    def read(self, name: str, delay: str | int = 0) -> str:
        """Return the words of a tensor, as a C expression; what is not in the state becomes a parameter."""
        if self.words.ring(name):
            self.state = True
            return self.words.slots(name, delay)
        assert delay in (0, "k"), "only what is kept can be late"  # k: of a polynomial without memory, always 0
        self.given[name] = f"const {self.words.type_of(name)} {identifier(name)}[{self.words.size(name)}]"
        return identifier(name)

    def pointer(self, name: str, delay: int = 0) -> str:
        """Return a C name for the words of a tensor."""
        expression = self.read(name, delay)
        if not self.words.ring(name):
            return expression
        own = identifier(name) + (f"_{delay}" if delay else "")
        text = f"const {self.words.type_of(name)} *{own} = {expression};"
        if text not in self.tops:
            self.tops.append(text)
        return own

    def shifts(self, key: str, value: Any, index: str = "i") -> str:
        """Return a number of bits, as a C expression: a constant, or an element of a table."""
        if isinstance(value, int):
            return str(value)
        self.words.table(f"{self.own}_{key}", np.asarray(value))
        return f"{self.own}_{key}[{index}]"

    def stored(self, value: str, index: str = "i") -> str:
        """Return the statement that rescales a sum, saturates and stores it."""
        out = self.each["out"]
        shift, bits = self.shifts("shift", self.each["shift"], index), self.words.program["tensors"][out]["bits"]
        scaled = value if shift == "0" else f"rescale({value}, {shift})"
        return f"out[{index}] = ({self.words.type_of(out)})saturate({scaled}, {bits});"

    def finish(self, body: str, comment: str = "", **values: Any) -> None:
        """Add the function to the source, and its call to the step."""
        words, out = self.words, self.each["out"]
        parameters = [f"const {words.c.prefix}_state *s"] if self.state else []
        parameters += [*self.given.values(), f"{words.type_of(out)} out[{words.size(out)}]"]
        arguments = ["s"] if self.state else []
        arguments += [identifier(name) for name in self.given] + [words.now(out)]
        filled = fill(body, own=self.own, acc=self.accumulator, **values)
        top = "".join(f"    {line}\n" for line in self.tops)
        inner = "\n".join(f"    {line}" if line else "" for line in filled.splitlines())
        words.c.functions.append(
            f"/* {comment or self.each['op']}; sums need {self.each['accumulator_bits']} bits */\n"
            f"static void compute_{self.own}({', '.join(parameters)})\n{{\n{top}{inner}\n}}"
        )
        words.c.step.append(f"compute_{self.own}({', '.join(arguments)});")


def write(c: Source, program: dict[str, Any], weights: Arrays) -> None:
    """Write a program. `c.number` has to be `port_type(program)`.

    Raises:
        RunError: a sum can need more bits than int64 has.
    """
    from dpdrun.export.c.operations import OPERATIONS

    words = Words(c, program, weights)
    wide = [each["out"] for each in program["steps"] if each["accumulator_bits"] > 63]
    if wide:
        raise RunError(f"sums of {', '.join(wide)} can need more than 63 bits: use fewer bits of activations")
    lengths = sorted({words.ring(name) for name in program["history"]})
    for name in program["history"]:
        comment = "ring of the last words"
        c.member(identifier(name), words.ring(name), words.size(name), comment=comment, ctype=words.type_of(name))
    if not lengths:
        c.member("unused", ctype="int32_t", comment="this model has no memory")
    for length in lengths:
        c.member(f"slot_{length}", ctype="int32_t", comment=f"of the current sample in rings of {length}")
        c.step.append(f"s->slot_{length} = s->slot_{length} + 1 == {length} ? 0 : s->slot_{length} + 1;")
    bits = program["input"]["bits"]
    full = bits in (8, 16, 32)
    for i in range(2):
        word = f"x[{i}]" if full else f"({words.type_of('x')})saturate(x[{i}], {bits})"
        c.step.append(f"{words.now('x')}[{i}] = {word};")
    for each in program["steps"]:
        OPERATIONS[each["op"]](Function(words, each))
    c.step += [f"{y} = {words.now('y')}[{i}];" for i, y in enumerate(("y[0]", "y[1]"))]
    made = ["x", *(each["out"] for each in program["steps"])]
    local = [f"{words.type_of(n)} {identifier(n)}[{words.size(n)}];" for n in made if not words.ring(n)]
    c.step[:0] = [*local, "", *([] if lengths else ["(void)s;"])]
    c.functions[:0] = [fill(text) for name, text in HELPERS.items() if name in words.helpers]
    _describe(c, program)
    spent = cost_of(program)
    c.count(**{name: spent[name] for name in COUNTED})


def port_type(program: dict[str, Any]) -> str:
    """Return the C type of the words at the ports."""
    return word_type(max(program[port]["bits"] for port in ("input", "output")))


def _describe(c: Source, program: dict[str, Any]) -> None:
    c.units = "as words, see above"
    for name, port in (("X", program["input"]), ("Y", program["output"])):
        c.defines += [
            (f"{name}_BITS", str(port["bits"]), "of a word, with the sign"),
            (f"{name}_FRACTION", f"({port['fraction']})", "a word v is v / 2^fraction in the units of the capture"),
        ]
        c.notes.append(
            f"{name.lower()}: words of {port['bits']} bits; v stands for v / 2^{port['fraction']} in the units of the "
            "capture" + ("; a sample enters as floor(sample 2^fraction + 1/2), saturated" if name == "X" else "")
        )
    bits = {each["out"]: each["accumulator_bits"] for each in program["steps"]}
    c.notes.append(
        "Rescaling rounds half up, stored words saturate. Bits that sums can need, whatever the input: "
        + ", ".join(f"{name} {count}" for name, count in bits.items())
    )
    c.facts = {"input": program["input"], "output": program["output"], "accumulator_bits": bits}
