"""URLs without their secrets, for messages and records."""

from __future__ import annotations

import re

_URL = re.compile(r"([a-z][a-z0-9+.\-]*://)([^\s\"<>`]+)", re.IGNORECASE)
# A password may contain characters that end a host; text after a host's colon that is not a port is taken for one.
_LOGIN = re.compile(r"[^/?#@:]*:(?!\d{1,5}(?:[/?#]|$)).*@|[^/?#]*@")
_BARE_LOGIN = re.compile(r"\A[^\s/@:]*:(?![/\\])\S*@")  # a proxy without its scheme
_TOKEN = re.compile(r"(?-i:\bhf_)\w{8,}|(?<=\bbearer )\S+|(?<=\bbasic )\S+", re.IGNORECASE)


def redacted(text: object) -> str:
    """``text``, a URL or a message with URLs in it, without possible secrets.

    In each URL the login (``user:password@``), path parameters, query and fragment are replaced by ``…``: the query of
    a signed URL gives access to the file. Tokens of the hub and of ``Authorization`` headers are replaced as well. All
    messages, records, reports and notes of zoo pass through here; plugins may use it for theirs.

    >>> redacted("https://me:secret@host/model.pth?signature=abc")
    'https://…@host/model.pth?…'
    """
    return _TOKEN.sub("…", _BARE_LOGIN.sub("…@", _URL.sub(_shown, str(text))))


def _shown(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    rest = _LOGIN.sub("…@", rest, count=1) if _LOGIN.match(rest) else rest
    place, mark, secret = re.match(r"([^?#]*)([?#]?)(.*)", rest).groups()  # type: ignore[union-attr]
    after = re.search(r"[)\]}.,;:']*$", secret)[0]  # type: ignore[index]  # punctuation of the surrounding sentence
    return scheme + re.sub(r";[^/]+", ";…", place) + (f"{mark}…{after}" if mark else "")
