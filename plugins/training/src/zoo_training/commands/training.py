"""``zoo train``: a model and a data set in, weights and figures out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from zoo import cli, registry


def train(
    model: Annotated[str, typer.Option(help="The model's name, as `zoo list` shows it.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Anything that `zoo data show` opens.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the weights and figures.")],
    weights: Annotated[
        str, typer.Option(help="What to begin with: an entry's name, a file, a URL, or none.")
    ] = "DEFAULT",
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    batch_size: Annotated[int, typer.Option(min=1, help="Of each process.")] = 16,
    optimizer: Annotated[str, typer.Option(help="adamw or sgd.")] = "adamw",
    lr: Annotated[float | None, typer.Option(help="Peak of the learning rate.", show_default=False)] = None,
    weight_decay: Annotated[
        float | None, typer.Option(min=0, help="By default the task's.", show_default=False)
    ] = None,
    layer_decay: Annotated[float | None, typer.Option(help="Of a transformer's blocks.", show_default=False)] = None,
    schedule: Annotated[
        str | None, typer.Option(help="cosine, one-cycle or constant; by default the task's.", show_default=False)
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the steps; 0.1 by default.", show_default=False)
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="Of segmentation: dice, focal, cross-entropy+dice.", show_default=False)
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of classification.", show_default=False)
    ] = None,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches a step.")] = 1,
    clip: Annotated[float, typer.Option(min=0, help="Largest norm of a gradient; 0 for any.")] = 1.0,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights.", show_default=False)] = None,
    freeze: Annotated[list[str] | None, typer.Option(help="A module, or backbone. May be repeated.")] = None,
    preprocessing: Annotated[
        str | None, typer.Option(help="Entry whose preprocessing is taken, with --weights none.", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Augmentation: finetune, imagenet, detection.", show_default=False)
    ] = None,
    flip: Annotated[float, typer.Option(min=0, max=1, help="How often the recipe mirrors; 0 for digits.")] = 0.5,
    val: Annotated[float, typer.Option(help="Share held out, where the data are not split.")] = 0.2,
    annotations: Annotated[
        Path | None, typer.Option(metavar="PATH", help="What is true of the data, if elsewhere.", show_default=False)
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="Of the data, as of `zoo data show`.", show_default=False)
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Names alike in it stay together.", show_default=False)
    ] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Epochs without progress.", show_default=False)] = None,
    seed: Annotated[int, typer.Option()] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read.")] = 0,
    compiled: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Compute blocks again in the backward pass: less memory, more time.")
    ] = False,
    fsdp: Annotated[bool, typer.Option("--fsdp", help="Under torchrun: spread the model by FSDP2.")] = False,
    qat: Annotated[
        bool, typer.Option("--qat", help="Quantization-aware training: the weights that are written are int8.")
    ] = False,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Between checkpoints; 0: each step.")] = 10.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --output.")] = False,
    arguments: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="For the builder. May be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, mps; auto takes the best there is.")] = "auto",
    task: Annotated[str | None, typer.Option(help="By default the model's main one.")] = None,
) -> int:
    """Train a model on data of your own.

    The folder gets best.safetensors and last.safetensors, metrics.csv, curves.png, predictions.png (what was held out,
    with what the model says of it), confusion.csv and .png of a classifier, and tensorboard/ where TensorBoard is
    installed. A run that was killed goes on with the same command and --resume, and ends with the same weights. Several
    devices: torchrun --nproc-per-node N -m zoo train …; with --max-restarts 3, it goes on by itself when one dies.
    """
    registry.model_info(model)  # a misspelt name is told before torch is imported
    config = cli.read_assignments(arguments or ())
    config |= {k: v for k, v in (("loss", loss), ("label_smoothing", label_smoothing)) if v is not None}
    from zoo_training.training import train as run

    done = run(
        model,
        data,
        output,
        None if weights == "none" else weights,
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
        progress=cli.on_terminal(sys.stderr),
        **config,
    )
    if int(os.environ.get("RANK", "0")):  # the first process of torchrun speaks for all
        return 0
    row = done.history[done.best - 1]
    figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name.startswith("val_"))
    cli.say(f"{done.output / 'best.safetensors'}: epoch {done.best} of {len(done.history)}, {figures}")
    return 0
