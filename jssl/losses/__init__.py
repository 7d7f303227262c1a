"""Losses: pure functions of arrays -> scalar."""

from jssl.losses.cross_entropy import cross_entropy as cross_entropy
