"""``zoo predict``: files in, labels (or whatever the task finds) out."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo import registry
from zoo.cli import output
from zoo.cli.checking import check_weights, problems_of
from zoo.cli.options import Categories, Set, for_builder, read_options
from zoo.errors import InvalidArgument, UnreadableFile

if TYPE_CHECKING:
    from zoo.contract import Result


def predict(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, or folders to search for them.")],
    model: Annotated[str, typer.Option(help="A name, as `zoo list` shows it, or a saved model's file or folder.")],
    weights: Annotated[str, typer.Option(help="An entry's name, a file or a URL.")] = "DEFAULT",
    top: Annotated[int, typer.Option(min=1, help="How many labels to print.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, an object a line.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Write pictures of the results there, as PNG.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="How many inputs go through the model together.")] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; auto takes the best there is.")] = "auto",
    task: Annotated[str | None, typer.Option(help="By default the model's main one.")] = None,
    arguments: Set = None,
    categories: Categories = None,
) -> int:
    """What a model sees in pictures, or whatever it takes.

    An input that cannot be read, or has no finite result, is named on stderr, the others go on, and the exit status is
    1. With --json such an input has "error" in place of results. --output never writes over a file that is there:
    dog.png becomes dog-2.png.
    Tasks have options of their own, such as --clips 4 of video classification.
    """
    info = registry.model_info(model)  # what can be told is told before torch is imported
    spec = registry.get_task(task or info.task, plugin=info.plugin)
    paths, options = read_options(context, paths, spec, "predict")
    if not paths:
        raise typer.BadParameter("Missing argument 'PATH...'.")
    options |= for_builder(arguments, categories)
    if info.source is None:
        check_weights(info, weights)
    printed = _Printed(as_json, top)
    missing = problems_of(paths, spec)
    if len(missing) == len(set(paths)) or (missing and len(paths) <= spec.inputs_per_sample):
        for path, problem in missing.items():
            printed.failure(path, problem)
        return printed.finish()
    if spec.inputs_per_sample == 1:
        printed.tell(missing)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    from zoo.running.pipelines import pipeline
    from zoo.running.streaming import PROGRESS_FROM

    ready = pipeline(model, weights, device, task=task, **options)
    sources: list[Any] = []
    # Each path is searched by itself, so that one empty folder does not end the others; pairs need to be seen together.
    for given in paths if ready.task.inputs_per_sample == 1 else [paths]:
        try:
            sources += ready.expand(given)
        except (InvalidArgument, UnreadableFile) as e:  # an empty folder, or one that cannot be read
            printed.failure(given, e)
    # A bar is for those who see no results on the way.
    quiet = not output.on_terminal(sys.stderr) or (output.on_terminal() and len(sources) >= PROGRESS_FROM)
    for source, result in ready.stream(sources, batch_size=batch_size, progress=False if quiet else None):
        if isinstance(result, Exception):
            printed.failure(source, result)
        else:
            stem = "-".join(Path(file).stem for file in _files(source))
            try:
                written = _write(result, folder, stem) if folder is not None else []
            except NotImplementedError as e:  # zoo.Result's own draw()
                raise InvalidArgument(
                    f"--output: the task {ready.task.name!r} draws no pictures; leave it out, or use --json."
                ) from e
            printed.result(source, result, written)
    return printed.finish()


class _Printed:
    """What has been printed so far: as text, or as one JSON array that grows line by line."""

    def __init__(self, as_json: bool, top: int) -> None:
        self.as_json, self.top = as_json, top
        self.failed = 0
        self.printed = 0
        self.told: set[str] = set()

    def tell(self, problems: Mapping[str, Exception]) -> None:
        """Say on stderr what is wrong with some inputs, ahead of their turn."""
        for path, e in problems.items():
            output.print_error(str(e))
            self.told.add(path)

    def failure(self, source: object, e: Exception) -> None:
        self.failed += 1
        text, name = str(e), " ".join(_files(source))
        if name not in self.told:
            output.print_error(text if name in text else f"{name}: {text}")
        if self.as_json:
            self._element({"input": _as_json(source), "error": text})

    def result(self, source: object, result: Any, written: list[Path]) -> None:
        if self.as_json:
            paths = {"output": [str(path) for path in written]} if written else {}
            self._element({"input": _as_json(source), **result.to_dict(self.top), **paths})
            return
        name = output.paint(" ".join(_files(source)), bold=True)
        lines = [*result.lines(self.top), *(f"→ {p}" for p in written)]
        if len(lines) == 1:
            output.say(name, lines[0], sep="  ")
        else:
            output.say(output.Painted("\n" * bool(self.printed)), name, sep="")
            for line in lines:
                output.say(" ", line)
        self.printed += 1

    def finish(self) -> int:
        if self.as_json:
            print("\n]" if self.printed else "[]")
        return int(self.failed > 0)

    def _element(self, value: dict[str, Any]) -> None:
        print(",\n" if self.printed else "[\n", output.as_json(value), sep="", end="", flush=True)
        self.printed += 1


def _files(source: Any) -> list[str]:
    """The files that make one input: one, or those of a tuple."""
    return [str(file) for file in (source if isinstance(source, list | tuple) else [source])]


def _as_json(source: Any) -> str | list[str]:
    files = _files(source)
    return files if isinstance(source, list | tuple) else files[0]


def _write(result: Result, folder: Path, stem: str) -> list[Path]:
    """Write the files that a result saves, under a name that is free: ``dog.png``, or ``dog-2.png``."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".zoo-") as scratch:
        made = result.save(Path(scratch), stem)
        for name in (stem if n == 1 else f"{stem}-{n}" for n in itertools.count(1)):
            targets = [folder / f"{name}{file.name.removeprefix(stem)}" for file in made]
            taken: list[Path] = []
            try:
                for target in targets:
                    target.touch(exist_ok=False)  # whoever else writes there finds the name taken
                    taken.append(target)
            except FileExistsError:
                for target in taken:
                    target.unlink()
                continue
            for file, target in zip(made, targets, strict=True):
                file.replace(target)
            return targets
    raise AssertionError  # the names do not end
