"""Views of an image that show the same thing: mirrored, and cropped from a black frame."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """Flips and padded crops (He et al. 2016, §4.2), each a function of the pixels and of a number below `views`.

    `flip`: half of the views are mirrored, left to right. `pad`: a view is the image's size, cut anywhere from the
    image with a frame of so many black pixels.
    """

    flip: bool
    pad: int

    @property
    def views(self) -> int:
        """How many there are."""
        return (1 + self.flip) * (2 * self.pad + 1) ** 2

    def __call__(self, x: Tensor, views: Tensor) -> Tensor:
        """View `views` (m,) of images (m, C, H, W), of the same shape and type."""
        m, channels, height, width = x.shape
        shifts = 2 * self.pad + 1
        i = torch.arange(height, device=x.device) + (views % shifts - self.pad).unsqueeze(1)  # (m, H)
        j = torch.arange(width, device=x.device) + (views // shifts % shifts - self.pad).unsqueeze(1)  # (m, W)
        mirrored = (views // shifts**2).unsqueeze(1) == 1
        j = torch.where(mirrored, width - 1 - j, j)
        inside = ((i >= 0) & (i < height)).view(m, 1, height, 1) & ((j >= 0) & (j < width)).view(m, 1, 1, width)
        example, channel = torch.arange(m, device=x.device), torch.arange(channels, device=x.device)
        seen = x[
            example.view(m, 1, 1, 1),
            channel.view(1, channels, 1, 1),
            i.clamp(0, height - 1).view(m, 1, height, 1),
            j.clamp(0, width - 1).view(m, 1, 1, width),
        ]
        return torch.where(inside, seen, 0)
