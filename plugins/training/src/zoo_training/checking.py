"""What would stop a run later, told before its first step."""

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
ENDS = {b"\x89PNG": b"IEND\xaeB`\x82", b"\xff\xd8\xff": b"\xff\xd9"}  # of PNG and JPEG files that are whole


def check_readers(readers: tuple[Any, Any]) -> None:
    """Raise InvalidArgument if a part or a class is empty, or an input cannot be read.

    Pictures are opened as far as their headers, and their ends are looked at; what does not end as a PNG or JPEG file
    does is decoded. Examples that are no files are read. What is true of them, readers check themselves.
    """
    for what, reader in zip(("train", "validate"), readers, strict=True):
        if not len(reader):
            raise InvalidArgument(f"There is nothing to {what} on: the data set is empty.")
    if empty := [name for name, number in readers[0].counts().items() if not number]:
        raise InvalidArgument(f"These classes have nothing to train on: {', '.join(empty)}.")
    bad = []
    for reader in readers:
        for i in range(len(reader)):
            try:
                _check_example(reader, i)
            except UnreadableFile as e:
                bad.append(str(e))
    if bad:
        raise InvalidArgument(
            f"The data cannot be used ({len(bad)} problems): {len(bad)} inputs cannot be read; mend or remove them:\n"
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
    """Whether a picture opens, and ends as its format does."""
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
    """Raise InvalidArgument, with the inputs' names, if the task finds the first batch not fit to be trained on."""
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
    """Raise InvalidArgument if batches of one example come up, and the model's norms cannot be trained on them."""
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
        left = f"{len(loop.data[0])} examples leave one over for a process, with a batch_size of {loop.batch_size}"
        why = "batch_size is 1" if loop.batch_size == 1 else left
        raise InvalidArgument(
            f"{type(loop.model).__name__} has batch norms that see one value of each channel, and cannot be trained on "
            f"batches of one example; {why}. Take another batch_size (--batch-size), of 2 or more, or freeze the part."
        ) from e
    finally:
        for name, buffer in loop.model.named_buffers():
            buffer.copy_(before[name])
        for name, module in loop.model.named_modules():
            module.training = modes[name]


def _batch(loop: Loop, indices: Sequence[int]) -> tuple[Any, Any]:
    """A batch as the loop's first epoch begins with it."""
    dataset = loop.examples(0)
    found: tuple[Any, Any] = loop.task.collate([dataset[i] for i in indices])
    return found


def check_folder(folder: Path, checkpoint: str, resume: bool) -> None:
    """Raise InvalidArgument if ``folder`` is not the place for a new run, or to go on."""
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument(f"output: {folder} is a file; expected a folder.")
    if resume and not (folder / checkpoint).exists() and any(folder.glob("*")):
        raise InvalidArgument(f"output: {folder} has no {checkpoint} to go on from.")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise InvalidArgument(f"output: {folder} is not empty. Go on with resume (--resume), or name another folder.")
