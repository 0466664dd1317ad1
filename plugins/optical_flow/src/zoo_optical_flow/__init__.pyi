# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.
from os import PathLike

from torch import nn

from zoo.contract import Weights
from zoo_optical_flow import plugin as plugin, weights as weights
from zoo_optical_flow.consistency import forward_backward_error as forward_backward_error, occlusion as occlusion
from zoo_optical_flow.flo import read_flo as read_flo, write_flo as write_flo
from zoo_optical_flow.kitti import read_kitti_flow as read_kitti_flow, write_kitti_flow as write_kitti_flow
from zoo_optical_flow.metrics import (
    end_point_error as end_point_error,
    error_shares as error_shares,
    outlier_share as outlier_share,
)
from zoo_optical_flow.plugin import PUBLIC as PUBLIC
from zoo_optical_flow.raft import RAFT as RAFT, sequence_loss as sequence_loss
from zoo_optical_flow.result import Flow as Flow
from zoo_optical_flow.task import crop_flow as crop_flow, pad_frames as pad_frames
from zoo_optical_flow.video import FlowVideo as FlowVideo
from zoo_optical_flow.weights.raft import (
    Raft_Large_Weights as Raft_Large_Weights,
    Raft_Small_Weights as Raft_Small_Weights,
)

def raft_large(
    *,
    weights: Raft_Large_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    correlation: str = "auto",
    feature_encoder: nn.Module,
    context_encoder: nn.Module,
    corr_block: nn.Module,
    update_block: nn.Module,
    mask_predictor: nn.Module | None = None,
) -> RAFT: ...
def raft_small(
    *,
    weights: Raft_Small_Weights | Weights | str | PathLike[str] | None = None,
    progress: bool = True,
    mmap: bool | None = None,
    correlation: str = "auto",
    feature_encoder: nn.Module,
    context_encoder: nn.Module,
    corr_block: nn.Module,
    update_block: nn.Module,
    mask_predictor: nn.Module | None = None,
) -> RAFT: ...
