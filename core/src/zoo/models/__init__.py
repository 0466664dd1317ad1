"""The names of torchvision.models, resolved from the installed plugins on first use.

``zoo.models`` has the classification models; ``zoo.models.quantization``, ``.segmentation``, ``.detection``,
``.video`` and ``.optical_flow`` the others. Modules below them are the plugins' own: ``zoo.models.resnet`` is
``zoo_classification.resnet``. A name whose plugin is missing raises an error that says which package to install.
"""

import sys as _sys
import typing as _typing

from zoo.models import _namespaces
from zoo.registry import get_model, get_model_builder, get_model_weights, get_weight, list_models

if _typing.TYPE_CHECKING:
    from zoo.models._describing import Weights, WeightsEnum

    __all__ = [
        "Weights",
        "WeightsEnum",
        "get_model",
        "get_model_builder",
        "get_model_weights",
        "get_weight",
        "list_models",
    ]

    def __getattr__(name: str) -> _typing.Any: ...


_namespaces.install(_sys.modules[__name__])
