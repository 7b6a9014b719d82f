"""Whether a batch's examples come to stand at right angles to each other in a deep net at its start.

Joudaki et al. 2023: layer norm after a nonlinearity drives the Gram matrix of a batch to the identity, exponentially in
depth. In wide layers that is a law of the cosine ρ of two examples: with the Hermite coefficients c_k of φ, the norm
takes the mean c₀ away, and ρ becomes Σ_{k≥1} c_k²ρ^k / Σ_{k≥1} c_k², near 0 by the factor c₁²/Var φ. The gap from the
identity goes with ρ². Layers of finite width add chance to each ρ, of variance 1/width, which the mean over pairs
averages out and the gap does not.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from bnlab.layers import ACTIVATIONS, ActivationName
from bnlab.studies.deep import Gain, Norm, Size
from bnlab.studies.learning import norm_of


def isometry(
    seed: int,
    norm: Norm = "layer",
    activation: ActivationName = "tanh",
    width: Size = 1024,
    depth: Size = 40,
    batch: Size = 16,
    gain: Gain = 1.0,
    cosine: Annotated[float, Field(ge=0, lt=1)] = 0.5,
) -> Iterator[dict[str, Any]]:
    """`batch` Gaussian inputs with a given `cosine` of any two through norm(φ(Wu)), layer by layer; `step`: the layer.

    Columns: `gram/gap`, of the Gram matrix G of a layer's outputs, log(tr G/n) − log(det G)/n, 0 only of a multiple of
    the identity; `gram/cosine`, the mean of ρ over pairs. With BN, whose outputs sum to 0 over the batch,
    the gap is that of the n − 1 directions that are left.

    Of a Gaussian W only what it makes of the batch u is drawn: with uᵀ = QR, Wuᵀ is (WQ)R, and WQ is as Gaussian as W,
    since Q's columns are orthonormal. That takes a hundredth of the time.
    """
    draw = torch.Generator().manual_seed(seed)
    common, own = (torch.randn(m, width, generator=draw, dtype=torch.float64) for m in (1, batch))
    u = cosine**0.5 * common + (1 - cosine) ** 0.5 * own
    act = ACTIVATIONS[activation]()
    after = norm_of(norm, 0.0)(width, 1).double()
    with torch.no_grad():
        for layer in range(depth + 1):
            if layer:
                r = torch.linalg.qr(u.T).R
                wq = torch.randn(width, len(r), generator=draw, dtype=torch.float64)
                u = after(act((wq @ r).T * (gain / width**0.5)))
            yield {"step": layer, "gram/gap": gap(u, norm == "batch"), "gram/cosine": _cosine(u)}


LEAST = 1e-300  # of an eigenvalue whose logarithm is taken


def gap(u: Tensor, centred: bool = False) -> float:
    """Log of the arithmetic over the geometric mean of uuᵀ's eigenvalues, u (n, width); centred: without the least."""
    values = torch.linalg.eigvalsh(u @ u.T)[1 if centred else 0 :].clamp(min=LEAST)
    return float(values.mean().log() - values.log().mean())


def _cosine(u: Tensor) -> float:
    unit = u / u.norm(dim=1, keepdim=True).clamp(min=LEAST)
    rho = (unit @ unit.T)[~torch.eye(len(u), dtype=torch.bool)]
    return float(rho.mean())
