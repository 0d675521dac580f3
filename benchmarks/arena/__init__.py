"""Predistorters of dpdrun under the judge of OpenDPD's Arena: its code, its data, its frozen power amplifier.

Unofficial: the Arena takes only its own backbones and templates, so these rows are no entries of its board.
`install` makes the environment, `protocol` is the only file that imports opendpd, `judge` prints the table.
"""
