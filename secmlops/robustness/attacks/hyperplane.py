"""The nearest point of a hyperplane within the unit box, exactly and for a whole batch (after Croce and Hein, 2020)."""

import torch
from torch import Tensor

from secmlops.robustness.attacks.ball import BallNorm


def step_to(points: Tensor, normals: Tensor, values: Tensor, norm: BallNorm) -> Tensor:
    """The shortest step from each point in [0, 1] to its hyperplane such that the point stays in [0, 1].

    With multiplier t, coordinate i moves by min(t, room_i) for `linf` and by min(t |w_i|, room_i) for `l2`, towards the
    plane. What that gains, sum_i v_i min(t, q_i), is concave and piecewise linear in t, so Newton's method from zero
    ends at the exact t after a few steps. Where the box ends before the plane, every coordinate goes as far as it can.

    Args:
        points: (n, d).
        normals: w, (n, d).
        values: w . x - b of the points, (n,): zero on the plane.
        norm: which length is to be shortest.
    """
    weight = normals.abs()
    towards = -(normals.sign() * values.sign()[:, None])
    room = torch.where(towards > 0, 1 - points, points)
    if norm == "linf":
        gain, limit = weight, room
    else:
        gain, limit = weight.square(), room / weight.clamp_min(torch.finfo(weight.dtype).tiny)
    gain = torch.where(towards == 0, 0.0, gain)
    limit = torch.where(gain > 0, limit, torch.inf)
    multiplier = _solve(gain, limit, values.abs())
    moved = torch.minimum(multiplier[:, None], limit)
    return towards * torch.where(gain > 0, moved if norm == "linf" else moved * weight, 0.0)


def _solve(gain: Tensor, limit: Tensor, wanted: Tensor) -> Tensor:
    """The t with sum_i gain_i min(t, limit_i) = wanted; infinite where no t suffices, (n,)."""
    whole = torch.where(gain > 0, gain * limit, 0.0)
    multiplier = torch.zeros_like(wanted)
    ended = torch.zeros_like(gain, dtype=torch.bool)
    while True:
        slope = gain.masked_fill(ended, 0).sum(1)
        lacking = wanted - (whole * ended).sum(1)
        multiplier = torch.where(slope > 0, lacking / slope, torch.inf).maximum(multiplier)
        before, ended = ended, limit <= multiplier[:, None]
        if torch.equal(before, ended):
            return multiplier
