"""``zoo train``: train a model on a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from zoo import cli

HOW, DATA, COMPUTE = "Learning", "Data", "Computing"


def train(
    model: Annotated[str, typer.Option(metavar="MODEL", help="Name of a model.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Data in any format of `zoo data show`.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the weights and metrics.")],
    weights: Annotated[
        str, typer.Option(metavar="WEIGHTS", help="Initial weights: a name, a file, a URL, or none.")
    ] = "DEFAULT",
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Number of epochs.")] = 10,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Batch size of each process.")] = 16,
    optimizer: Annotated[str, typer.Option(metavar="adamw|sgd", help="The optimizer.", rich_help_panel=HOW)] = "adamw",
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Peak learning rate; by default the task's.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="X", help="Weight decay; by default the task's.", show_default=False, rich_help_panel=HOW
        ),
    ] = None,
    layer_decay: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Learning rate factor per transformer block.",
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
            help="Share of the steps for the warm-up; by default 0.1.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS",
            help="Loss for segmentation: dice, focal, cross-entropy+dice.",
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
            help="Label smoothing for classification.",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(min=1, metavar="N", help="Accumulate gradients of N batches per step.", rich_help_panel=HOW)
    ] = 1,
    clip: Annotated[
        float, typer.Option(min=0, metavar="X", help="Maximum gradient norm; 0 for no clipping.", rich_help_panel=HOW)
    ] = 1.0,
    precision: Annotated[
        str, typer.Option(metavar="fp32|bf16|fp16", help="The precision.", rich_help_panel=COMPUTE)
    ] = "fp32",
    ema: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Decay of a moving average of the weights.", show_default=False, rich_help_panel=HOW
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Freeze this module, or backbone.", rich_help_panel=HOW),
    ] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Use the preprocessing of these weights, with --weights none.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Augmentation recipe: finetune, imagenet, detection.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    flip: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="X", help="Share of pictures to flip; 0 for digits.", rich_help_panel=DATA),
    ] = 0.5,
    val: Annotated[
        float,
        typer.Option(metavar="X", help="Validation share, if the data are not split.", rich_help_panel=DATA),
    ] = 0.2,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The ground truth, if it is elsewhere.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Format of the data, as for `zoo data show`.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Keep names with the same match together.",
            show_default=False,
            rich_help_panel=DATA,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Stop after N epochs without improvement.", show_default=False, rich_help_panel=HOW
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.", rich_help_panel=HOW)] = 0,
    workers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Number of reader processes.", rich_help_panel=COMPUTE)
    ] = 0,
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=COMPUTE)] = False,
    checkpointing: Annotated[
        bool,
        typer.Option(
            "--checkpointing",
            help="Recompute blocks in the backward pass: less memory, more time.",
            rich_help_panel=COMPUTE,
        ),
    ] = False,
    fsdp: Annotated[
        bool, typer.Option("--fsdp", help="Shard the model with FSDP2, under torchrun.", rich_help_panel=COMPUTE)
    ] = False,
    qat: Annotated[
        bool, typer.Option("--qat", help="Quantization-aware training; writes int8 weights.", rich_help_panel=HOW)
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, metavar="X", help="Minutes between checkpoints; 0 for every step.")
    ] = 10.0,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the checkpoint in --output.")] = False,
    arguments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Argument of the builder.")
    ] = None,
    device: cli.Device = "auto",
    task: Annotated[str | None, typer.Option(metavar="TASK", help="The task; by default the model's main one.")] = None,
) -> int:
    """Train a model on your own data.

    The folder contains best.safetensors and last.safetensors, metrics.csv, curves.png, predictions.png (predictions on
    validation pictures), confusion.csv and .png for a classifier, and tensorboard/ if TensorBoard is installed. The
    same command with --resume continues an interrupted run, which ends with the same weights. For several devices, use
    torchrun --nproc-per-node N -m zoo train …; with --max-restarts 3, it continues automatically after a failure.

    Examples:
        zoo train --model resnet18 --data flowers --output runs/flowers
        zoo train --model fcos_resnet50_fpn --data coco --output runs/coco --epochs 12 --precision bf16
        zoo train --model resnet18 --data flowers --output runs/flowers --resume
    """
    _, _, entry = cli.find_model(model, weights, task=task, device=device)  # finds errors without importing torch
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
    if int(os.environ.get("RANK", "0")):  # only the first process of torchrun prints
        return 0
    row = done.history[done.best - 1]
    figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name.startswith("val_"))
    cli.say(f"{done.output / 'best.safetensors'}: epoch {done.best} of {len(done.history)}, {figures}")
    return 0
