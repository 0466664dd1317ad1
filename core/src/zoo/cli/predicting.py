"""``zoo predict``: files in, results of the task out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import registry
from zoo.cli import output, saving, sinks
from zoo.cli.checking import check_device, needs_weights, problems_of, read_weights, weights_name
from zoo.cli.helping import reads_options
from zoo.cli.inputs import STDIN, as_paths, is_video_for
from zoo.cli.jobs import Job, Printed
from zoo.cli.options import (
    Categories,
    Compile,
    Device,
    Dtype,
    EngineName,
    Set,
    for_builder,
    for_computing,
    read_options,
)
from zoo.contract import PICTURE_FORMATS, check_screen
from zoo.errors import InvalidArgument, UnreadableFile
from zoo.files import redacted
from zoo.io.folders import find_files
from zoo.io.stored import find_stored, is_stored
from zoo.running.records import NAME, Records, input_of
from zoo.running.sharding import Shard, check_neighbours, distinct, facts_of_inputs, shards_in

FORMATS = (*PICTURE_FORMATS, "none")


WRITE, INPUTS, COMPUTE = "Files to write", "Inputs", "Computing"


@reads_options("predict")
def predict(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, folders, quoted wildcards ('*.jpg'), archives (.tar), URLs, lists of paths (.txt), videos, or "
            "- for standard input.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A model, by any name in a table (resnet50, ResNet50_Weights.IMAGENET1K_V2), or a saved model's file "
            "or folder. By default the task's default model.",
        ),
    ] = None,
    weights: Annotated[str, typer.Option(metavar="WEIGHTS", help="The name of weights, a file or a URL.")] = "DEFAULT",
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Print the N best labels or objects.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, one object per line.")] = False,
    jsonl: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one JSON object per line, as results come.", rich_help_panel=WRITE),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a table with one row per label or object.", rich_help_panel=WRITE),
    ] = None,
    coco: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write detections as a COCO data set.", rich_help_panel=WRITE)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Write pictures of the results to this folder, and a record of each input.",
            rich_help_panel=WRITE,
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            help="The format of the pictures; none writes only records.",
            rich_help_panel=WRITE,
        ),
    ] = "png",
    show: Annotated[
        bool, typer.Option("--show", help="Show each result's picture in a window.", rich_help_panel=WRITE)
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip inputs that have results in --output.", rich_help_panel=WRITE)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing results.", rich_help_panel=WRITE)
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Take only the I-th of N parts; `zoo merge` makes one file of all.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    frame_rate: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="X",
            help="Take X frames per second of a video, for tasks on pictures.",
            rich_help_panel=INPUTS,
        ),
    ] = 1.0,
    batch_size: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Run N inputs through the model together.", rich_help_panel=COMPUTE),
    ] = 8,
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto", help="Open and draw pictures in N threads; 0 uses none.", rich_help_panel=COMPUTE
        ),
    ] = "auto",
    fast_decode: Annotated[
        bool,
        typer.Option(
            "--fast-decode",
            help="Decode JPEG at a reduced size where it is shrunk anyway; results differ slightly.",
            rich_help_panel=COMPUTE,
        ),
    ] = False,
    device: Device = "auto",
    dtype: Dtype = None,
    engine: EngineName = "torch",
    compiled: Compile = False,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK", help="The task, by default the model's main one; without a model, image-classification."
        ),
    ] = None,
    arguments: Set = None,
    categories: Categories = None,
) -> int:
    """Run a model on pictures, or on the other inputs of its task.

    An input that cannot be read, or has no finite result, is reported on stderr, the others still run, and the exit
    status is 1. With --json and --jsonl such an input has "error" instead of results.

    --output DIR gets the tree of the folder that is searched, and predictions.jsonl, a record of each input. If it
    already has results of an input, the command stops before it computes anything: --resume skips those inputs (and so
    continues a run that was interrupted or killed), --overwrite computes them again. No other file is ever replaced:
    dog.png becomes dog-2.png.

    Without --model, the smallest default model of the task whose weights are on this machine is used, and named on
    stderr. Nothing is downloaded for this.

    Inputs are also the pictures in tar archives (WebDataset's layout), at URLs (s3://… with zoo-core[fsspec]), those in
    a list, one per line, and the frames of a video. Standard input (-) is a picture, or such a list. --shard 3/16 takes
    one of 16 parts; all write to one --output, and `zoo merge DIR --output all.jsonl` makes one file of them.

    Examples:
        zoo predict dog.jpg --model resnet50
        zoo predict 'pictures/*.jpg' --task object-detection --output drawn
        zoo predict clip.mp4 --model ssdlite320_mobilenet_v3_large --frame-rate 2
        zoo predict pictures --model resnet50.IMAGENET1K_V1 --json --top 1
        cat dog.jpg | zoo predict - --model resnet50
    """
    if model is None:
        if weights != "DEFAULT":
            raise typer.BadParameter("--weights needs --model, whose weights they are.")
        chosen = registry.default_model(task)
        output.say(chosen, err=True)
        model, weights = chosen.name, chosen.weights
    info = registry.model_info(model, task=task, weights=weights)  # errors are reported before torch is imported
    spec = registry.get_task(task or info.task, plugin=info.plugin)
    words, options = read_options(context, paths, spec, "predict")
    if not words:
        raise typer.BadParameter("Missing argument 'PATH...'.")
    check_device(device)
    options |= for_builder(arguments, categories)
    threads, computing = _read_workers(workers), for_computing(dtype, engine, compiled)
    if form not in FORMATS:
        raise typer.BadParameter(f"--format is {form!r}; expected one of {', '.join(FORMATS)}.")
    if resume and (overwrite or folder is None):
        raise typer.BadParameter(
            "--resume and --overwrite exclude each other." if folder else "--resume needs --output."
        )
    if show:
        check_screen()
    part = None if shard is None else Shard.parse(shard)
    if part is not None and folder is None:
        raise typer.BadParameter("--shard needs --output, where all shards keep their records.")
    weights = needs_weights(read_weights(info, weights), "of inputs")
    for option, file in (("--jsonl", jsonl), ("--csv", csv), ("--coco", coco)):
        if file is not None:
            sinks.check_target(file, option, resume=resume, overwrite=overwrite)
    if coco is not None and not registry.provides(spec, "coco"):
        raise InvalidArgument(
            f"--coco: the task {spec.name!r} has no detections. Remove the option; --csv has all results."
        )
    printed = Printed(as_json, top, show)
    given_paths = as_paths(words)
    held = [path for path in given_paths if not isinstance(path, str)]  # from standard input
    paths = [str(path) for path in given_paths]
    stored = {path for path in paths if spec.inputs_per_sample == 1 and is_stored(path, spec.suffixes)}
    videos = {path for path in paths if is_video_for(path, spec)}
    missing = problems_of(
        [path for path in paths if (path not in stored or "://" not in path) and not (held and path == STDIN)], spec
    )
    if len(missing) == len(set(paths)) or (missing and len(paths) <= spec.inputs_per_sample):
        for path, problem in missing.items():
            printed.failure(path, problem)
        return printed.finish()
    if spec.inputs_per_sample == 1:
        printed.tell(missing)
    records: Records | None = None
    if folder is not None:
        records = Records(
            folder,
            {
                "model": info.full_name,
                "task": spec.name,
                "weights": _weights_name(info, weights),
                "options": {**options, **computing, "top": top, **({"fast_decode": True} if fast_decode else {})},
                "coco": coco is not None,
                **({} if part is None else {"shard": str(part)}),
            },
            NAME if part is None else part.name_of(NAME),
        )
        _check_neighbours(folder, part, records, paths)
        if not overwrite:
            records.check()
            if not resume and spec.inputs_per_sample == 1 and part is None:
                _check_new(records, _files_in([path for path in paths if path not in stored], spec))
        folder.mkdir(parents=True, exist_ok=True)
    from zoo.io.frames import video_frames
    from zoo.running.pipelines import pipeline

    to_coco = registry.provided(spec, "coco") if coco is not None else None
    ready = pipeline(
        model, weights, device, task=task, workers=threads, fast_decode=fast_decode, **computing, **options
    )
    if not ready.takes_bytes:  # the task may open URLs itself, and a list names files
        stored = {path for path in stored if "://" not in path and not path.lower().endswith(".tar")}
    sources: list[Any] = []
    failed: list[Any] = []
    found_by_search = records.every_output() if records is not None else set()
    # Each path is searched alone, so that an empty folder does not stop the others; pairs need to be searched together.
    if held and not ready.takes_bytes:
        raise InvalidArgument(f"-: the task {spec.name!r} opens files itself, and cannot read standard input.")
    for given in paths if ready.task.inputs_per_sample == 1 else [paths]:
        try:
            if isinstance(given, str) and given in videos:
                sources += video_frames(given, frame_rate)
                continue
            if held and given == STDIN:
                sources.append(held[0])
                continue
            is_one = isinstance(given, str) and given in stored
            found = list(find_stored(str(given), spec.suffixes)) if is_one else ready.expand(given)
        except (InvalidArgument, UnreadableFile) as e:  # a folder that is empty or cannot be read
            failed.append(printed.failure(given, e))
            continue
        if isinstance(given, str) and Path(given).is_dir():  # it may contain earlier results
            found = [source for source in found if Path(source).absolute() not in found_by_search]
        sources += found
    if part is not None and failed:
        return printed.finish()  # shards with different inputs would not be parts of one list
    if records is not None:
        sources = distinct(sources)
        records.facts = {"inputs": facts_of_inputs(sources)}
        if coco is not None:
            records.facts["categories"] = list(ready.weights.read_categories())
    if part is not None and records is not None and folder is not None:
        check_neighbours(folder, part, records.identity, records.facts["inputs"])
        if not overwrite and records.heading.get("inputs", records.facts["inputs"]) != records.facts["inputs"]:
            raise InvalidArgument(
                f"{str(records.path)!r} has another list of inputs: files were added or deleted since. Give another "
                "--output, or --overwrite."
            )
        total, sources = len(sources), list(part.part(sources))
        output.say(f"Shard {part}: {len(sources)} of {total} inputs.", err=True)
    if records is not None and not resume and not overwrite:
        _check_new(records, sources)
    written: list[sinks.Sink] = [] if jsonl is None else [sinks.JsonLines(jsonl)]
    if csv is not None:
        written.append(sinks.Csv(csv))
    if coco is not None:
        written.append(sinks.Coco(coco, ready.weights.read_categories()))
    job = Job(ready, records, written, printed, to_coco, saving.Tree(paths), form, batch_size)
    return job.run(sources, failed, resume=resume, overwrite=overwrite)


def _check_neighbours(folder: Path, part: Shard | None, records: Records, paths: Sequence[str]) -> None:
    """The existing results in the output folder, as far as they can be read without the list of inputs."""
    if part is not None:
        inside = [
            path for path in paths if Path(path).is_dir() and folder.absolute().is_relative_to(Path(path).absolute())
        ]
        if inside:
            raise InvalidArgument(
                f"--output {folder} is in the folder {inside[0]}, whose files the shards share: what one writes "
                "would be an input of the next. Give an --output elsewhere."
            )
        check_neighbours(folder, part, records.identity, None)
    elif any(shards_in(folder).values()):
        raise InvalidArgument(f"{str(folder)!r} has results of a run with --shard. Give another --output.")


def _read_workers(text: str) -> int | str:
    if text == "auto" or text.isdecimal():
        return text if text == "auto" else int(text)
    raise typer.BadParameter(f"--workers is {text!r}; expected a whole number from 0 on, or auto.")


def _files_in(paths: Sequence[str], spec: Any) -> Iterator[str | Path]:
    for path in paths:
        if Path(path).is_dir():
            yield from find_files(path, spec.suffixes, notes=[])
        else:
            yield path


def _check_new(records: Records, sources: Any) -> None:
    """Raise if some inputs have results in the folder."""
    outputs = records.every_output()
    there = [source for source in sources if records.is_done(source) and Path(_first(source)).absolute() not in outputs]
    if there:
        more = f" and {output.counted(len(there) - 1, 'other input')}" if len(there) > 1 else ""
        raise InvalidArgument(
            f"{str(records.folder)!r} has results of {_first(there[0])}{more} already. --resume skips those,"
            " --overwrite computes them again; or give another --output."
        )


def _first(source: Any) -> str:
    found = input_of(source)
    return found if isinstance(found, str) else found[0]


def _weights_name(info: registry.ModelInfo, weights: str) -> str:
    """What identifies weights: their name; for a file its contents."""
    file = Path(info.source if info.source is not None else weights)
    if weights == "DEFAULT" and info.source is None:
        return info.default_weights or weights
    if weights_name(info, weights) in info.weights and info.source is None:
        return weights_name(info, weights)
    if not file.is_file():
        return redacted(str(file) if info.source is not None else weights)
    import hashlib  # its import takes as long as the rest

    with file.open("rb") as f:
        return f"{file.name} sha256:{hashlib.file_digest(f, 'sha256').hexdigest()}"
