"""The C text that is the same for every model, as `string.Template`s."""

HEADER = """
/*
$comment
 *
 *     static ${prefix}_state state;
 *     ${prefix}_reset(&state);
 *     ${prefix}_run(&state, x, y, n);  for each chunk of samples: I, Q, I, Q, ...
 */
#ifndef ${PREFIX}_H
#define ${PREFIX}_H

#include <stddef.h>
#include <stdint.h>

#define ${PREFIX}_LATENCY $latency /* delay of the output in samples */
#define ${PREFIX}_STATE_BYTES $state_bytes$defines

#ifdef __cplusplus
extern "C" {
#endif

/* The state of a stream; its members are private. */
typedef struct {
$state
} ${prefix}_state;

/* Start a record; the input before it is taken as zero. */
void ${prefix}_reset(${prefix}_state *s);

/* Compute one output sample. x, y: I, Q $units. They may be the same array. */
void ${prefix}_step(${prefix}_state *s, const $number x[2], $number y[2]);

/* Compute n output samples. x, y: I, Q, I, Q, ...: 2 n numbers. They may be the same array. */
void ${prefix}_run(${prefix}_state *s, const $number *x, $number *y, size_t n);

#ifdef __cplusplus
}
#endif

#endif
"""

SOURCE = """
/* Generated together with ${prefix}.h, which describes it; do not edit. */
#include "${prefix}.h"
$include
/* Fails to compile where the compiler pads the state. */
typedef char ${prefix}_state_has_$state_bytes[sizeof(${prefix}_state) == ${state_bytes}u ? 1 : -1];
$arithmetic
$tables

$functions

void ${prefix}_reset(${prefix}_state *s)
{
    unsigned char *bytes = (unsigned char *)s;
    size_t n;
$index
    for (n = 0; n < sizeof *s; ++n) { bytes[n] = 0; }$reset
}

void ${prefix}_step(${prefix}_state *s, const $number x[2], $number y[2])
{
$step
}

void ${prefix}_run(${prefix}_state *s, const $number *x, $number *y, size_t n)
{
    size_t i;

    for (i = 0; i < n; ++i) { ${prefix}_step(s, x + 2 * i, y + 2 * i); }
}
"""

TEST = """
/*
 * Self-test of ${prefix}.c:
 *
 *     cc -std=c99 -O2 ${prefix}.c ${prefix}_test.c -lm -o ${prefix}_test
 *     ./${prefix}_test            compares with the golden vector below; prints "passed", or what failed, and exits 1
 *     ./${prefix}_test IN OUT     streams a file of I, Q, I, Q, ... ($number, byte order of this machine)
 */
#include "${prefix}.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLES $length

/* The first samples of the test split, after silence, and the output for them */
$golden
"""

COMPARISON = {
    "float": """
/* Return 1 and say so if the rms of the error is larger than $tolerance of the rms of the golden output. */
static int differs(const char *what, const float *y)
{
    double error = 0.0, power = 0.0;
    int i;

    for (i = 0; i < 2 * (SAMPLES - ${PREFIX}_LATENCY); ++i) {
        const double expected = golden_y[i], difference = y[i + 2 * ${PREFIX}_LATENCY] - expected;

        error += difference * difference;
        power += expected * expected;
    }
    if (error <= $tolerance * $tolerance * power) {
        printf("%s: rms error %.1e of the rms\\n", what, sqrt(error / (power > 0.0 ? power : 1.0)));
        return 0;
    }
    printf("%s: FAILED, rms error %.1e of the rms, limit $tolerance\\n", what, sqrt(error / power));
    return 1;
}
""",
    "integer": """
/* Return 1 and say where if a word is not that of the golden output. */
static int differs(const char *what, const $number *y)
{
    int i;

    for (i = 0; i < 2 * (SAMPLES - ${PREFIX}_LATENCY); ++i) {
        const long expected = (long)golden_y[i], word = (long)y[i + 2 * ${PREFIX}_LATENCY];

        if (word != expected) {
            printf("%s: FAILED at sample %d, %s: %ld, not %ld\\n", what, i / 2, i % 2 ? "Q" : "I", word, expected);
            return 1;
        }
    }
    printf("%s: equal in every bit\\n", what);
    return 0;
}
""",
}

MAIN = """
static int check(void)
{
    static ${prefix}_state s;
    static $number y[2 * SAMPLES];
    static const size_t chunks[] = {1, 7, 64, 2, 333};
    size_t at, i, n;
    int failures = 0, repeat;

    ${prefix}_reset(&s);
    ${prefix}_run(&s, golden_x, y, SAMPLES);
    failures += differs("one call", y);

    for (repeat = 0; repeat < 2; ++repeat) { /* the second time after a reset in the middle of a record */
        ${prefix}_reset(&s);
        for (at = 0, i = 0; at < SAMPLES; at += n, ++i) {
            n = chunks[i % (sizeof chunks / sizeof chunks[0])];
            n = n < SAMPLES - at ? n : SAMPLES - at;
            ${prefix}_run(&s, golden_x + 2 * at, y + 2 * at, n);
        }
        failures += differs(repeat ? "after a reset" : "in chunks", y);
        ${prefix}_run(&s, golden_x, y, SAMPLES / 3);
    }

    ${prefix}_reset(&s);
    for (i = 0; i < 2 * SAMPLES; ++i) { y[i] = golden_x[i]; }
    for (i = 0; i < SAMPLES; ++i) { ${prefix}_step(&s, y + 2 * i, y + 2 * i); }
    failures += differs("in place, step by step", y);

    puts(failures ? "FAILED" : "passed");
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int stream(const char *in, const char *out)
{
    static const size_t chunks[] = {1, 7, 64, 333, 1000, 2, 2048};
    static ${prefix}_state s;
    static $number x[2 * 2048];
    FILE *source = fopen(in, "rb"), *sink = fopen(out, "wb");
    size_t n, i = 0;

    if (!source || !sink) {
        fprintf(stderr, "cannot open %s\\n", source ? out : in);
        return EXIT_FAILURE;
    }
    ${prefix}_reset(&s);
    while ((n = fread(x, 2 * sizeof x[0], chunks[i++ % (sizeof chunks / sizeof chunks[0])], source)) > 0) {
        ${prefix}_run(&s, x, x, n);
        if (fwrite(x, 2 * sizeof x[0], n, sink) != n) { break; }
    }
    if (ferror(source) || n > 0 || fclose(sink)) {
        fprintf(stderr, "cannot read %s or write %s\\n", in, out);
        return EXIT_FAILURE;
    }
    fclose(source);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    return argc == 3 ? stream(argv[1], argv[2]) : check();
}
"""

ARITHMETIC = """
/* Fails to compile where >> of a negative number does not round to minus infinity. */
typedef char ${prefix}_shifts_are_arithmetic[(-5 >> 1) == -3 ? 1 : -1];
"""
