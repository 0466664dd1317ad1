"""Any URL becomes the path of a local file with a verified hash. Does not depend on plugins or torch.

Downloads share torch's own folder, so torchvision's downloads are found, and torchvision finds zoo's. Beside a file
``NAME`` there may be ``NAME.part`` (an unfinished download, which the next one continues) and hidden files:
``.NAME.json`` (its URL; size, times and SHA-256 when it was last hashed, so that it is hashed once and not at every
load), ``.NAME.part.json`` (the server's headers for the unfinished file), ``.NAME.lock`` and ``.NAME.lock.json`` (the
process that holds it). All of them may be deleted. A file without a hash in its name whose name is taken is in a
separate folder for its URL.

Environment variables: ``TORCH_HOME``, ``XDG_CACHE_HOME`` (the place of the folder), ``ZOO_OFFLINE=1`` (no network),
``ZOO_MIRROR=https://host/prefix`` (download from there instead), ``ZOO_TIMEOUT`` (seconds without data, 15),
``ZOO_POLICY`` and its rules (:class:`Policy`), ``ZOO_LOCK`` (:class:`Lock`), and those of huggingface_hub for ``hf://``
(``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN``, …).
"""

from __future__ import annotations

from zoo.files.fetching import cached_path, fetch, hub_snapshot
from zoo.files.hub import hub_fetched, hub_listing, resolved
from zoo.files.local import open_resource
from zoo.files.lockfile import Lock, LockedFile
from zoo.files.names import cache_dir, offline, promised_hash
from zoo.files.notes import way_out
from zoo.files.policy import Policy, policy
from zoo.files.redaction import redacted
from zoo.files.replacement import replacing

__all__ = [
    "Lock",
    "LockedFile",
    "Policy",
    "cache_dir",
    "cached_path",
    "fetch",
    "hub_fetched",
    "hub_listing",
    "hub_snapshot",
    "offline",
    "open_resource",
    "policy",
    "promised_hash",
    "redacted",
    "replacing",
    "resolved",
    "way_out",
]
