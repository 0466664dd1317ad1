"""Running models: files in, typed results out; and optimization."""

from __future__ import annotations
