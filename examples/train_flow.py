"""Train RAFT small on generated pairs of frames, as ``Raft_Small_Weights.SHAPES_V1`` was trained.

    pip install zoo-optical-flow zoo-training
    python examples/train_flow.py --output out/

A scene is a textured background and a few textured shapes, each with its own random affine motion; the flow is computed
from the motions, so it is exact. Held-out scenes have a seed that training never uses. A step takes about 0.6 s on a
CPU core with bfloat16 matrix products. At the end the held-out end-point error is printed next to that of zero flow,
and the weights are written in half precision to a file whose name ends in its hash. The published file is from 1,000
steps, in 13 minutes on a busy machine. ``--pictures DIR`` only writes a held-out pair, as in ``examples/images/flow``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from publish import halved, publish
from torch import Tensor, nn
from torch.utils.data import Dataset

import zoo
from zoo.io import save_image
from zoo_optical_flow import end_point_error, write_flo

SIZE = (128, 160)  # height and width of the frames
SHAPES = 4
HELD_OUT_SEED, HELD_OUT = 2**31, 64
VALIDATED_SEED = 2**30


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Normally distributed numbers, clipped."""
    return torch.randn(*shape, generator=generator).clamp(-2, 2)


def textures(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Coloured noise of several scales [n, 3, height, width], values in [0, 1]."""
    made = normal(generator, n, 3, 1, 1)
    for grain, strength in ((3, 0.4), (6, 0.6), (12, 0.8), (32, 0.8)):
        cells = normal(generator, n, 3, height // grain + 1, width // grain + 1)
        grey = normal(generator, n, 1, height // grain + 1, width // grain + 1)
        made = made + strength * F.interpolate(cells / 2 + grey, size=(height, width), mode="bilinear")
    return made.mul(0.8).sigmoid()


def scenes(n: int, generator: torch.Generator, size: tuple[int, int] = SIZE) -> tuple[Tensor, Tensor, Tensor]:
    """Two frames [n, 3, H, W], values in [0, 1], and the flow from the first to the second [n, 2, H, W] in pixels."""
    height, width = size
    layers = 1 + SHAPES  # the background is the first, the last is in front
    corner = torch.tensor([width, height], dtype=torch.float32)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y], -1).float().view(1, 1, -1, 2)

    centre = torch.rand(n, layers, 1, 2, generator=generator) * corner
    centre[:, 0] = corner / 2
    # The shapes' motions are added to the background's.
    turn = normal(generator, n, layers) * torch.tensor([0.05] + [0.12] * SHAPES)
    grow = (normal(generator, n, layers) * torch.tensor([0.03] + [0.06] * SHAPES)).exp()
    shear = 0.03 * normal(generator, n, layers)
    cos, sin = turn.cos() * grow, turn.sin() * grow
    matrix = torch.stack([torch.stack([cos, shear - sin], -1), torch.stack([sin, cos], -1)], -2)
    move = normal(generator, n, layers, 1, 2) * torch.tensor([4.0] + [6.0] * SHAPES).view(1, -1, 1, 1)
    move[:, 1:] += move[:, :1]

    def forwards(p: Tensor) -> Tensor:
        return (p - centre) @ matrix.mT + centre + move

    def backwards(q: Tensor) -> Tensor:
        return (q - centre - move) @ torch.linalg.inv(matrix).mT + centre

    radius = (0.1 + 0.15 * torch.rand(n, layers, 1, generator=generator)) * height
    waves = 0.12 * normal(generator, n, layers, 4, 1)
    phases = 2 * math.pi * torch.rand(n, layers, 4, 1, generator=generator)

    def inside(p: Tensor) -> Tensor:
        """Distance of each point from the edge of its shape in pixels, positive inside; the background is infinite."""
        dx, dy = (p - centre).unbind(-1)
        angle = torch.atan2(dy, dx)[:, :, None]
        outline = 1 + (waves * torch.cos(torch.arange(1, 5).view(4, 1) * angle + phases)).sum(2)
        depth = radius * outline - (dx.square() + dy.square()).sqrt()
        depth[:, 0] = math.inf
        return depth

    paint = textures(n * layers, height * 5 // 4, width * 5 // 4, generator)

    def frame(p: Tensor) -> Tensor:
        """The picture with pixels at these points of the layers [n, layers, H·W, 2]."""
        grid = 1.6 * (p / corner - 0.5).view(n * layers, height, width, 2)  # the texture is 5/4 the size of the frame
        colours = F.grid_sample(paint, grid, padding_mode="reflection", align_corners=False)
        colours = colours.view(n, layers, 3, height, width)
        covered = (2 * inside(p)).sigmoid().view(n, layers, 1, height, width)  # edges are about one pixel wide
        picture = colours[:, 0]
        for layer in range(1, layers):
            picture = torch.lerp(picture, colours[:, layer], covered[:, layer])
        return picture

    moved = forwards(places) - places
    order = torch.arange(layers).view(1, layers, 1)
    front = torch.where(inside(places) > 0, order, 0).amax(1)  # [n, H·W]
    flow = moved.gather(1, front[:, None, :, None].expand(-1, 1, -1, 2)).view(n, height, width, 2)
    return frame(places.expand(n, layers, -1, 2)), frame(backwards(places)), flow.permute(0, 3, 1, 2)


def held_out(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes that training never uses; the frames are rounded as in an image file."""
    first, second, flow = scenes(n, torch.Generator().manual_seed(HELD_OUT_SEED))
    return *((frame * 255).round() / 255 for frame in (first, second)), flow


class Scenes(Dataset[Any]):
    """Scenes generated on access, as a reader for ``zoo.train``."""

    categories: Sequence[str] = ()

    def __init__(self, n: int, seed: int) -> None:
        self.names, self.seed = [f"scene {i}" for i in range(n)], seed

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> tuple[Any, dict[str, Tensor]]:
        first, second, flow = scenes(1, torch.Generator().manual_seed(self.seed + i))
        frames = tuple((255 * frame[0]).round().to(torch.uint8) for frame in (first, second))
        return frames, {"flow": flow[0], "valid": torch.ones(flow.shape[-2:], dtype=torch.bool)}

    def source(self, i: int) -> str:
        return self.names[i]

    def counts(self) -> Mapping[str, int]:
        return {}


@torch.inference_mode()
def evaluate(model: nn.Module) -> tuple[float, float]:
    """End-point error on the held-out pairs: of the model, and of zero flow."""
    first, second, truth = held_out(HELD_OUT)
    flow = torch.cat([model(2 * a - 1, 2 * b - 1)[-1] for a, b in zip(first.split(8), second.split(8), strict=True)])
    return end_point_error(flow, truth).item(), end_point_error(torch.zeros_like(truth), truth).item()


def write_pictures(folder: Path) -> None:
    """The first held-out pair, and its flow."""
    folder.mkdir(parents=True, exist_ok=True)
    first, second, flow = held_out(1)
    save_image(first[0], folder / "frame1.png")
    save_image(second[0], folder / "frame2.png")
    write_flo(flow[0], folder / "flow.flo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=6000, help="number of training scenes")
    parser.add_argument("--batch-size", type=int, default=6)
    parser.add_argument("--updates", type=int, default=5, help="number of flow updates in training")
    parser.add_argument("--precision", default="bf16", help="or fp32")
    parser.add_argument("--workers", type=int, default=0, help="number of processes that generate scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="resume from the last checkpoint")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write a held-out pair; do not train")
    options = parser.parse_args()
    if options.pictures:
        write_pictures(options.pictures)
        return

    data = Scenes(options.scenes, 10**7 * options.seed), Scenes(16, VALIDATED_SEED)
    model = zoo.train(
        "raft_small", data, options.output / "run", None, preprocessing="SHAPES_V1", epochs=options.epochs,
        batch_size=options.batch_size, lr=6e-4, weight_decay=1e-5, schedule="cosine", warmup=0.1, clip=1.0,
        precision=options.precision, num_flow_updates=options.updates, workers=options.workers, seed=options.seed,
        resume=options.resume,
    ).model  # fmt: skip
    error, zero = evaluate(model.half().float())  # measured in half precision, as published
    print(f"held-out end-point error: {error:.4f} px over {HELD_OUT} pairs; of zero flow: {zero:.4f} px")
    publish(halved(model), options.output / "raft_small_shapes.safetensors")


if __name__ == "__main__":
    main()
