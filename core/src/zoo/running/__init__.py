"""Models at work: files in, typed results out; and made faster."""

from __future__ import annotations
