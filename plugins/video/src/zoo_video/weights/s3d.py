"""S3D's weights. Does not import torch."""

from __future__ import annotations

from zoo import WeightsEnum
from zoo_video.weights.entries import REFERENCES, kinetics400


class S3D_Weights(WeightsEnum, builder="s3d"):
    KINETICS400_V1 = kinetics400(
        "s3d-d76dad2f.pth",
        params=8_320_048,
        acc=(68.368, 88.050),
        gflops=17.979,
        mb=31.972,
        recipe=f"{REFERENCES}#s3d",
        sampling=(128, 15, 1),
        crop=224,
        resize=(256, 256),
        min_size=224,
        min_frames=14,
        docs="Trained from scratch; meant to be about as accurate as the paper's.",
    )
    DEFAULT = KINETICS400_V1
