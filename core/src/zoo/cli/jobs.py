"""The work of ``zoo predict``: runs inputs through a pipeline, then prints, draws, records and writes the results."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.cli import output, saving
from zoo.cli.sinks import Sink
from zoo.contract import show_picture
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.running.records import Records, input_of, stamps_of

WRITERS = 4  # threads that draw and compress, at most

Made = tuple[Any, Any, list[Path], Any]  # source, result or error, files that were written, what COCO's format needs


class Noted(Sequence[Any]):
    """Inputs. When an input is taken, just before it is opened, :attr:`stamps` records the state of its files."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self.sources = sources
        self.stamps: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, i: Any) -> Any:
        return self.sources[i]

    def __iter__(self) -> Iterator[Any]:
        for source in self.sources:
            self.stamps.append(stamps_of(source))
            yield source


class Job:
    """Runs inputs through a pipeline and writes the results.

    Args:
        ready: the pipeline.
        records: the records of the output folder, if there is one.
        sinks: files that get one row per input.
        printed: stdout and stderr.
        to_coco: result → what COCO's format needs of it.
        tree: where in the output folder the pictures go.
        form: their format, or none.
    """

    def __init__(
        self,
        ready: Any,
        records: Records | None,
        sinks: Sequence[Sink],
        printed: Printed,
        to_coco: Any,
        tree: saving.Tree,
        form: str,
        batch_size: int,
    ) -> None:
        self.ready, self.records, self.sinks, self.printed, self.to_coco = ready, records, sinks, printed, to_coco
        self.tree, self.form, self.batch_size = tree, form, batch_size
        self.scratch: Path | None = None

    def run(self, sources: Sequence[Any], failed: Sequence[Any] = (), *, resume: bool, overwrite: bool) -> int:
        """Returns the exit status.

        Args:
            sources: the inputs.
            failed: rows for folders that could not be searched for inputs.
            resume: skip inputs that have results in the records.
            overwrite: start new records.
        """
        records = self.records
        done = {i for i, source in enumerate(sources) if resume and records is not None and records.is_done(source)}
        left = [source for i, source in enumerate(sources) if i not in done]
        if done:
            output.say(f"{len(done)} of {len(sources)} inputs have results already.", err=True)
        finished, noted = 0, Noted(left)
        with contextlib.ExitStack() as opened:
            if records is not None:
                records.begin(overwrite=overwrite)
                opened.callback(records.close)
                if self.form != "none":
                    temporary = tempfile.TemporaryDirectory(dir=records.folder, prefix=".zoo-")
                    self.scratch = Path(opened.enter_context(temporary))
            for sink in self.sinks:
                sink.begin()
                for row in failed:
                    sink.row(row, None)
            results = opened.enter_context(contextlib.closing(self._results(noted)))
            try:
                for i, source in enumerate(sources):
                    if i in done and records is not None:
                        self._repeat(records.read(source), records.outputs(source))
                    else:
                        self._add(*next(results), noted.stamps.popleft())
                    finished += 1
            except KeyboardInterrupt as e:
                if records is None:
                    raise
                raise KeyboardInterrupt(
                    f"{finished} of {len(sources)} inputs have results; the same command with --resume does the others."
                ) from e
            for sink in self.sinks:
                sink.finish()
        return self.printed.finish()

    def _results(self, left: Sequence[Any]) -> Generator[Made, None, None]:
        """The result of each input, drawn and compressed in threads."""
        from zoo.running.ahead import ahead, count_workers
        from zoo.running.streaming import PROGRESS_FROM

        # The bar is shown only if results are not printed as they come.
        quiet = not output.on_terminal(sys.stderr) or (output.on_terminal() and len(left) >= PROGRESS_FROM)
        stream: Generator[Any, None, None] = self.ready.stream(
            left, batch_size=self.batch_size, progress=False if quiet else None
        )
        threads = min(count_workers(self.ready.workers, len(left)), WRITERS) if self.scratch else 0
        made = ahead(self._make, stream, threads=threads, limit=2 * threads, eager=False)
        with contextlib.closing(stream), contextlib.closing(made):
            yield from made

    def _make(self, pair: tuple[Any, Any]) -> Made:
        """In a thread: the files that a result saves, in a temporary folder."""
        source, result = pair
        if isinstance(result, Exception):
            return source, result, [], None
        made: list[Path] = []
        try:
            if self.scratch is not None:
                made = saving.save(result, self.scratch, self.tree.place_of(source)[1], self.form, self.ready.task.name)
            return source, result, made, None if self.to_coco is None else self.to_coco(result)
        except UnreadableFile as e:  # it was deleted or changed before it was drawn
            return source, e, [], None

    def _add(self, source: Any, result: Any, made: list[Path], coco: Any, stamps: Any) -> None:
        targets: list[Path] = []
        if isinstance(result, Exception):
            row = self.printed.failure(source, result)
        else:
            if made and self.records is not None:
                within, stem = self.tree.place_of(source)
                targets = saving.place(made, self.records.folder / within, stem, self.records.outputs(source))
            row = self.printed.result(source, result, targets)
        if self.records is not None:
            more = {} if coco is None else {"coco": coco}
            self.records.add(source, stamps, row, targets, **more)
        for sink in self.sinks:
            sink.row(row, coco)

    def _repeat(self, record: Mapping[str, Any], outputs: Sequence[Path]) -> None:
        """Report an input that had a result before."""
        row = {**record["row"], **({"output": [str(path) for path in outputs]} if outputs else {})}
        self.printed.row(row)
        for sink in self.sinks:
            sink.row(row, record.get("coco"))


class Printed:
    """What has been printed so far: as text, or as one JSON array that grows line by line."""

    def __init__(self, as_json: bool, top: int, show: bool = False) -> None:
        self.as_json, self.top, self.show = as_json, top, show
        self.failed = 0
        self.printed = 0
        self.told: set[str] = set()

    def tell(self, problems: Mapping[str, Exception]) -> None:
        """Report on stderr what is wrong with some inputs, before the others run."""
        for path, e in problems.items():
            output.print_error(str(e))
            self.told.add(path)

    def failure(self, source: object, e: Exception) -> dict[str, Any]:
        """Returns the row of it."""
        self.failed += 1
        text, name = str(e), " ".join(_files(source))
        if name not in self.told:
            output.print_error(text if name in text else f"{name}: {text}")
        row = {"input": input_of(source), "error": text}
        self.row(row)
        return row

    def result(self, source: object, result: Any, written: list[Path]) -> dict[str, Any]:
        """Returns the row of it."""
        paths = {"output": [str(path) for path in written]} if written else {}
        row = {"input": input_of(source), **result.to_dict(self.top), **paths}
        self.row(row)
        if self.show:
            try:
                show_picture(result.draw(), " ".join(_files(source)))
            except NotImplementedError as e:  # zoo.Result's own draw()
                raise InvalidArgument("--show: results of this task are not drawn; remove the option.") from e
        if self.as_json:
            return row
        name = output.paint(" ".join(_files(source)), bold=True)
        lines = [*result.lines(self.top), *(f"→ {p}" for p in written)]
        if len(lines) == 1:
            output.say(name, lines[0], sep="  ")
        else:
            output.say(output.Painted("\n" * bool(self.printed)), name, sep="")
            for line in lines:
                output.say(" ", line)
        self.printed += 1
        return row

    def row(self, row: Mapping[str, Any]) -> None:
        if self.as_json:
            print(",\n" if self.printed else "[\n", output.as_json(row), sep="", end="", flush=True)
            self.printed += 1

    def finish(self) -> int:
        if self.as_json:
            print("\n]" if self.printed else "[]")
        return int(self.failed > 0)


def _files(source: Any) -> list[str]:
    """The files that make one input: one, or those of a tuple."""
    return [str(file) for file in (source if isinstance(source, list | tuple) else [source])]
