"""``zoo.push_to_hub``: a model, its card and pictures of its predictions, as a repository on the hub."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import files as zoo_files
from zoo.contract import Preset
from zoo.errors import InvalidArgument, MissingPlugin, OfflineError, UploadError
from zoo_training import saved as files
from zoo_training.cards import CARD, PICTURES, WRITTEN, model_card, pictures_in

if TYPE_CHECKING:
    from torch import nn

MODEL = "model.safetensors"  # the file that hf://org/name loads
FIGURES = "metrics.csv"  # marks a folder of zoo train
_PART = r"[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?"


@dataclass(frozen=True)
class Published:
    """The result of :func:`push_to_hub`.

    Attributes:
        repository: ``org/name``.
        files: the files of this model in it.
        folder: output folder of a dry run; None if the files were pushed.
        commit: commit on the hub, and ``url`` its page; None if nothing was pushed.
        notes: further remarks.
    """

    repository: str
    files: tuple[str, ...]
    folder: Path | None = None
    commit: str | None = None
    url: str | None = None
    notes: tuple[str, ...] = ()


def push_to_hub(
    model: nn.Module | str | os.PathLike[str],
    repository: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    message: str | None = None,
    dry_run: bool = False,
    output: str | os.PathLike[str] | None = None,
    replace: bool = False,
    license: str | None = None,  # noqa: A002  the name in zoo.Weights
    data: str | None = None,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    categories: Sequence[str] | None = None,
    transforms: Preset | None = None,
    pictures: Sequence[str | os.PathLike[str]] | None = None,
    card: str | os.PathLike[str] | None = None,
) -> Published:
    """Push a model to the hub: ``zoo.push_to_hub("runs/a", "org/name")``; ``zoo.get_model("hf://org/name")`` loads it.

    Pushing to an existing repository adds a commit. Its card is kept if zoo did not write it.

    Args:
        model: a built model; or a file of ``zoo.save`` or ``zoo train``, or the folder of a run.
        repository: ``org/name``.
        private: make a new repository private; by default the organisation's setting.
        revision: the branch, created if it does not exist; by default ``main``.
        token: by default ``HF_TOKEN``, or the token of ``hf auth login``.
        message: commit message.
        dry_run: write the files to ``output``, without network access.
        output: folder of a dry run, which must not exist; by default ``name`` in the current folder.
        replace: also replace a ``model.safetensors`` in a repository whose card zoo did not write.
        license: licence of the weights, such as ``"mit"``; by default the file's.
        data: the training data set, ``org/name`` if it is on the hub.
        metrics: data set → metric → value; by default the file's.
        categories, transforms: as for :func:`zoo.save`, for a built model.
        pictures: files that the card shows; by default those in the folder of the run.
        card: a file to use instead of the generated card.

    Raises:
        InvalidArgument: the repository's name is invalid, a file does not exist, or ``output`` exists.
        CheckpointError: the file is not a saved model.
        OfflineError: ``ZOO_OFFLINE`` is set.
        UploadError: no token, no write access, another model in the repository; or an error of the hub. Nothing was
            pushed.
    """
    name = _repository(repository)
    target = Path(name.partition("/")[2] if output is None else output)
    if output is not None and not dry_run:
        raise InvalidArgument("output is the folder of a dry run; also give dry_run=True (--dry-run), or omit it.")
    if dry_run and (target.exists() or target.is_symlink()):
        raise InvalidArgument(f"{target} already exists. Choose another folder with output (--output).")
    if dry_run and not target.absolute().parent.is_dir():
        raise InvalidArgument(f"The folder {target.absolute().parent} does not exist.")
    if isinstance(model, str | os.PathLike):
        files.find(model)  # its errors are raised first
    hub = None if dry_run else _Hub(name, revision, token)
    with tempfile.TemporaryDirectory(prefix="zoo-push-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "repository"
        folder.mkdir()
        own = None if card is None else Path(card)
        notes = _prepare(folder, model, name, license, data, metrics, categories, transforms, pictures, own)
        written = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
        if hub is None:
            shutil.copytree(folder, target)
            return Published(name, written, target, notes=tuple(notes))
        left = hub.prepare(private, replace, keep_card=card is None)
        written = tuple(path for path in written if path not in left)
        commit, url = hub.push(folder, written, message or f"{MODEL}, written by zoo")
        return Published(name, written, None, commit, url, (*notes, *hub.notes))


def _repository(given: str) -> str:
    name = given.removeprefix("hf://") if isinstance(given, str) else ""
    wrong = not re.fullmatch(f"{_PART}/{_PART}", name, re.ASCII) or len(name) > 96
    if wrong or "--" in name or ".." in name or name.endswith(".git"):
        raise InvalidArgument(
            f"{given!r} is not a valid repository name; expected 'org/name', of letters, digits, '-', '_' and '.', up "
            "to 96 characters in all. Give a branch with revision (--revision)."
        )
    return name


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────────────


def _prepare(
    folder: Path,
    model: nn.Module | str | os.PathLike[str],
    name: str,
    license: str | None,  # noqa: A002
    data: str | None,
    metrics: Mapping[str, Mapping[str, float]] | None,
    categories: Sequence[str] | None,
    transforms: Preset | None,
    pictures: Sequence[str | os.PathLike[str]] | None,
    card: Path | None,
) -> list[str]:
    """Write the files of the repository; return notes."""
    shown = [Path(picture) for picture in pictures or ()]
    for path in [*shown, *([card] if card is not None else [])]:
        if not path.is_file():
            raise InvalidArgument(f"The file {str(path)!r} does not exist.")
    if strange := [str(path) for path in shown if path.suffix.lower() not in PICTURES]:
        raise InvalidArgument(f"{', '.join(strange)}: expected pictures, {', '.join(PICTURES)}.")
    extra = {} if data is None else {"data": data}
    if isinstance(model, str | os.PathLike):
        if categories is not None or transforms is not None:
            raise InvalidArgument(
                "categories and transforms are stored in the file; give them with a built model, or to zoo.save."
            )
        about, source = files.find(model)
        if pictures is None and (source.parent / FIGURES).is_file():
            shown = pictures_in(source.parent)
        changed: dict[str, Any] = {} if license is None else {"license": license}
        changed |= {} if metrics is None else {"metrics": {key: dict(values) for key, values in metrics.items()}}
        changed |= {"extra": {**about.weights.extra, **extra}} if extra else {}
        files.restated(source, folder / MODEL, {}, changed)
    else:
        from torch import nn

        from zoo.loading import save

        if not isinstance(model, nn.Module):
            raise InvalidArgument(f"model is {model!r}; expected a model, or the path of a file or folder.")
        save(
            model, folder / MODEL, categories=categories, metrics=metrics, license=license, transforms=transforms,
            extra=extra,
        )  # fmt: skip
    about, _ = files.find(folder / MODEL)
    links = []
    for path in shown:
        (folder / "pictures").mkdir(exist_ok=True)
        link = f"pictures/{path.name}"
        if link in links:
            raise InvalidArgument(f"Two pictures are called {path.name!r}; rename one.")
        shutil.copyfile(path, folder / link)
        links.append(link)
    text = model_card(about, name=name.partition("/")[2], load=f"hf://{name}", pictures=links)
    (folder / CARD).write_text(text if card is None else card.read_text(encoding="utf-8"), encoding="utf-8")
    notes = []
    if about.weights.license == "unknown" and card is None:
        notes.append("No licence is stated: others may not use the weights. Give license (--license mit).")
    if not about.weights.metrics:
        notes.append("The file and so the card have no metrics: zoo evaluate measures them, metrics= sets them.")
    return notes


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Hub:
    """A repository on the hub, with write access."""

    def __init__(self, repository: str, revision: str | None, token: str | None) -> None:
        self.repository, self.revision, self.notes = repository, revision or "main", list[str]()
        if zoo_files.offline():
            raise OfflineError(
                f"ZOO_OFFLINE is set, so that nothing is pushed to {repository}. Unset it, or use dry_run=True "
                "(--dry-run) to only write the files."
            )
        endpoint = os.environ.get("HF_ENDPOINT") or None
        zoo_files.policy().check_address(endpoint or "https://huggingface.co")
        try:
            import huggingface_hub.constants
        except ModuleNotFoundError as e:
            if e.name != "huggingface_hub":
                raise
            raise MissingPlugin("Pushing needs huggingface-hub: pip install 'zoo-training[hub]'") from None
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise OfflineError(f"HF_HUB_OFFLINE is set, so that nothing is pushed to {repository}. Unset it.")
        self.token = token or huggingface_hub.get_token()
        if not self.token and endpoint is None:
            raise self.no_token()
        self.api: Any = huggingface_hub.HfApi(endpoint=endpoint, token=self.token)

    def no_token(self) -> UploadError:
        return UploadError(
            f"There is no token to push to {self.repository}. Create one with write access in the settings of the hub, "
            "and provide it with `hf auth login`, HF_TOKEN=…, or token=…."
        )

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Convert errors of the hub's library and of its HTTP library to UploadError.

        They are not chained, since they contain signed URLs.
        """
        try:
            yield
        except Exception as e:  # noqa: BLE001
            if _status(e) == 401 and not self.token:
                raise self.no_token() from None
            raise UploadError(f"{self.repository} was not pushed: {_reason(e, self.repository)}.") from None

    def info(self, revision: str | None = None) -> Any:
        """The hub's information on the repository, or on a branch; None if it does not exist."""
        with self.asked():
            try:
                return self.api.model_info(self.repository, revision=revision)
            except Exception as e:  # the class differs between versions
                if _status(e) != 404:
                    raise
        return None

    def prepare(self, private: bool | None, replace: bool, keep_card: bool) -> set[str]:
        """Create the repository and the branch if they do not exist; return the files that must not be pushed.

        Raises:
            UploadError: no write access, or the repository contains a model that must not be replaced.
        """
        about = self.info()
        new = about is None
        if private and not new and not about.private:
            raise UploadError(
                f"{self.repository} already exists and is public; private (--private) applies to new ones. Make it "
                "private in its settings first, or push to another name."
            )
        if new:
            with self.asked():
                self.api.create_repo(self.repository, private=private, repo_type="model", exist_ok=True)
        else:
            self.notes.append(f"{self.repository} already existed: a commit was added to {self.revision}.")
        if self.revision != "main":
            about = self.info(self.revision)
            if about is None:
                with self.asked():
                    self.api.create_branch(self.repository, branch=self.revision, exist_ok=True)
                about = self.info(self.revision)
        there = {file.rfilename for file in about.siblings or ()} if about is not None else set()
        own = CARD in there and not self._is_ours(str(about.sha))
        if MODEL in there and (own or CARD not in there) and not replace:
            raise UploadError(
                f"{self.repository} has a {MODEL} without a card written by zoo: it may be another model. Push to "
                "another name, or use replace=True (--replace) to replace it."
            )
        if own and keep_card:
            self.notes.append(f"The card of {self.repository} was not written by zoo, and was not changed.")
            return {CARD}
        return set()

    def _is_ours(self, commit: str) -> bool:
        with self.asked():
            path = self.api.hf_hub_download(self.repository, CARD, revision=commit)
        return WRITTEN in Path(path).read_text(encoding="utf-8", errors="replace")

    def push(self, folder: Path, paths: Sequence[str], message: str) -> tuple[str, str]:
        from huggingface_hub import CommitOperationAdd

        with self.asked():
            done = self.api.create_commit(
                self.repository,
                [CommitOperationAdd(path, str(folder / path)) for path in paths],
                commit_message=message,
                revision=self.revision,
            )
        return str(done.oid), f"{self.api.endpoint}/{self.repository}"


def _status(e: BaseException | None) -> int | None:
    """The hub's response, from an error or its cause."""
    while e is not None:
        status = getattr(getattr(e, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        e = e.__cause__
    return None


def _reason(e: Exception, repository: str) -> str:
    status, organisation = _status(e), repository.partition("/")[0]
    said = {
        401: "the hub does not accept the token. Provide another with `hf auth login`, HF_TOKEN=… or token=…",
        403: f"the token has no write access to {organisation}. It needs write access, and its owner must be a member",
        404: f"the hub has no such repository, or no {organisation}",
        409: "someone else has pushed meanwhile; try again",
        413: "a file exceeds the size limit of the hub",
        429: "the hub limits the number of requests (429); try again later",
    }
    if status is not None:
        return said.get(status, f"the hub answered {status}")
    sentence = re.split(r"(?<=\w)[.:;]?(?:\s*\n|\.\s)", str(e).strip(), maxsplit=1)[0]
    return f"{type(e).__name__}: {zoo_files.redacted(sentence)}".rstrip(" .:")
