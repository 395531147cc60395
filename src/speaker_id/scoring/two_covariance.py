"""The two-covariance model: an embedding is mean + speaker + session, each of the two drawn from its own Gaussian.

Brümmer & de Villiers, "The speaker partitioning problem", 2010; it is PLDA with full-rank covariances (Sizov, Lee &
Kinnunen, "Unifying probabilistic linear discriminant analysis variants", 2014). In coordinates where the session's
covariance is the identity and the speaker's a diagonal psi (Ioffe, "Probabilistic linear discriminant analysis",
2006), every dimension stands alone: the expectation step and the score are sums of one-dimensional terms.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from speaker_id.errors import DataError
from speaker_id.scoring.backend import speaker_sums
from speaker_id.scoring.prepared import Prepared

Array = NDArray[np.float64]

SMALLEST_PSI = 0.01  # to start from: at 0 a direction could never come to tell speakers apart again
SINGULAR = 1e-10  # of the largest variance


class TwoCovariance(NamedTuple):
    """(x - mean) @ transform has session covariance 1 and speaker covariance psi."""

    mean: Array  # (D,)
    transform: Array  # (D, D)
    psi: Array  # (D,) speaker variances, in units of the session's

    def prepare(self, rows: Array) -> Prepared:
        """(N, D) -> log p(x, y | same speaker) - log p(x, y | two speakers), per dimension of u = (x - mean) transform:

        psi u v / (2 psi + 1) - psi² (u² + v²) / (2 (psi + 1) (2 psi + 1)) + log(psi + 1) - log(2 psi + 1) / 2
        """
        psi = self.psi
        u = (rows - self.mean) @ self.transform
        crossing = u * np.sqrt(psi / (2 * psi + 1))
        longest = np.linalg.norm(crossing, axis=1).max(initial=0) or 1.0  # Prepared.rows are no longer than 1
        alone = -(u**2) @ (psi**2 / (2 * (psi + 1) * (2 * psi + 1)))
        constant = float(np.sum(np.log(psi + 1) - np.log(2 * psi + 1) / 2))
        scale, shift = np.full((2, len(rows)), longest**2 / 2, np.float32), (alone + constant / 2).astype(np.float32)
        return Prepared((crossing / longest).astype(np.float32), scale[0], scale[1], shift, shift)


def fit_two_covariance(
    rows: Array, numbers: NDArray[np.intp], *, iterations: int, shrinkage: float = 0.0
) -> TwoCovariance:
    """Maximum likelihood by EM, from (N, D) and speaker numbers (N,); starts from the closed form for equal counts.

    `shrinkage` draws the session's scatter towards the same variance in every direction. The mean is that of the
    speakers' means. Raises `DataError` when the session's covariance is singular.
    """
    counts = np.bincount(numbers).astype(np.float64)
    centres = speaker_sums(rows, numbers) / counts[:, None]
    mean = centres.mean(axis=0)
    deviations = rows - centres[numbers]
    scatter = _shrunk(deviations.T @ deviations, shrinkage)
    _refuse_singular(scatter, len(rows) - counts.size)
    centres -= mean
    between, within = _moments(centres, counts, scatter)
    transform = np.eye(mean.size)
    for _ in range(iterations):
        psi, change = eigh(between, within)
        transform, centres, scatter = transform @ change, centres @ change, change.T @ scatter @ change
        between, within = _expectation_maximisation(np.maximum(psi, 0), centres, counts, scatter)
    psi, change = eigh(between, within)
    return TwoCovariance(mean, transform @ change, np.maximum(psi, 0))


def _shrunk(scatter: Array, shrinkage: float) -> Array:
    variance = np.trace(scatter) / len(scatter)
    result: Array = (1 - shrinkage) * scatter + shrinkage * variance * np.eye(len(scatter))
    return result


def _refuse_singular(scatter: Array, degrees: int) -> None:
    variances = np.linalg.eigvalsh(scatter)
    if variances[0] <= SINGULAR * variances[-1]:
        raise DataError(
            f"PLDA must see how speakers vary in each of {len(scatter)} dimensions, but there are only {degrees} more "
            "recordings than speakers, or recordings repeat each other: give it more, a smaller lda_dim, or a "
            "shrinkage above 0"
        )


def _moments(centres: Array, counts: Array, scatter: Array) -> tuple[Array, Array]:
    """Speaker and session covariance; speakers' means vary by the former and by the latter over their counts."""
    within = scatter / (counts.sum() - counts.size)
    spread = centres.T @ centres / (counts.size - 1)
    psi, basis = eigh(spread, within)
    sides = within @ basis
    return (sides * np.maximum(psi - np.mean(1 / counts), SMALLEST_PSI)) @ sides.T, within


def _expectation_maximisation(psi: Array, centres: Array, counts: Array, scatter: Array) -> tuple[Array, Array]:
    """One step: each speaker's posterior mean and variances (K, D), then the two covariances that fit them best."""
    num = counts[:, None]
    variances = psi / (1 + num * psi)
    speakers = num * variances * centres
    rest = centres - speakers
    between = (speakers.T @ speakers + np.diag(variances.sum(axis=0))) / counts.size
    within = (scatter + rest.T @ (num * rest) + np.diag((num * variances).sum(axis=0))) / counts.sum()
    return between, within
