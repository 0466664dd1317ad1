"""Verbs for ``zoo``: measuring models on data sets, and writing them to files that run without their code."""
