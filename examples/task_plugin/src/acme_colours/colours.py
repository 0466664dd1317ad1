"""Which colours a picture has, and their shares: the model, the task, its result."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

import zoo
from zoo.draw import label_image
from zoo.transforms.functional import as_pil

NAMES = ("black", "white", "red", "green", "blue", "brown")
VALUES = ((0, 0, 0), (255, 255, 255), (208, 32, 32), (32, 144, 64), (32, 80, 192), (150, 95, 60))


class Palette(nn.Module):
    """Pictures [N, 3, H, W] in [0, 1] → the share of each colour [N, K]; pixels count for their nearest colours."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Parameter(torch.tensor(VALUES) / 255)

    def forward(self, images: Tensor) -> Tensor:
        return (-20 * torch.cdist(images.flatten(2).mT, self.colours)).softmax(-1).mean(1)


@zoo.builder()
def palette() -> Palette:
    return Palette()


@dataclass(frozen=True)
class Colours(zoo.Result):
    shares: dict[str, float]  # name → share of the picture, largest first
    image: Image.Image

    def lines(self, k: int = 5) -> list[str]:
        return [f"{share:7.2%}  {name}" for name, share in list(self.shares.items())[:k]]

    def to_dict(self, k: int = 5) -> dict[str, float]:
        return dict(list(self.shares.items())[:k])

    def draw(self) -> Image.Image:
        return label_image(as_pil(self.image), list(self.shares.items()) or [("none", 0.0)])


@dataclass
class ColourNaming(zoo.PictureTask):
    least: float = 0.05

    def decode(self, outputs: Tensor, inputs: list, weights: zoo.Weights) -> list[Colours]:
        results = []
        for row, image in zip(outputs.tolist(), inputs, strict=True):
            named = sorted(zip(NAMES, row, strict=True), key=lambda pair: -pair[1])
            results.append(Colours({name: share for name, share in named if share >= self.least}, image))
        return results
