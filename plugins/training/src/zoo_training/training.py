"""``zoo.train``: train a model on a data set; writes weights, metrics and checkpoints of the run to a folder."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from zoo import registry
from zoo.contract import TaskSpec, Trainable, Weights, check_count
from zoo.errors import InvalidArgument, InvalidKind
from zoo.loading import default_size, loaded_weights
from zoo_training.augmentation import Recipe, mixed_batches, recipe as named_recipe
from zoo_training.checking import check_batches_of_one, check_first_batch, check_folder, check_readers
from zoo_training.checkpointing import checkpoint_blocks
from zoo_training.data import open_data
from zoo_training.joining import join, once, restarted
from zoo_training.loop import AUTOCAST, Loop
from zoo_training.parameters import EMA, freeze as freeze_parts, parameter_groups
from zoo_training.sampling import Augment
from zoo_training.schedules import SCHEDULES
from zoo_training.sharding import shard as shard_parameters
from zoo_training.validation import HeldOut
from zoo_training.watching import Watch, best_epoch as best_epoch

CHECKPOINT = "checkpoint.pt"
RATES = {"adamw": 5e-4, "sgd": 5e-3}  # learning rates for fine-tuning
OPTIMIZERS = tuple(RATES)


@dataclass(frozen=True)
class Training:
    """The result of a run.

    Attributes:
        output: folder of the run: ``best.safetensors``, ``last.safetensors``, ``checkpoint.pt``, and the files of
            :class:`zoo_training.watching.Watch`: ``metrics.csv``, ``curves.png``, ``predictions.png``, ….
        model: with the last weights, in eval mode; with ``fsdp`` on the CPU in the first process, sharded in others.
        categories: names of the classes, in label order.
        history: the metrics of each epoch, as in ``metrics.csv``.
        best: the epoch, from 1, whose weights are in ``best.safetensors``.
    """

    output: Path
    model: nn.Module
    categories: Sequence[str]
    history: Sequence[dict[str, float]]
    best: int


def train(
    model: str,
    data: str | os.PathLike[str] | tuple[Any, Any],
    output: str | os.PathLike[str],
    weights: Any = "DEFAULT",
    *,
    epochs: int = 10,
    batch_size: int = 16,
    task: str | None = None,
    device: str | torch.device = "auto",
    optimizer: str = "adamw",
    lr: float | None = None,
    weight_decay: float | None = None,
    layer_decay: float | None = None,
    schedule: str | None = None,
    warmup: float | None = None,
    accumulate: int = 1,
    clip: float | None = 1.0,
    precision: str = "fp32",
    ema: float | None = None,
    freeze: Sequence[str] = (),
    preprocessing: str | None = None,
    recipe: str | None = None,
    flip: float = 0.5,
    augment: Augment | None = None,
    val: float = 0.2,
    annotations: str | os.PathLike[str] | None = None,
    format: str | None = None,  # noqa: A002  as in open_data
    group: str | None = None,
    patience: int | None = None,
    seed: int = 0,
    workers: int = 0,
    compile: bool = False,  # noqa: A002  torch's name
    checkpointing: bool = False,
    fsdp: bool = False,
    qat: bool = False,
    checkpoint_minutes: float = 10.0,
    resume: bool = False,
    progress: bool | None = None,
    **config: Any,
) -> Training:
    """Train a model on your own data: ``zoo.train("resnet50", "pictures", "runs/a", epochs=10)``.

    The model gets a new head for the classes of the data. With the same seed, a run that is interrupted and continued
    with ``resume`` ends with the same weights as one without interruption. Under ``torchrun``, each process computes
    its share of each step.

    Args:
        model: name of the model.
        data: a folder in any format of :func:`zoo_training.data.open_data`; or two readers, for training and for
            validation.
        output: folder of the run, which is created.
        weights: initial weights, as for the builder; None trains from scratch.
        batch_size: batch size of each process.
        optimizer: ``"adamw"`` or ``"sgd"`` (momentum 0.9).
        lr: peak learning rate; by default the task's, or 5e-4 for AdamW and 5e-3 for SGD.
        weight_decay: for parameters with at least two dimensions; by default the task's, or 1e-2.
        layer_decay: factor of the rate between a transformer block and the previous one.
        schedule: ``"cosine"``, ``"one-cycle"`` or ``"constant"``; by default the task's, or ``"cosine"``.
        warmup: share of the steps for the warm-up; by default the task's, or 0.1.
        accumulate: number of batches in a step.
        clip: maximum gradient norm; None for no clipping.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``, for :func:`torch.autocast`.
        ema: decay of a moving average of the weights, which is then validated and saved.
        freeze: paths of modules that are not trained; ``"backbone"`` is everything but the head.
        preprocessing: name of the weights whose preprocessing is used if ``weights`` is None or has none; by default
            ``"DEFAULT"``, or the task's preprocessing if the model has no weights.
        recipe: name of an augmentation recipe, see :func:`zoo_training.augmentation.recipe`; None for none. Its mixing
            of batches (mixup, CutMix) and its options of the task, such as ``label_smoothing``, are used too.
        flip: probability of a flip in the recipe; 0 if left and right differ in meaning, as for digits.
        augment: ``(input, target, generator)`` → ``(input, target)``, instead of a recipe.
        val: validation share of each class, if the data is not split.
        annotations, format, group: as for :func:`zoo_training.data.open_data`.
        patience: stop after this many epochs without improvement of the task's first metric, or of the validation loss
            for equal metrics.
        workers: number of reader processes; 0 reads in the main process.
        compile: use :func:`torch.compile`.
        checkpointing: compute the model's blocks again in the backward pass: less memory, more time.
        fsdp: under torchrun, shard parameters, gradients and the optimizer's state over the processes with FSDP2.
        qat: quantization-aware training: round during training as the model's int8 form does, and save that form.
            Metrics are those of the model that rounds; only for quantizable models, such as those of zoo-quantized.
        checkpoint_minutes: minutes between checkpoints within an epoch; 0 writes one after each step.
        resume: resume from the checkpoint in ``output``. A process restarted by torchrun always resumes.
        **config: options of the task for training, such as ``loss="dice"`` for segmentation and ``label_smoothing=0.1``
            for classification; all others are arguments of the builder.

    Raises:
        InvalidArgument: a value is out of range, the task does not support training, the data is invalid, or ``output``
            belongs to another run.
        TrainingError: the loss is not finite, or a file cannot be written. The last checkpoint is kept.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("accumulate", accumulate)):
        check_count(name, value, 1)
    _check_choice("optimizer", optimizer, OPTIMIZERS)
    _check_choice("precision", precision, tuple(AUTOCAST))
    if recipe is not None and augment is not None:
        raise InvalidArgument("Both recipe and augment were given; expected one of them.")
    if compile and checkpointing:
        raise InvalidArgument(
            "compile and checkpointing were both given; torch.compile itself decides which activations to store."
        )
    info = registry.model_info(model)
    spec = registry.get_task(task or info.task, plugin=info.plugin)
    options, config = _options(spec, config)
    piece = _piece(spec, options)
    defaults = {"weight_decay": 1e-2, "schedule": "cosine", "warmup": 0.1, **getattr(piece, "defaults", {})}
    rate = lr if lr is not None else RATES[optimizer] if optimizer == "sgd" else defaults.get("lr", RATES[optimizer])
    weight_decay = defaults["weight_decay"] if weight_decay is None else weight_decay
    schedule = str(defaults["schedule"] if schedule is None else schedule)
    warmup = float(defaults["warmup"] if warmup is None else warmup)
    _check_choice("schedule", schedule, tuple(SCHEDULES))

    if preprocessing is not None and preprocessing not in info.weights:
        _refuse_preprocessing(info, preprocessing)
    if qat and fsdp:
        raise InvalidArgument("qat and fsdp were both given; ranges of activations cannot be sharded.")
    _check_model(info.full_name, config, freeze, qat, info.name)
    rank, world, where = join(device)
    if fsdp and world == 1:
        raise InvalidArgument("fsdp shards a model over processes, but there is only one; start several with torchrun.")
    folder, going_on = Path(output), resume or restarted()
    if isinstance(data, tuple):
        readers: Any = data
    else:
        how: dict[str, Any] = {"annotations": annotations, "format": format, "group": group}
        readers = open_data(data, spec.name, val=val, seed=seed, check=False, **how)
    once(lambda: check_folder(folder, CHECKPOINT, going_on), rank, world)
    going_on = going_on and (folder / CHECKPOINT).exists()
    if not going_on:
        once(lambda: check_readers(readers), rank, world)

    torch.manual_seed(seed)  # a new head is the same in every process and every run
    categories = list(readers[0].categories)
    builder = registry.get_model_builder(info.full_name)
    taken = inspect.signature(builder).parameters.values()
    if categories and any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in taken):
        config.setdefault("num_classes", len(categories))
        if config["num_classes"] != len(categories):
            raise InvalidArgument(
                f"num_classes is {config['num_classes']}, but the data has {len(categories)} categories: "
                f"{', '.join(categories[:10])}. Omit num_classes: the head is made for the data."
            )
    net = registry.get_model(info.full_name if info.source else model, weights=weights, **config)
    described = loaded_weights(net)
    if preprocessing is not None or described is None or described.transforms is None:
        described = info.weights.get(preprocessing or "DEFAULT")
    if described is None and preprocessing is None and spec.transforms is not None:
        described = Weights(url="", transforms=spec.transforms)
    if described is None:
        _refuse_preprocessing(info, preprocessing or "DEFAULT")
    _check_trainable(net, info.name, qat)
    if qat:
        net.prepare_qat()  # type: ignore[operator]
    if recipe is not None:
        size = default_size(net, described) or _size(piece, net, described)
        if size is None:
            raise InvalidArgument(
                f"{info.name} does not define an input size; give augment=recipe(…) instead of recipe."
            )
        augment = named_recipe(recipe, spec.name, size, flip=flip)
    if isinstance(augment, Recipe):
        options = {name: value for name, value in augment.options.items() if name in spec.options_of("train")} | options
        piece = _piece(spec, options)
    described = replace(described, categories=categories or None, metrics={})
    net.to(where)
    whole = deepcopy(net).cpu() if fsdp and rank == 0 else net
    frozen = freeze_parts(net, freeze)
    again = checkpoint_blocks(net) if checkpointing else None
    if fsdp:
        shard_parameters(net)
    groups = parameter_groups(net, rate, weight_decay, layer_decay)
    make_optimizer: Any = torch.optim.AdamW if optimizer == "adamw" else torch.optim.SGD
    identity = {
        "model": info.full_name, "weights": str(weights), "categories": categories, "examples": list(readers[0].names),
        "config": json.loads(json.dumps(config, default=repr)), "options": options, "epochs": epochs,
        "batch": batch_size * accumulate * world, "optimizer": optimizer, "lr": rate, "weight_decay": weight_decay,
        "layer_decay": layer_decay, "schedule": schedule, "warmup": warmup, "clip": clip, "precision": precision,
        "ema": ema, "freeze": list(freeze), "preprocessing": preprocessing, "recipe": recipe, "flip": flip,
        "seed": seed, "qat": qat,
    }  # fmt: skip
    told = ("epochs", "batch", "optimizer", "lr", "weight_decay", "schedule", "recipe", "precision", "ema", "seed")
    facts = {"examples": len(readers[0])} | {name: identity[name] for name in told if identity[name] is not None}
    facts |= {"qat": True} if qat else {}
    named = {"data": Path(data).resolve().name} if isinstance(data, str | Path) else {}
    sampling = piece.sampling(readers[0], described) if hasattr(piece, "sampling") else {}
    described = replace(described, extra={**sampling, **named, "training": facts})
    held_out = HeldOut(readers[1], spec, described, piece)
    loop = Loop(
        net, piece, piece.prepare(whole, described), readers,
        make_optimizer(groups, **({} if optimizer == "adamw" else {"momentum": 0.9})), epochs, batch_size, augment,
        accumulate, 0, clip, precision, None if ema is None else EMA(net, ema), frozen, seed, workers, compile,
        SCHEDULES[schedule], mixed_batches(augment, len(categories)), fsdp, whole, held_out, folder / CHECKPOINT,
        checkpoint_minutes, identity,
    )  # fmt: skip
    loop.warmup = int(warmup * epochs * len(loop.steps))
    if going_on:
        loop.resume()
    else:
        check_first_batch(loop, categories)
        check_batches_of_one(loop)
        if rank == 0:
            folder.mkdir(parents=True, exist_ok=True)
        loop.keep()  # now the folder belongs to this run
    shown = rank == 0 and (sys.stderr.isatty() if progress is None else progress)
    finished: Callable[[Any], nn.Module] = (lambda model: model.to_int8()) if qat else (lambda model: model)
    watch = Watch(folder, described, spec, held_out, patience, shown, finished)
    try:
        loop.run(watch.step, watch.epoch)
    finally:
        watch.close()
        if again is not None:
            again.close()
    return Training(folder, finished(whole.eval()), categories, tuple(loop.history), best_epoch(loop.history, spec))


def _options(spec: TaskSpec, config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Separate ``config`` into options of the task and arguments of the builder."""
    others = dict(config)
    options = spec.take_options(others, "train")
    for name in ("loss", "label_smoothing"):
        if name in others:
            known = ", ".join(spec.options_of("train")) or "none"
            raise InvalidArgument(f"The task {spec.name!r} has no option {name!r} for training; it has {known}.")
    return options, others


def _piece(spec: TaskSpec, options: Mapping[str, Any]) -> Trainable:
    make = registry.provided(spec, "train")
    if make is None:
        raise InvalidArgument(
            f"The task {spec.name!r} does not support training; a plugin can provide it with "
            'zoo.TaskSpec(provides={"train": …}).'
        )
    piece: Trainable = make(**options)
    return piece


def _check_model(full_name: str, config: Mapping[str, Any], freeze: Sequence[str], qat: bool, name: str) -> None:
    """Check the model and the options that concern it on the meta device, before data is read and weights are
    downloaded. A model that cannot be built there is checked when it is built."""
    try:
        trial = registry.get_model(full_name, weights=None, device="meta", **config)
    except InvalidKind:  # no such argument
        raise
    except Exception:  # noqa: BLE001  the builder may need real tensors, or facts of its weights
        return
    _check_trainable(trial, name, qat)
    freeze_parts(trial, freeze)


def _check_trainable(model: nn.Module, name: str, qat: bool) -> None:
    if not any(True for _ in model.parameters()):
        raise InvalidArgument(
            f"{name} has no parameters to train. Train a float model and quantize it afterwards: omit quantize, and "
            "use float weights. With qat=True (--qat), training compensates for the rounding."
        )
    if qat and not callable(getattr(model, "prepare_qat", None)):
        raise InvalidArgument(
            f"{name} does not support quantization-aware training. Models of zoo-quantized do (pip install "
            "zoo-quantized), such as quantized_resnet18. To quantize classifiers and segmenters after training, use "
            "zoo quantize FILE (pip install 'zoo-tools[int8]')."
        )


def _refuse_preprocessing(info: Any, wanted: str) -> NoReturn:
    known = ", ".join(info.weights) or "none"
    raise InvalidArgument(
        f"preprocessing: {info.name} has no weights {wanted!r} that define a preprocessing; its weights: {known}."
    )


def _size(piece: Trainable, model: nn.Module, weights: Weights) -> tuple[int, int] | None:
    own: Any = getattr(piece, "size", None)
    found: tuple[int, int] | None = own(model, weights) if own else None
    return found


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InvalidArgument(f"{name} is {value!r}; expected one of {', '.join(choices)}.")
