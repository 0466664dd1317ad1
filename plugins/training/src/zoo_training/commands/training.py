"""``zoo train``: a model and a data set in, weights and figures out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from zoo import cli

HOW, DATA, COMPUTE = "How it learns", "Data", "Computing"


def train(
    model: Annotated[str, typer.Option(metavar="MODEL", help="A model, as any table prints it.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="The data: anything that `zoo data show` opens.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the weights and figures.")],
    weights: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="Begin with these: the name of an entry, a file, a URL, or none.")
    ] = "DEFAULT",
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Go N times through the data.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Take N examples a step in each process.")] = 16,
    optimizer: Annotated[str, typer.Option(metavar="adamw|sgd", help="The optimizer.", rich_help_panel=HOW)] = "adamw",
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="The peak of the learning rate, by default the task's.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="X", help="The weight decay, by default the task's.", show_default=False, rich_help_panel=HOW
        ),
    ] = None,
    layer_decay: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Decay the learning rate by this factor a block of a transformer.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="SCHEDULE",
            help="cosine, one-cycle or constant; by default the task's.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="X",
            help="Warm up for this share of the steps, by default 0.1.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS",
            help="The loss of segmentation: dice, focal, cross-entropy+dice.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="X",
            help="Smooth the labels of classification.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(min=1, metavar="N", help="Add the gradients of N batches up for a step.", rich_help_panel=HOW)
    ] = 1,
    clip: Annotated[
        float, typer.Option(min=0, metavar="X", help="Clip the norm of gradients; 0 for never.", rich_help_panel=HOW)
    ] = 1.0,
    precision: Annotated[
        str, typer.Option(metavar="fp32|bf16|fp16", help="Compute in this precision.", rich_help_panel=COMPUTE)
    ] = "fp32",
    ema: Annotated[
        float | None,
        typer.Option(metavar="X", help="Average the weights with this decay.", show_default=False, rich_help_panel=HOW),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Freeze this module, or the backbone.", rich_help_panel=HOW),
    ] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Prepare inputs as this entry does, with --weights none.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Augment by this recipe: finetune, imagenet, detection.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    flip: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="X", help="Mirror this share of the pictures; 0 for digits.", rich_help_panel=DATA
        ),
    ] = 0.5,
    val: Annotated[
        float,
        typer.Option(metavar="X", help="Hold out this share, where the data are not split.", rich_help_panel=DATA),
    ] = 0.2,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="What is true of the data, if it lies elsewhere.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="The format of the data, as of `zoo data show`.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Keep names that are alike in it together.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Stop after N epochs without progress.", show_default=False, rich_help_panel=HOW
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of all that is random.", rich_help_panel=HOW)] = 0,
    workers: Annotated[int, typer.Option(min=0, metavar="N", help="Read in N processes.", rich_help_panel=COMPUTE)] = 0,
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=COMPUTE)] = False,
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--checkpointing",
            help="Compute blocks again in the backward pass: less memory, more time.",
            rich_help_panel=COMPUTE,
        ),
    ] = False,
    fsdp: Annotated[
        bool, typer.Option("--fsdp", help="Spread the model by FSDP2, under torchrun.", rich_help_panel=COMPUTE)
    ] = False,
    qat: Annotated[
        bool, typer.Option("--qat", help="Train for int8: the weights that are written are int8.", rich_help_panel=HOW)
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, metavar="X", help="Write a checkpoint every X minutes; 0 for each step.")
    ] = 10.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --output.")] = False,
    arguments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Give the builder this argument.")
    ] = None,
    device: cli.Device = "auto",
    task: Annotated[str | None, typer.Option(metavar="TASK", help="The task, by default the model's main one.")] = None,
) -> int:
    """Train a model on data of your own.

    The folder gets best.safetensors and last.safetensors, metrics.csv, curves.png, predictions.png (what was held out,
    with what the model says of it), confusion.csv and .png of a classifier, and tensorboard/ where TensorBoard is
    installed. A run that was killed goes on with the same command and --resume, and ends with the same weights. Several
    devices: torchrun --nproc-per-node N -m zoo train …; with --max-restarts 3, it goes on by itself when one dies.

    Examples:
        zoo train --model resnet18 --data flowers --output runs/flowers
        zoo train --model fcos_resnet50_fpn --data coco --output runs/coco --epochs 12 --precision bf16
        zoo train --model resnet18 --data flowers --output runs/flowers --resume
    """
    _, _, entry = cli.find_model(model, weights, task=task, device=device)  # all that can be told without torch
    cli.check_there("--data", data)
    cli.check_there("--annotations", annotations)
    config = cli.read_assignments(arguments or ())
    config |= {k: v for k, v in (("loss", loss), ("label_smoothing", label_smoothing)) if v is not None}
    from zoo_training.training import train as run

    done = run(
        model,
        data,
        output,
        entry,
        epochs=epochs,
        batch_size=batch_size,
        task=task,
        device=device,
        optimizer=optimizer,
        lr=lr,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
        schedule=schedule,
        warmup=warmup,
        accumulate=accumulate,
        clip=clip or None,
        precision=precision,
        ema=ema,
        freeze=freeze or (),
        preprocessing=preprocessing,
        recipe=recipe,
        flip=flip,
        val=val,
        annotations=annotations,
        format=kind,
        group=group,
        patience=patience,
        seed=seed,
        workers=workers,
        compile=compiled,
        checkpointing=checkpointing,
        fsdp=fsdp,
        qat=qat,
        checkpoint_minutes=checkpoint_minutes,
        resume=resume,
        progress=True,
        **config,
    )
    if int(os.environ.get("RANK", "0")):  # the first process of torchrun speaks for all
        return 0
    row = done.history[done.best - 1]
    figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name.startswith("val_"))
    cli.say(f"{done.output / 'best.safetensors'}: epoch {done.best} of {len(done.history)}, {figures}")
    return 0
