"""The case that each model's golden file was made with: how it was built, what it was fed."""

import torch
from reference.fill import images

SMALL = {"min_size": 224, "max_size": 320}


def build_kwargs(name: str, task: str) -> dict:
    """Arguments of the model's builder. Detection: small images, low score cuts, samplers that keep all."""
    kw: dict = {"weights": None}
    if task in ("detection", "segmentation"):
        kw["weights_backbone"] = None
    if "googlenet" in name or "inception_v3" in name:
        kw["init_weights"] = False
    if task == "quantized":
        kw["quantize"] = False
    if task == "detection":
        if name.startswith("ssd"):
            kw |= {"score_thresh": 0.002}
        elif name.startswith(("retinanet", "fcos")):
            kw |= SMALL | {"score_thresh": 0.01}
        else:
            kw |= SMALL | {
                "box_score_thresh": 0.01,
                "rpn_pre_nms_top_n_test": 300,
                "rpn_post_nms_top_n_test": 100,
                "rpn_pre_nms_top_n_train": 300,
                "rpn_post_nms_top_n_train": 100,
                "rpn_batch_size_per_image": 10**6,
                "box_batch_size_per_image": 10**6,
            }
    return kw


def inputs(name: str, task: str) -> tuple:
    """Positional arguments of ``model.eval()(*inputs)``; optical flow is run with ``num_flow_updates=3``."""
    if task in ("classification", "quantized"):
        size = 299 if "inception_v3" in name else 224
        return ((images((1, 3, size, size)) - 0.45) / 0.225,)
    if task == "segmentation":
        return ((images((1, 3, 160, 192)) - 0.45) / 0.225,)
    if task == "detection":
        return ([images((3, 240, 320), 0), images((3, 200, 160), 1)],)
    if task == "video":
        side = 224 if name.startswith(("mvit", "s3d")) else 112
        return ((images((1, 3, 16, side, side)) - 0.43) / 0.22,)
    if task == "optical_flow":
        first = images((1, 3, 128, 160)) * 2 - 1
        return (first, torch.roll(first, shifts=(2, -3), dims=(-2, -1)))
    raise ValueError(task)


def targets(name: str, imgs: list) -> list[dict]:
    """Detection targets for the training losses of the golden file."""
    g = torch.Generator().manual_seed(7)
    out = []
    for im in imgs:
        h, w = im.shape[-2:]
        n = 4
        xy = torch.rand(n, 2, generator=g) * torch.tensor([w * 0.5, h * 0.5])
        wh = torch.rand(n, 2, generator=g) * torch.tensor([w * 0.35, h * 0.35]) + 12
        boxes = torch.cat([xy, xy + wh], 1)
        high = 2 if name.startswith("keypoint") else 90
        t = {"boxes": boxes, "labels": torch.randint(1, high, (n,), generator=g)}
        if name.startswith("mask"):
            m = torch.zeros(n, h, w, dtype=torch.uint8)
            for i, b in enumerate(boxes.round().int().tolist()):
                m[i, b[1] : b[3], b[0] : b[2]] = 1
                m[i, b[1] : (b[1] + b[3]) // 2, b[0] : (b[0] + b[2]) // 2] = 0
            t["masks"] = m
        if name.startswith("keypoint"):
            k = torch.rand(n, 17, 2, generator=g) * wh[:, None] + xy[:, None]
            v = (torch.rand(n, 17, 1, generator=g) > 0.2).float()
            t["keypoints"] = torch.cat([k, v], -1)
        out.append(t)
    return out
