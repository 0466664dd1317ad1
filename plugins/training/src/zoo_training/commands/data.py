"""``zoo data show``: show the contents of a data set before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import cli, registry


def data(
    action: Annotated[
        str, typer.Argument(metavar="show", help="The action: show, which prints counts and draws a contact sheet.")
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder or file of the data.")],
    task: Annotated[
        str, typer.Option(metavar="TASK", help="The task, such as object-detection; `zoo tasks` lists them.")
    ],
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The ground truth, if it is elsewhere.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="The format: folders, csv, coco, voc, yolo, masks or flow.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a contact sheet to this file.", show_default=False)
    ] = None,
    examples: Annotated[int, typer.Option(min=1, metavar="N", help="Number of examples on the sheet.")] = 16,
    val: Annotated[float, typer.Option(metavar="X", help="Validation share, if folders do not split the data.")] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the split, and of the examples on the sheet.")] = 0,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN", help="Keep names with the same match on the same side of the split.", show_default=False
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help='Argument of the reader: \'mapping={"0": 0, "255": 1}\'.'),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show the contents of a data set: examples, counts by category for training and validation, and problems.

    \b
    Task            Formats
    classification  folders: one per class; csv: path,label
    and video
    detection       coco: a JSON file; voc: XML files; yolo: text files;
                    csv: path,label,xmin,ymin,xmax,ymax
    segmentation    masks: one PNG per picture, whose pixels are classes
    optical flow    flow: .flo files, or KITTI's PNGs, for pairs of frames

    --output writes a contact sheet with the ground truth drawn. An existing file is not replaced.

    Examples:
        zoo data show flowers --task image-classification
        zoo data show coco --task object-detection --annotations instances.json --output sheet.png
    """
    if action != "show":
        raise typer.BadParameter(f"Unknown action {action!r}; expected show.")
    if output is not None and output.exists():
        raise typer.BadParameter(f"{str(output)!r} already exists; choose another --output.")
    cli.check_there("PATH", path)
    cli.check_there("--annotations", annotations)
    registry.get_task(task)
    chosen = cli.read_assignments(options or ())
    from zoo.io import save_image
    from zoo_training.data import describe, open_data, sheet

    parts = dict(
        zip(
            ("train", "val"),
            open_data(path, task, format=kind, annotations=annotations, val=val, seed=seed, group=group, **chosen),
            strict=True,
        )
    )
    told: dict[str, Any] = {name: describe(part) for name, part in parts.items()}
    if output is not None:
        save_image(sheet(parts["train"], examples, seed), output)
        told["sheet"] = str(output)
    if as_json:
        cli.print_json(told)
        return 0
    train, held = told["train"], told["val"]
    cli.say(f"{train['format']}: {train['examples']} examples for training, {held['examples']} for validation")
    width = max((len(name) for name in train["counts"]), default=0)
    for name, n in train["counts"].items():
        cli.say(f"  {name:{width}}  {n:8,}  {held['counts'].get(name, 0):8,}")
    for what, found in train["sizes"].items():
        shown = ", ".join(f"{name} {width} × {height}" for name, (width, height) in found.items())
        cli.say(f"{what}, width × height: {shown}")
    for note in dict.fromkeys([*train["notes"], *held["notes"]]):
        cli.say(f"note: {note}")
    if output is not None:
        cli.say(f"Written: {output}")
    return 0
