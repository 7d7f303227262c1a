"""The algorithms, one file each."""

from jssl.algorithms.simclr import SimCLR as SimCLR
