"""Optical flow in pictures: the colour wheel pixel by pixel, arrows, and what is left after warping."""

from __future__ import annotations

import pytest
import torch
from helpers import read_reference
from PIL import Image
from reference.fill import images

from zoo.draw import error_map, flow_arrows, flow_to_image, flow_wheel, warped_difference, with_wheel
from zoo.errors import InvalidArgument
from zoo.transforms.functional import pil_to_tensor


def constant(u: float, v: float, size: tuple[int, int] = (32, 48)) -> torch.Tensor:
    return torch.tensor([u, v], dtype=torch.float32).view(2, 1, 1).expand(2, *size).contiguous()


def test_colours_are_middleburys_pixel_by_pixel() -> None:
    want = read_reference("flow_to_image")
    flow = torch.stack([images((32, 48), 3) * 8 - 4, images((32, 48), 4) * 6 - 3])
    got = flow_to_image(flow)
    assert torch.equal(got, torch.tensor(want["output uint8"], dtype=torch.uint8).view(want["shape"]))


def test_hue_is_direction_and_saturation_is_length() -> None:
    flow = torch.zeros(2, 1, 4)
    flow[0] = torch.tensor([8.0, 4.0, 0.0, float("nan")])
    assert flow_to_image(flow)[:, 0].T.tolist() == [[255, 0, 0], [255, 127, 127], [255, 255, 255], [0, 0, 0]]
    flow[0, 0, 3] = 2e9  # Middlebury's unknown
    assert flow_to_image(flow)[:, 0, 3].tolist() == [0, 0, 0]
    assert flow_to_image(flow, max_norm=2)[:, 0, 1].tolist() == [255, 0, 0]
    down_and_up = flow_to_image(torch.tensor([[0.0, 0.0], [1.0, -1.0]])[:, None])
    assert down_and_up[:, 0, 0].tolist() != down_and_up[:, 0, 1].tolist()


def test_a_batch_shares_one_scale() -> None:
    batch = torch.stack([constant(1, 0), constant(4, 0)])
    pictures = flow_to_image(batch)
    assert pictures.shape == (2, 3, 32, 48)
    assert torch.equal(pictures[1], flow_to_image(batch[1]))
    assert torch.equal(pictures[0], flow_to_image(batch[0], max_norm=4))


def test_arrows_point_where_it_goes() -> None:
    grey = Image.new("RGB", (320, 320), (128, 128, 128))
    flow = torch.zeros(2, 320, 320)
    assert flow_arrows(grey, flow).getcolors() == [(320 * 320, (128, 128, 128))]
    flow[:, 160, 160] = torch.tensor([40.0, 0.0])
    drawn = (pil_to_tensor(flow_arrows(grey, flow, step=320)) != 128).any(0)
    rows, columns = drawn.nonzero().unbind(1)
    assert 157 <= columns.min() <= 161
    assert 199 <= columns.max() <= 203
    assert rows.float().mean().item() == pytest.approx(160.5, abs=1)
    assert drawn[:, 185:].any(1).sum() > drawn[:, 162:175].any(1).sum()  # its head is at the right end


def test_tiny_pictures_are_enlarged_and_their_arrows_with_them() -> None:
    flow = constant(5, 0, (20, 32))
    assert flow_arrows(torch.rand(3, 20, 32), flow, step=8).size == (320, 200)


def test_the_right_flow_leaves_no_difference() -> None:
    first = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
    second = torch.roll(first, (2, -3), (1, 2))
    right, wrong = (pil_to_tensor(warped_difference(first, second, constant(*uv))) for uv in ((-3, 2), (3, 2)))
    assert right.shape == (3, 32, 48)
    assert not right.any()
    assert wrong.float().mean() > 40


def test_between_pixels_the_second_picture_is_interpolated() -> None:
    slope = (40 * torch.arange(1, 6)).expand(3, 4, 5)
    first, second = slope.to(torch.uint8), (slope - 20).to(torch.uint8)
    still, warped = (pil_to_tensor(warped_difference(first, second, constant(u, 0, (4, 5)))) for u in (0, 0.5))
    assert still.unique().tolist() == [20]
    assert not warped.any()


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        (torch.zeros(3, 4, 4), r"\[3, 4, 4\]"),
        (torch.zeros(2, 0, 4), "not empty"),
        (torch.zeros(2, 4, 4, dtype=torch.long), "int64"),
    ],
)
def test_what_is_no_flow_is_refused(flow: torch.Tensor, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        flow_to_image(flow)


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"expected \[2, 8, 9\]"):
        flow_arrows(Image.new("RGB", (9, 8)), torch.zeros(2, 8, 8))
    with pytest.raises(InvalidArgument, match=r"expected \[2, 8, 9\]"):
        warped_difference(Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8)), torch.zeros(2, 8, 8))
    with pytest.raises(InvalidArgument, match="step is 0"):
        flow_arrows(Image.new("RGB", (8, 8)), torch.zeros(2, 8, 8), step=0)
    with pytest.raises(InvalidArgument, match="max_norm is 0"):
        flow_to_image(torch.zeros(2, 8, 8), max_norm=0)


def test_the_wheel_has_the_colours_of_the_flow() -> None:
    wheel = flow_wheel(101)
    assert wheel.mode == "RGBA"
    for right, down in ((40, 0), (0, 40), (-30, 20), (0, 0)):
        pixel = wheel.getpixel((50 + right, 50 + down))
        want = flow_to_image(constant(right / 50, down / 50, (1, 1)), max_norm=1)[:, 0, 0].tolist()
        assert isinstance(pixel, tuple)
        assert list(pixel[:3]) == pytest.approx(want, abs=2)
    assert wheel.getpixel((0, 0))[3] == 0, "transparent around"  # type: ignore[index]


def test_the_wheel_lies_where_least_moves() -> None:
    flow = torch.zeros(2, 200, 300)
    flow[0, :, :150] = 9
    picture = Image.fromarray(flow_to_image(flow).permute(1, 2, 0).numpy())
    drawn = with_wheel(picture, 9.0)
    changed = (pil_to_tensor(drawn) != pil_to_tensor(picture)).any(0)
    assert changed[:, 150:].any()
    assert not changed[:, :150].any()
    assert picture.getpixel((299, 199)) == (255, 255, 255), "the picture itself stays"
    tiny = Image.new("RGB", (40, 40))
    assert with_wheel(tiny, 1.0).tobytes() == tiny.tobytes()


def test_errors_get_lighter() -> None:
    drawn = pil_to_tensor(error_map(torch.tensor([[0.0, 1, 2, 3, 4, 9, torch.inf, torch.nan]]), 4.0)).int().sum(0)[0]
    assert (drawn[:5].diff() > 0).all()
    assert drawn[4] == drawn[5] == drawn[6] == drawn[7]
    for errors, most in ((torch.zeros(2, 2, 2), 1.0), (torch.zeros(2, 2), 0.0), (torch.zeros(2, 2).int(), 1.0)):
        with pytest.raises(InvalidArgument, match="expected"):
            error_map(errors, most)


def test_arrows_of_large_pictures_are_drawn_at_their_size() -> None:
    grey = Image.new("RGB", (1280, 960), (128, 128, 128))
    flow = constant(40, 0, (960, 1280))
    assert flow_arrows(grey, flow, 160).size == (640, 480)
    whole = flow_arrows(grey, flow, 160, largest=None)
    assert whole.size == (1280, 960)
    assert grey.getcolors() == [(1280 * 960, (128, 128, 128))]
