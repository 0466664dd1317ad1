"""What training needs of video classification: that of pictures, on clips."""

from __future__ import annotations

import zoo_classification.training


class Training(zoo_classification.training.Training):
    """The piece of video classification for ``"train"``; a pipeline sees other frames than training does."""

    as_predicted = False
