"""Any URL becomes the path of a local file that is what its name promises. Knows no plugin, and not torch.

Downloads share torch's own folder, so what torchvision has fetched is found and the other way round. Beside a file
``NAME`` there may be ``NAME.part`` (an unfinished download, which the next one goes on from) and hidden ones:
``.NAME.json`` (whose file it is; size, times and SHA-256 when it was last hashed, so that it is hashed once and not at
every load), ``.NAME.part.json`` (what the server said of the unfinished file), ``.NAME.lock`` and ``.NAME.lock.json``
(who holds it). All of them may be deleted. A file without a hash in its name whose name is taken is in a folder of its
URL's own.

Environment variables: ``TORCH_HOME``, ``XDG_CACHE_HOME`` (where the folder is), ``ZOO_OFFLINE=1`` (touch no network),
``ZOO_MIRROR=https://host/prefix`` (ask there instead), ``ZOO_TIMEOUT`` (seconds without data, 15), ``ZOO_POLICY`` and
its rules (:class:`Policy`), ``ZOO_LOCK`` (:class:`Lock`), and those of huggingface_hub for ``hf://`` (``HF_HOME``,
``HF_ENDPOINT``, ``HF_TOKEN``, …).
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
