"""Formats of exported files: each module has ``write``, ``facts`` and ``open``, as :class:`zoo.Format` wants them."""

from __future__ import annotations

KEY = "zoo"  # of what is known of the model, in each format's own metadata
