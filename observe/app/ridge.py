"""A small honest model for backtests: ridge, logistic for a truth of 0 and 1, linear for numbers.

Source: Hoerl and Kennard (1970), "Ridge regression"; Newton's method for the logistic one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RIDGE: Final = 1.0  # on standardised columns
_STEPS: Final = 12  # Newton steps


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted ridge; a missing value counts as the column's mean."""

    mean: Floats
    scale: Floats
    weights: Floats  # the first is the intercept
    binary: bool

    def answers(self, x: Floats) -> Floats:
        """Probabilities, or numbers."""
        z: Floats = self.weights[0] + np.nan_to_num((x - self.mean) / self.scale) @ self.weights[1:]
        return np.asarray(1 / (1 + np.exp(-np.clip(z, -30, 30))) if self.binary else z, dtype=np.float64)


def fit(x: Floats, y: Floats, binary: bool, counts: Floats | None = None) -> Model:
    """The ridge of rows with a truth, at least one; `counts` is what each counts, 1 where nothing is said."""
    c = np.ones(y.size) if counts is None else counts
    seen = ~np.isnan(x)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, x, 0.0).sum(axis=0) / n
    scale = np.sqrt((np.where(seen, x - mean, 0.0) ** 2).sum(axis=0) / n)
    scale = np.where(scale > 1e-9, scale, 1.0)
    z = np.column_stack([np.ones(x.shape[0]), np.nan_to_num((x - mean) / scale)])
    penalty = np.diag([0.0, *(RIDGE,) * x.shape[1]])
    if not binary:
        return Model(mean, scale, np.linalg.solve((z.T * c) @ z + penalty, z.T @ (c * y)), False)
    w = np.zeros(z.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(z @ w, -30, 30)))
        slope = z.T @ (c * (y - p)) - penalty @ w
        step = np.linalg.solve((z * (c * p * (1 - p))[:, None]).T @ z + penalty + 1e-9 * np.eye(w.size), slope)
        w += step
        if float(np.abs(step).max()) < 1e-6:
            break
    return Model(mean, scale, w, True)


def loss(y: Floats, answers: Floats, binary: bool) -> Floats:
    """Log-loss of probabilities, absolute error of numbers."""
    return _log_loss(y, answers) if binary else np.abs(y - answers)


def _log_loss(y: Floats, p: Floats) -> Floats:
    sure = np.clip(p, 1e-6, 1 - 1e-6)
    return -(y * np.log(sure) + (1 - y) * np.log(1 - sure))
