"""The nearest point of a hyperplane within the unit box, exactly and for a whole batch (after Croce and Hein, 2020)."""

import torch
from torch import Tensor

from secmlops.robustness.attacks.ball import BallNorm


def step_to(points: Tensor, normals: Tensor, values: Tensor, norm: BallNorm) -> Tensor:
    """The shortest step from each point in [0, 1] to its hyperplane such that the point stays in [0, 1].

    With multiplier t, coordinate i moves by min(t, room_i) for `linf` and by min(t |w_i|, room_i) for `l2`, towards the
    plane; what that gains, sum_i v_i min(t, q_i), is piecewise linear in t, so sorting the q_i gives t in one pass.
    Where the box ends before the plane, every coordinate goes as far as it can.

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
    limit, order = limit.sort(dim=1)
    gain = gain.gather(1, order)
    slope_after = gain.flip(1).cumsum(1).flip(1) - gain
    used_up = torch.where(limit.isinf(), 0.0, gain * limit).cumsum(1)
    reached = used_up + torch.where(limit.isinf(), 0.0, limit * slope_after)
    segment = torch.searchsorted(reached.contiguous(), wanted[:, None]).squeeze(1)
    last = gain.shape[1] - 1
    before = (segment - 1).clamp(min=0, max=last)[:, None]
    first = (segment == 0)[:, None]
    base = torch.where(first, 0.0, used_up.gather(1, before))
    slope = torch.where(first, gain.sum(1, keepdim=True), slope_after.gather(1, before))
    solved = (wanted[:, None] - base) / slope
    return torch.where((segment[:, None] > last) | (slope <= 0), torch.inf, solved).squeeze(1)
