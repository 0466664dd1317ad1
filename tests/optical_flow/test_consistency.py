"""Forward and backward flow: consistency, drawing and writing; KITTI's files; motions in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import InvalidArgument
from zoo_optical_flow import forward_backward_error, occlusion, read_flo, read_kitti_flow, write_kitti_flow
from zoo_optical_flow.result import direction

FOLDER = Path(__file__).parents[2] / "examples/images/flow"
PAIR = (FOLDER / "frame1.png", FOLDER / "frame2.png")

# ── forward and backward ─────────────────────────────────────────────────────────────────────────────────────────


def moved_square() -> tuple[torch.Tensor, torch.Tensor]:
    """Forward and backward flow of a square of 20 pixels that moves 10 to the right over a static ground."""
    flow, backward = torch.zeros(2, 60, 80), torch.zeros(2, 60, 80)
    flow[0, 20:40, 20:40], backward[0, 20:40, 30:50] = 10, -10
    return flow, backward


def test_what_a_square_moves_over_is_hidden() -> None:
    flow, backward = moved_square()
    hidden = occlusion(flow, backward)
    want = torch.zeros(60, 80, dtype=torch.bool)
    want[20:40, 40:50] = True  # ground that the square covers
    assert torch.equal(hidden, want)
    error = forward_backward_error(flow, backward)
    assert error[30, 45] == 10
    assert error[30, 30] == error[5, 5] == 0
    assert torch.equal(occlusion(torch.stack([flow, flow]), torch.stack([backward, flow]))[0], want)


def test_what_leaves_the_frame_is_hidden() -> None:
    flow = torch.zeros(2, 10, 12)
    flow[0] = 3
    assert occlusion(flow, -flow).nonzero()[:, 1].unique().tolist() == [9, 10, 11]
    assert forward_backward_error(flow, -flow)[0, 9:].tolist() == [torch.inf] * 3
    flow[:, 2, 2] = torch.nan
    assert occlusion(flow, -flow)[2, 2]


def test_small_errors_are_borne_in_proportion_to_the_motion() -> None:
    flow = torch.full((2, 9, 60), 0.0)
    flow[0] = 20.0
    for off, hidden in ((1.0, False), (3.5, True)):
        assert occlusion(flow, -flow + off)[4, 20].item() is hidden
    assert not occlusion(flow, -flow + 3.5, relative=0.1)[4, 20]
    with pytest.raises(InvalidArgument, match="absolute is -1"):
        occlusion(flow, flow, absolute=-1)
    with pytest.raises(InvalidArgument, match=r"\[2, 9, 60\] and \[2, 9, 59\]"):
        forward_backward_error(flow, flow[..., 1:])


def test_flow_back_is_an_option_and_is_drawn_and_written(tmp_path: Path) -> None:
    both = zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu", backward=True, flow_format="both")
    result, other = both([PAIR, PAIR[::-1]])
    assert torch.equal(result.flow, other.backward)
    assert torch.equal(result.backward, other.flow)
    alone = zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu")(PAIR)
    torch.testing.assert_close(result.flow, alone.flow, atol=1e-2, rtol=1e-2)
    assert alone.occluded is None
    assert 0 < result.occluded.float().mean() == result.to_dict()["occluded"] < 1
    assert "occluded in the second frame" in result.lines()[1]
    assert result.draw().height > 1.4 * alone.draw().height
    names = [path.name for path in result.save(tmp_path, "x")]
    assert names == [
        *("x.png", "x_flow.png", "x_occluded.png", "x.flo", "x_kitti.png"),
        *("x_backward.flo", "x_backward_kitti.png"),
    ]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x_occluded.png")) == 255, result.occluded)
    assert torch.equal(read_kitti_flow(tmp_path / "x_kitti.png")[1], ~result.occluded)
    assert torch.equal(read_flo(tmp_path / "x_backward.flo"), result.backward)
    with pytest.raises(InvalidArgument, match=r"flow_format is 'kiti'; .* Did you mean 'kitti'"):
        zoo.pipeline("raft_small", weights="SHAPES_V1", device="cpu", flow_format="kiti")


def test_directions_are_words() -> None:
    assert direction(3.21, -6.0) == "3.2 px right, 6.0 px up"
    assert direction(-0.06, 0.01) == "0.1 px left"
    assert direction(0, 12) == "12.0 px down"
    assert direction(0.01, -0.01) == "no motion"


# ── KITTI's files ────────────────────────────────────────────────────────────────────────────────────────────────


def test_kitti_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    flow = (torch.rand(2, 7, 9, generator=torch.Generator().manual_seed(0)) - 0.5) * 1000
    flow[:, 0, 0] = torch.tensor([-512.0, 511.984375])
    flow[:, 1, 1], flow[0, 2, 2] = 1e10, torch.nan
    path = tmp_path / "flow.png"
    write_kitti_flow(flow, path)
    there, known = read_kitti_flow(path)
    assert [list(place) for place in (~known).nonzero().tolist()] == [[1, 1], [2, 2]]
    assert (there - flow)[:, known].abs().max() <= 1 / 128
    assert there[:, 0, 0].tolist() == [-512.0, 511.984375]
    raw = Image.open(path)
    assert (raw.format, raw.size) == ("PNG", (9, 7))
    mask = flow[0] > 0
    write_kitti_flow(flow, path, mask & (flow.abs() < 500).all(0))
    assert torch.equal(read_kitti_flow(path)[1], mask & (flow.abs() < 500).all(0))


@pytest.mark.parametrize(
    ("flow", "known", "message"),
    [
        (torch.full((2, 3, 4), 512.0), None, r"row 0, column 0 is \[512.0, 512.0\].*Write a .flo file"),
        (torch.zeros(3, 3, 4), None, r"\[3, 3, 4\]; expected floating point"),
        (torch.zeros(2, 3, 4).int(), None, "int32"),
        (torch.zeros(2, 3, 4), torch.ones(3, 5).bool(), r"expected bool \[3, 4\]"),
        (torch.full((2, 3, 4), torch.nan), torch.ones(3, 4).bool(), "nan"),
    ],
)
def test_what_kittis_format_has_no_numbers_for_is_refused(
    flow: torch.Tensor, known: torch.Tensor | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        write_kitti_flow(flow, tmp_path / "x.png", known)
    assert not (tmp_path / "x.png").exists()
