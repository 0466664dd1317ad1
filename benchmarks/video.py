"""How fast the video models are: one clip in inference, ours over torchvision's in the same process.

    python benchmarks/video.py [r3d_18 mvit_v2_s …] [--threads 1]

Both models hold the same weights and see the same clip, 16 frames of the size that the weights were evaluated on; runs
alternate, so that whatever else the machine does slows both. Outputs are compared. Where torchvision is missing, only
our own times are printed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch
from torch import Tensor, nn

import zoo

try:
    import torchvision
except ImportError:
    torchvision = None

FRAMES = 16


def seconds(model: nn.Module, clip: Tensor) -> float:
    start = time.perf_counter()
    model(clip)
    return time.perf_counter() - start


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=None)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} threads, median of {options.repeats}")
    print(f"\n{'model':14}{'clip':>14}{'ours, s':>10}{'theirs, s':>11}{'ours over theirs':>18}")
    ratios = []
    for name in options.models or zoo.list_models(task="video-classification"):
        entry = zoo.get_model_weights(name).DEFAULT
        side = entry.transforms().crop_size[0]
        clip = torch.randn(1, 3, FRAMES, side, side, generator=torch.Generator().manual_seed(0))
        ours = zoo.get_model(name).eval()
        theirs = None
        if torchvision is not None and name in torchvision.models.list_models(module=torchvision.models.video):
            theirs = torchvision.models.get_model(name).eval()
            theirs.load_state_dict(ours.state_dict())
            torch.testing.assert_close(ours(clip), theirs(clip), rtol=1e-3, atol=1e-3)
        times: tuple[list[float], list[float]] = ([], [])
        for i in range(options.repeats + 1):
            for model, found in zip((ours, theirs), times, strict=True):
                if model is not None:
                    spent = seconds(model, clip)
                    found += [spent] * (i > 0)  # the first warms up
        mine = statistics.median(times[0])
        line = f"{name:14}{f'{FRAMES}×{side}×{side}':>14}{mine:10.3f}"
        if theirs is not None:
            ratios.append(mine / statistics.median(times[1]))
            line += f"{statistics.median(times[1]):11.3f}{ratios[-1]:18.2f}"
        print(line, flush=True)
    if ratios:
        print(f"\ngeometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}")
    else:
        print("\ntorchvision is not installed; its models were not measured.")


if __name__ == "__main__":
    main()
