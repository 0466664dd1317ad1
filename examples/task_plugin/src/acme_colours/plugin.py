"""The manifest: a task and a model for it. No torch."""

import zoo

TASK = zoo.TaskSpec(
    "colour-naming",
    "acme_colours.colours:ColourNaming",
    options=(zoo.Option("least", float, 0.05, "Minimum share of a colour in the picture."),),
    suffixes=(".jpg", ".png"),
)


@zoo.hookimpl
def zoo_manifest():
    palette = zoo.ModelSpec("palette", "acme_colours.colours:palette", task=TASK.name)
    return zoo.Manifest(api_version=1, models=[palette], tasks=[TASK])
