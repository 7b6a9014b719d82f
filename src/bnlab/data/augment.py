"""Views of an image that show the same thing: mirrored, and cropped from a black frame."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


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
        m, _, height, width = x.shape
        shifts = 2 * self.pad + 1
        down, across, mirrored = views % shifts, views // shifts % shifts, views // shifts**2 == 1
        across = torch.where(mirrored, 2 * self.pad - across, across)  # it is the cut that is mirrored
        framed = F.pad(x, (self.pad,) * 4)
        cuts = framed.unfold(2, height, 1).unfold(3, width, 1)  # (m, C, shifts, shifts, H, W), no copy
        seen = cuts[torch.arange(m, device=x.device), :, down, across]
        return torch.where(mirrored.view(m, 1, 1, 1), seen.flip(3), seen) if self.flip else seen
