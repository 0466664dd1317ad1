"""Cost of listing with many plugins: 1, 10, 100 of them with 100 models each, among 300 other distributions.

    python benchmarks/plugins.py [number of plugins …]

Each number is the minimum of several new processes, including the start and end of Python: wall clock, processor time
(more reliable on a busy machine, and the one that has targets) and peak resident memory. Files are compiled and in the
page cache, as after a first use. The plugins are like that in docs/plugins.md: a manifest, and a module of weights with
one enum per model, of which every second one has two members.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import harness
from harness import Report, fresh

MODELS = 100  # number of models in each plugin
OTHERS = 300  # number of unrelated distributions
REPEATS = 7
TARGETS = {"zoo.list_models()": 0.5, "zoo list --task … --max-params …": 0.6}  # processor seconds
MEMORY_TARGET = 100  # MB

COMMANDS = {
    "python": "pass",
    "zoo.list_models()": "import zoo; assert len(zoo.list_models(include='net*')) == int(sys.argv[1])",
    "zoo list --task … --max-params …": (
        "from zoo.cli import main; sys.exit(main(['list', '--task', 'shape-classification', '--max-params', '50k']))"
    ),
}

ENUM = """

class Net_{p}_{m}_Weights(WeightsEnum):
{entries}
    DEFAULT = SHAPES_V{last}
"""
ENTRY = (
    '    SHAPES_V{v} = shapes("net_{p}_{m}-{hash}{v:02x}.pth", params={m}010, acc=({v}1.{m}, 8{v}.{m}), gflops=0.{m}7)'
)
WEIGHTS = '''"""The weights of the plugin's models."""

from zoo import Preset, Weights, WeightsEnum


def shapes(file, *, params, acc, gflops):
    return Weights(
        url=f"https://weights.invalid/{file}",
        transforms=Preset("zoo.transforms:ImageClassification", {"crop_size": 64}),
        config={"num_classes": 10},
        num_params=params,
        metrics={"Shapes": {"acc@1": acc[0], "acc@5": acc[1]}},
        gflops=gflops,
        categories=("circle", "square"),
        recipe="https://weights.invalid/recipe",
        license="MIT",
    )
'''
PLUGIN = '''"""The manifest."""

import zoo
from {package} import weights
from zoo import Manifest, Metric, ModelSpec, TaskSpec

TASK = TaskSpec(
    "shape-classification",
    "{package}.task:Shapes",
    metrics=(Metric("acc@1", "Acc@1"),),
)


@zoo.hookimpl
def zoo_manifest():
    return Manifest(
        api_version=1,
        models=[
            ModelSpec(
                name.removesuffix("_Weights").lower(),
                f"{package}.models:{{name}}",
                task=TASK.name,
                weights=enum,
                paper="Shapes, https://weights.invalid/paper",
            )
            for name, enum in vars(weights).items()
            if name.startswith("Net_")
        ],
        tasks=[TASK],
    )
'''


def install(site: Path, distribution: str, entry_points: str = "") -> None:
    """Write the metadata of an installed distribution."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    requirements = "".join(f"Requires-Dist: package-{i}>={i}\n" for i in range(12))
    description = "A package like many others.\n" * 40
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{requirements}\n{description}"
    )
    (info / "RECORD").write_text("".join(f"{distribution}/module_{i}.py,,\n" for i in range(60)))
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points)


def install_plugin(site: Path, p: int) -> None:
    package = site / f"shapes_{p:03d}"
    package.mkdir()
    enums = []
    for m in range(1, MODELS + 1):
        last = 1 + m % 2
        entries = [ENTRY.format(v=v, p=p, m=m, hash=f"{1000 * p + m:07x}") for v in range(1, last + 1)]
        enums.append(ENUM.format(p=p, m=m, entries="\n".join(entries), last=last))
    (package / "__init__.py").touch()
    (package / "weights.py").write_text(WEIGHTS + "".join(enums))
    (package / "plugin.py").write_text(PLUGIN.format(package=package.name))
    install(site, f"zoo-shapes-{p:03d}", f"[zoo.plugins]\nshapes_{p:03d} = {package.name}.plugin\n")


def make_site(site: Path, plugins: int) -> None:
    for p in range(plugins):
        install_plugin(site, p)
    for i in range(OTHERS):
        # Every third has commands, about as many as among usual packages.
        install(site, f"other-{i:03d}", f"[console_scripts]\nother-{i} = other_{i}:main\n" if i % 3 == 0 else "")


def main() -> int:
    parser = harness.options(__doc__)
    parser.add_argument("counts", type=int, nargs="*", default=[1, 10, 100], help="numbers of plugins")
    given = parser.parse_args()
    report = Report(given)
    table = report.table(
        "listing", cold=True, what="plugins, models: command", wall="seconds|.2f", cpu="of the processor|.2f",
        mb="memory, MB|.0f",
    )  # fmt: skip
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            make_site(Path(folder), count)
            path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
            environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": path}
            for name, code in COMMANDS.items():
                command = ["-c", f"import sys; {code}", str(count * MODELS)]
                runs = [fresh(command, environment) for _ in range(REPEATS + 1)][1:]  # the first run compiles
                wall, cpu, mb, _ = (min(column) for column in zip(*runs, strict=True))
                what = f"{count:,}, {count * MODELS:,}: `{name}`"
                table.row(what=what, wall=wall, cpu=cpu, mb=mb)
                if name in TARGETS:
                    report.target(f"{what}, seconds of the processor", cpu, most=TARGETS[name])
                    report.target(f"{what}, MB", mb, most=MEMORY_TARGET)
    return report.finish()


if __name__ == "__main__":
    harness.start(main)
