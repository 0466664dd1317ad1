"""Fine-tune a model of zoo with Lightning's trainer; model, data, loss and file are zoo's.

pip install zoo-classification zoo-training lightning
python examples/with_lightning.py photos tuned.safetensors
"""

from __future__ import annotations

import sys
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

import zoo
from zoo_training.parameters import parameter_groups
from zoo_training.sampling import Prepared


class Tuning(lightning.LightningModule):
    def __init__(self, model: torch.nn.Module, piece: Any) -> None:
        super().__init__()
        self.model, self.piece = model, piece  # piece has the task's loss and scores

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return sum(self.piece.loss(self.model, *batch).values())

    def validation_step(self, batch: Any, index: int) -> None:
        scores = self.piece.score(self.model, *batch)
        self.log_dict({f"val_{name}": score.float() for name, score in scores.items()}, batch_size=len(batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameter_groups(self.model, lr=5e-4, weight_decay=1e-2))


def main(photos: str, output: str, name: str = "squeezenet1_1", entry: str = "DIGITS_V1", epochs: int = 6) -> float:
    train, val = zoo.open_data(photos, "image-classification")
    model = zoo.get_model(name, weights=entry, num_classes=len(train.categories))
    piece = zoo.registry.provided(zoo.get_task("image-classification"), "train")()
    prepare = piece.prepare(model, zoo.get_model_weights(name)[entry])
    batches = [
        DataLoader(Prepared(part, prepare, None, seed=0, epoch=0), 16, shuffle=part is train, collate_fn=piece.collate)
        for part in (train, val)
    ]
    trainer = lightning.Trainer(max_epochs=epochs, accelerator="auto", logger=False, enable_checkpointing=False)
    trainer.fit(Tuning(model, piece), *batches)
    zoo.save(model, output, categories=train.categories)
    return float(trainer.callback_metrics["val_acc@1"])


if __name__ == "__main__":
    main(*sys.argv[1:])
