"""Run zoo's models as an HTTP service, and on a cluster."""
