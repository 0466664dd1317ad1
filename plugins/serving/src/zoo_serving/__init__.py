"""zoo's models as a service, and on a cluster."""
