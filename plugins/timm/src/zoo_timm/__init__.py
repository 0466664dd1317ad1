"""timm's models for ``zoo``: ``zoo.get_model("timm/resnet50.a1_in1k")``."""
