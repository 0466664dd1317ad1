"""Checks of data, model and folder before the first step of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from zoo.contract import Examples
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.io import opened
from zoo_training.loop import Loop, placed
from zoo_training.sampling import shares

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".apng")
ENDS = {b"\x89PNG": b"IEND\xaeB`\x82", b"\xff\xd8\xff": b"\xff\xd9"}  # last bytes of complete PNG and JPEG files


def check_readers(readers: tuple[Any, Any]) -> None:
    """Raise InvalidArgument if a split or a class is empty, or an input cannot be read.

    Only the header and the end of pictures are read; pictures without the usual end of a PNG or JPEG file are decoded.
    Examples that are not files are read. Readers check targets themselves.
    """
    for what, reader in zip(("train", "validate"), readers, strict=True):
        if not len(reader):
            raise InvalidArgument(f"There is no data to {what} on: the data set is empty.")
    if empty := [name for name, number in readers[0].counts().items() if not number]:
        raise InvalidArgument(f"These classes have no training examples: {', '.join(empty)}.")
    bad = []
    for reader in readers:
        for i in range(len(reader)):
            try:
                _check_example(reader, i)
            except UnreadableFile as e:
                bad.append(str(e))
    if bad:
        raise InvalidArgument(
            f"The data cannot be used ({len(bad)} problems): {len(bad)} inputs cannot be read; repair or remove them:\n"
            + "\n".join(bad[:20])
        )


def _check_example(reader: Any, i: int) -> None:
    source = reader.source(i) if isinstance(reader, Examples) else None
    files = [Path(file) for file in (source if isinstance(source, tuple) else (source,)) if file is not None]
    if (
        not files
        or not all(file.is_file() for file in files)
        or any(file.suffix.lower() in PICTURES and not _is_whole(file) for file in files)
    ):
        reader[i]
    elif any(not file.stat().st_size for file in files):
        raise UnreadableFile(f"{str(files[0])!r} is empty.")


def _is_whole(file: Path) -> bool:
    """Whether a picture opens, and has the end of its format."""
    if not file.is_file():
        return False
    with opened(file):
        pass
    with file.open("rb") as f:
        start = f.read(4)
        f.seek(max(0, file.stat().st_size - 64))
        last = f.read()
    return any(start.startswith(begin) and end in last for begin, end in ENDS.items())


def check_first_batch(loop: Loop, categories: Sequence[str]) -> None:
    """Raise InvalidArgument, with the names of the inputs, if the first batch cannot be used for training."""
    indices = next(shares(loop.steps[0], loop.accumulate, loop.rank, loop.world)).indices
    arguments, targets = _batch(loop, indices)
    check: Callable[..., None] | None = getattr(loop.task, "check", None)
    if check is None:
        return
    try:
        check(loop.model, *placed((arguments, targets), loop.device), categories)
    except InvalidArgument as e:
        names = ", ".join(str(loop.data[0].source(i)) for i in indices)
        raise InvalidArgument(f"The first batch cannot be trained on: {e}\nIts inputs: {names}") from e


def check_batches_of_one(loop: Loop) -> None:
    """Raise InvalidArgument if a batch has one example and the model's norms cannot be trained on it."""
    sizes = {
        len(share.indices)
        for step in loop.steps
        for rank in range(loop.world)
        for share in shares(step, loop.accumulate, rank, loop.world)
    }
    if min(sizes) > 1:
        return
    arguments, targets = placed(_batch(loop, loop.steps[0][:1]), loop.device)
    before = {name: value.clone() for name, value in loop.model.named_buffers()}
    modes = {name: module.training for name, module in loop.model.named_modules()}
    try:
        loop.model.train()
        for module in loop.frozen:
            module.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            loop.task.loss(loop.model, arguments, targets)
    except ValueError as e:
        if "more than 1 value per channel" not in str(e):
            raise
        left = f"{len(loop.data[0])} examples leave one remaining for a process, with a batch_size of {loop.batch_size}"
        why = "batch_size is 1" if loop.batch_size == 1 else left
        raise InvalidArgument(
            f"{type(loop.model).__name__} has batch norms with one value per channel, which cannot be trained on "
            f"batches of one example; {why}. Use a batch_size (--batch-size) of at least 2, or freeze this part."
        ) from e
    finally:
        for name, buffer in loop.model.named_buffers():
            buffer.copy_(before[name])
        for name, module in loop.model.named_modules():
            module.training = modes[name]


def _batch(loop: Loop, indices: Sequence[int]) -> tuple[Any, Any]:
    """The first batch of the loop's first epoch."""
    dataset = loop.examples(0)
    found: tuple[Any, Any] = loop.task.collate([dataset[i] for i in indices])
    return found


def check_folder(folder: Path, checkpoint: str, resume: bool) -> None:
    """Raise InvalidArgument if ``folder`` cannot be used for a new run, or to resume one."""
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument(f"output: {folder} is a file; expected a folder.")
    if resume and not (folder / checkpoint).exists() and any(folder.glob("*")):
        raise InvalidArgument(f"output: {folder} has no {checkpoint} to resume from.")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise InvalidArgument(
            f"output: {folder} is not empty. Use resume (--resume) to continue its run, or choose another folder."
        )
