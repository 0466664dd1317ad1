"""Formats of exported files: each module has the functions ``write``, ``facts`` and ``open`` of :class:`zoo.Format`."""

from __future__ import annotations

KEY = "zoo"  # key of the description in each format's metadata
