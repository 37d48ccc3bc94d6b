"""What the last hidden layer says about images: the space in which backdoors are looked for."""

import torch
from torch import Tensor, nn

from secmlops.errors import SecmlopsError

_BATCH = 1024


class NoLinearLayer(SecmlopsError):
    """A network without a linear output layer, whose last hidden layer is therefore not known."""

    def __init__(self) -> None:
        super().__init__("the network has no linear layer: backdoor detectors read the input of the last one")


@torch.no_grad()
def last_hidden(network: nn.Module, images: Tensor) -> Tensor:
    """The input (n, features) of the network's last linear layer for images (n, c, h, w).

    Raises:
        NoLinearLayer: it has none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise NoLinearLayer
    seen: list[Tensor] = []
    hook = layers[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        for batch in images.split(_BATCH):
            network(batch)
    finally:
        hook.remove()
    return torch.cat(seen)
