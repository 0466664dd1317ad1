"""Fine-tune a model of zoo with Accelerate, which handles devices and processes; model, data, loss and file are zoo's.

pip install zoo-classification zoo-training accelerate
accelerate launch examples/with_accelerate.py photos tuned.safetensors
"""

from __future__ import annotations

import sys

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

import zoo
from zoo_training.parameters import parameter_groups
from zoo_training.sampling import Prepared


def main(photos: str, output: str, name: str = "squeezenet1_1", entry: str = "DIGITS_V1", epochs: int = 6) -> float:
    accelerator = Accelerator()
    train, val = zoo.open_data(photos, "image-classification")
    model = zoo.get_model(name, weights=entry, num_classes=len(train.categories))
    piece = zoo.registry.provided(zoo.get_task("image-classification"), "train")()  # has the task's loss and scores
    prepare = piece.prepare(model, zoo.get_model_weights(name)[entry])
    batches, held_out = (
        DataLoader(Prepared(part, prepare, None, seed=0, epoch=0), 16, shuffle=part is train, collate_fn=piece.collate)
        for part in (train, val)
    )
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=5e-4, weight_decay=1e-2))
    runs, optimizer, batches, held_out = accelerator.prepare(model, optimizer, batches, held_out)
    for _ in range(epochs):
        runs.train()
        for arguments, targets in batches:
            loss = sum(piece.loss(runs, arguments, targets).values())
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
    runs.eval()
    with torch.no_grad():
        scores = [(piece.score(runs, *batch)["acc@1"].item(), len(batch[1])) for batch in held_out]
    if accelerator.is_main_process:
        zoo.save(accelerator.unwrap_model(runs), output, categories=train.categories)
    return sum(score * n for score, n in scores) / sum(n for _, n in scores)


if __name__ == "__main__":
    main(*sys.argv[1:])
