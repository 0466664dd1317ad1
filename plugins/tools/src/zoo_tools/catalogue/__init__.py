"""``zoo catalogue build``: all installed models as static pages and as ``catalogue.json``."""

from __future__ import annotations

from zoo_tools.catalogue.building import Built, build_catalogue, schema
from zoo_tools.catalogue.collecting import collect

__all__ = ["Built", "build_catalogue", "collect", "schema"]
