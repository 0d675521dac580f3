"""Fixed point: a model as a list of integer operations, and what the words of its tensors cost.

    network      the model as a list of operations on named tensors, in float64, powers of two folded (`canonical`)
    calibration  ranges of the tensors over a record, and the fraction bits that follow from them
    integers     network + fraction bits -> program: integer weights, shifts, bounds of the accumulators
    reference    runs a program in NumPy int64: the definition, which every other implementation reproduces bit by bit

Imports nothing above recipe and rf; torch only where weights are trained (`training`).
"""
