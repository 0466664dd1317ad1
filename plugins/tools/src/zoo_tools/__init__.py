"""Commands for ``zoo``: evaluate models on data sets, and export them to files that run without their code."""
