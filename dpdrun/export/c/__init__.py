"""Export a model as C99: a header, a source, a self-test and a JSON description; no heap, no library but <math.h>.

`source` collects the parts of a generated file; one module for each kind of model writes them; `files` arranges them;
`compiler` finds and runs a C compiler; `job` verifies and writes.
"""
