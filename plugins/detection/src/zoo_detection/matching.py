"""Matching of anchors or proposals to objects in training, and sampling for the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.errors import InvalidArgument

BELOW_LOW_THRESHOLD = -1
BETWEEN_THRESHOLDS = -2


class Matcher:
    """IoU of G objects with A anchors, [G, A] → the index of each anchor's object, or a negative number, int64 [A].

    An anchor is matched to the object that it overlaps most, if the IoU is at least ``high_threshold``; below
    ``low_threshold`` it is background (``BELOW_LOW_THRESHOLD``, -1), and in between it is ignored
    (``BETWEEN_THRESHOLDS``, -2). Without objects all anchors are background.

    Args:
        allow_low_quality_matches: also match the anchors that overlap an object most, even below the thresholds, so
            that every object has an anchor.
    """

    BELOW_LOW_THRESHOLD = BELOW_LOW_THRESHOLD
    BETWEEN_THRESHOLDS = BETWEEN_THRESHOLDS

    def __init__(self, high_threshold: float, low_threshold: float, allow_low_quality_matches: bool = False) -> None:
        if low_threshold > high_threshold:
            raise InvalidArgument(
                f"low_threshold is {low_threshold} and high_threshold {high_threshold}; expected low_threshold ≤ "
                "high_threshold."
            )
        self.high_threshold = high_threshold
        self.low_threshold = low_threshold
        self.allow_low_quality_matches = allow_low_quality_matches

    def __call__(self, match_quality_matrix: Tensor) -> Tensor:
        objects, anchors = match_quality_matrix.shape
        if objects == 0:
            return match_quality_matrix.new_full((anchors,), BELOW_LOW_THRESHOLD, dtype=torch.int64)
        best, nearest = match_quality_matrix.max(dim=0)
        matches = nearest.masked_fill(best < self.high_threshold, BETWEEN_THRESHOLDS)
        matches.masked_fill_(best < self.low_threshold, BELOW_LOW_THRESHOLD)
        if self.allow_low_quality_matches:
            self.set_low_quality_matches_(matches, nearest, match_quality_matrix)
        return matches

    def set_low_quality_matches_(self, matches: Tensor, all_matches: Tensor, match_quality_matrix: Tensor) -> None:
        """Copy ``all_matches`` [A] to ``matches`` [A] for the anchors that overlap an object most."""
        # An object that overlaps no anchor gets none: all anchors would tie.
        most = match_quality_matrix.amax(dim=1, keepdim=True).clamp(min=1e-9)
        chosen = (match_quality_matrix == most).any(dim=0)
        matches.copy_(torch.where(chosen, all_matches, matches))


class SSDMatcher(Matcher):
    """Like :class:`Matcher` with one threshold, but the anchor that overlaps an object most is matched to that
    object."""

    def __init__(self, threshold: float) -> None:
        super().__init__(threshold, threshold)

    def __call__(self, match_quality_matrix: Tensor) -> Tensor:
        matches = super().__call__(match_quality_matrix)
        if len(match_quality_matrix):
            best = match_quality_matrix.argmax(dim=1)
            matches[best] = torch.arange(len(best), device=best.device)
        return matches


class BalancedPositiveNegativeSampler:
    """Samples anchors for the loss: at most ``positive_fraction`` of them positive, the rest negative.

    Args:
        batch_size_per_image: maximum number of samples per image.
    """

    def __init__(self, batch_size_per_image: int, positive_fraction: float) -> None:
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, matched_idxs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Sample from labels [A] of each image: positive if at least 1, negative if 0, ignored below.

        Returns:
            Per image, masks, bool [A], of the sampled positives and of the sampled negatives.
        """
        positives, negatives = [], []
        for labels in matched_idxs:
            positive = _drawn(labels >= 1, int(self.batch_size_per_image * self.positive_fraction))
            positives.append(positive)
            negatives.append(_drawn(labels == 0, self.batch_size_per_image - int(positive.sum())))
        return positives, negatives


def _drawn(mask: Tensor, n: int) -> Tensor:
    """At most ``n`` of ``mask`` [A]. Random numbers are always drawn, so that seeded programs are reproducible."""
    indices = mask.nonzero().squeeze(1)
    chosen = indices[torch.randperm(len(indices), device=indices.device)[:n]]
    return torch.zeros_like(mask).index_fill_(0, chosen, True)
