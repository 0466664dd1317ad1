"""Train RAFT small on generated pairs of frames: how ``Raft_Small_Weights.SHAPES_V1`` came about.

    pip install zoo-optical-flow
    python examples/train_flow.py --output out/

A scene is a textured background and a few textured shapes, each under an affine motion of its own, drawn at random;
the flow is computed from the motions, so it is exact. Held-out scenes come from a seed that training never uses.
A step takes about 0.6 s of a CPU core that multiplies bfloat16 matrices. At the end the held-out end-point error is
printed beside that of zero flow, and the weights are written in half precision under a name that ends in their hash.
The published file is what the defaults make: 1,000 steps, in 13 minutes on a machine busy with other things.
``--pictures DIR`` writes a held-out pair instead, as in ``examples/images/flow``.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

import zoo
from zoo.io import save_image
from zoo_optical_flow import end_point_error, sequence_loss, write_flo

SIZE = (128, 160)  # height and width of the frames
SHAPES = 4
HELD_OUT_SEED, HELD_OUT = 2**31, 64
PEAK = 6e-4  # learning rate


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Normal numbers without far outliers."""
    return torch.randn(*shape, generator=generator).clamp(-2, 2)


def textures(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Coloured noise of several grains [n, 3, height, width], values in [0, 1]."""
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
    # The shapes' motions come on top of the background's.
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
        """How far inside its shape each point is, in pixels; everything is inside the background."""
        dx, dy = (p - centre).unbind(-1)
        angle = torch.atan2(dy, dx)[:, :, None]
        outline = 1 + (waves * torch.cos(torch.arange(1, 5).view(4, 1) * angle + phases)).sum(2)
        depth = radius * outline - (dx.square() + dy.square()).sqrt()
        depth[:, 0] = math.inf
        return depth

    paint = textures(n * layers, height * 5 // 4, width * 5 // 4, generator)

    def frame(p: Tensor) -> Tensor:
        """The picture whose pixels lie at these points of the layers [n, layers, H·W, 2]."""
        grid = 1.6 * (p / corner - 0.5).view(n * layers, height, width, 2)  # the frame is amid paint 5/4 its size
        colours = F.grid_sample(paint, grid, padding_mode="reflection", align_corners=False)
        colours = colours.view(n, layers, 3, height, width)
        covered = (2 * inside(p)).sigmoid().view(n, layers, 1, height, width)  # an edge is about a pixel wide
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
    """Scenes that training does not see; the frames are rounded as an image file rounds them."""
    first, second, flow = scenes(n, torch.Generator().manual_seed(HELD_OUT_SEED))
    return *((frame * 255).round() / 255 for frame in (first, second)), flow


@torch.inference_mode()
def evaluate(model: nn.Module) -> tuple[float, float]:
    """End-point error on the held-out pairs: of the model, of zero flow."""
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
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--minutes", type=float, help="end after so long, the learning rate gone to zero by then")
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--updates", type=int, default=5, help="refinements of the flow while training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write a held-out pair; do not train")
    options = parser.parse_args()
    if options.pictures:
        write_pictures(options.pictures)
        return

    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    model = zoo.get_model("raft_small").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=1e-5)
    start = time.monotonic()
    with tqdm(total=options.steps, unit="step") as bar:
        for step in range(options.steps):
            elapsed = (time.monotonic() - start) / 60
            done = max(step / options.steps, elapsed / options.minutes if options.minutes else 0)
            if done >= 1:
                break
            for group in optimizer.param_groups:  # a rise, then a cosine to zero
                group["lr"] = PEAK * min((step + 1) / 100, 0.5 + 0.5 * math.cos(math.pi * done))
            first, second, truth = scenes(options.batch, generator)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                flows = model(2 * first - 1, 2 * second - 1, num_flow_updates=options.updates)
            loss = sequence_loss([flow.float() for flow in flows], truth)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            error = end_point_error(flows[-1].detach().float(), truth).item()
            bar.set_postfix(loss=f"{loss.item():.2f}", epe=f"{error:.2f}", refresh=False)
            bar.update()

    model.eval().half().float()  # measured as it is published, in half precision
    error, zero = evaluate(model)
    print(f"held-out end-point error: {error:.4f} px over {HELD_OUT} pairs; of zero flow: {zero:.4f} px")

    options.output.mkdir(parents=True, exist_ok=True)
    unnamed = options.output / "raft_small_shapes.safetensors"
    save_file({name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}, unnamed)
    digest = hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]
    path = unnamed.rename(unnamed.with_stem(f"{unnamed.stem}-{digest}"))
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MB")


if __name__ == "__main__":
    main()
