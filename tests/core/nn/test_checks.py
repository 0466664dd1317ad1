"""What users pass to models: every mistake gets a message that names it."""

import pytest
import torch

from zoo.errors import InvalidArgument
from zoo.nn import check_count, check_images, check_probability


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(3, 32, 32), r"\[3, 32, 32\].*unsqueeze"),
        (torch.zeros(3, 32), r"\[3, 32\]; expected \[N, 3, H, W\]"),
        (torch.zeros(1, 1, 32, 32), "1 channels.*takes 3.*in_channels=1"),
        (torch.zeros(1, 32, 32, 3), "Channels come second"),
        (torch.zeros(1, 3, 32, 31), "32×31 but this model needs at least 32×32"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "torch.uint8; expected floating point"),
        ("cat.jpg", "a str; expected a tensor"),
    ],
)
def test_images_that_do_not_fit_are_named(given, said):
    with pytest.raises(InvalidArgument, match=said):
        check_images(given, 3, 32)


def test_images_that_fit_pass():
    check_images(torch.zeros(0, 3, 32, 40), 3, 32)
    check_images(torch.zeros(1, 4, 10, 20, dtype=torch.float16), 4, (10, 20))


def test_checks_leave_no_trace_in_a_captured_graph():
    class Model(torch.nn.Module):
        def forward(self, x):
            check_images(x, 3, 8)
            return x + 1

    size = torch.export.Dim("size", min=2, max=64)
    program = torch.export.export(Model(), (torch.zeros(1, 3, 8, 16),), dynamic_shapes={"x": {2: size}})
    # Captured with a lower bound below the minimum: a check inside would have narrowed it.
    assert program.module()(torch.zeros(1, 3, 4, 16)).shape == (1, 3, 4, 16)


@pytest.mark.parametrize("value", [-0.1, 1.01, float("nan"), "0.5", None, True])
def test_probability_outside_zero_and_one(value):
    with pytest.raises(InvalidArgument, match="dropout is"):
        check_probability("dropout", value)


@pytest.mark.parametrize("value", [-1, 1.0, "3", None, True])
def test_count_that_is_none(value):
    with pytest.raises(InvalidArgument, match=r"num_classes is .*at least 0"):
        check_count("num_classes", value)


def test_good_values_come_back():
    assert check_probability("p", 1) == 1
    assert check_count("n", 0) == 0
