"""Necks: a backbone's features -> projections."""

from jssl.necks.nonlinear import NonLinearNeck as NonLinearNeck
