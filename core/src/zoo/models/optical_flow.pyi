# Written by scripts/stubs.py: the names that are imported when first used, and the builders' real arguments.
from typing import Any

from zoo_optical_flow import (
    RAFT as RAFT,
    Flow as Flow,
    FlowVideo as FlowVideo,
    Raft_Large_Weights as Raft_Large_Weights,
    Raft_Small_Weights as Raft_Small_Weights,
    raft_large as raft_large,
    raft_small as raft_small,
)

def __getattr__(name: str) -> Any: ...  # modules of plugins, older names
