"""``zoo serve``: models behind HTTP."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated

import typer

from zoo import cli, registry
from zoo.errors import InvalidArgument, MissingPlugin


def serve(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL[=WEIGHTS]", help="Models, as any table prints them, or files of saved models."),
    ],
    weights: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="The weights of a single model: the name of an entry, a file or a URL."),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Listen there; 0.0.0.0 for all who can reach this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Listen on this port; 0 takes a free one.")
    ] = 8000,
    max_batch: Annotated[
        int, typer.Option(min=1, metavar="N", help="Run N pictures through a model together at most.")
    ] = 8,
    max_wait: Annotated[
        str, typer.Option(metavar="TIME", help="Let the first of a batch wait so long: 5ms, 0.1s.")
    ] = "5ms",
    max_size: Annotated[int, typer.Option(min=1, metavar="MB", help="Refuse larger files.")] = 20,
    max_pixels: Annotated[int, typer.Option(min=1, metavar="N", help="Refuse pictures of more pixels.")] = 25_000_000,
    concurrency: Annotated[
        int, typer.Option(min=1, metavar="N", help="Take N requests at a time; more are answered by 503.")
    ] = 64,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Give an answer so long.")] = 30.0,
    allow_urls: Annotated[
        list[str] | None,
        typer.Option(metavar="PREFIX", help="Allow URLs of pictures that begin so."),
    ] = None,
    device: cli.Device = "auto",
) -> int:
    """Answer requests over HTTP, on this machine alone unless --host says otherwise.

    \b
    curl --data-binary @dog.jpg localhost:8000/predict
    curl -F file=@dog.jpg localhost:8000/predict?model=resnet50
    curl -F file=@dog.jpg -H Accept:image/png localhost:8000/predict -o drawn.png

    /models, /health, /metrics (Prometheus), /docs and /openapi.json say more; / is a page to drop pictures on. Where
    ZOO_SERVE_TOKEN is set, it must be sent as Authorization: Bearer TOKEN. Ctrl-C and SIGTERM end it when the requests
    that have come are answered.

    Examples:
        zoo serve resnet50
        zoo serve resnet50 fcos_resnet50_fpn=COCO_V1 --port 8080 --max-batch 16
    """
    wait = _seconds(max_wait)
    chosen = _read_models(models, weights)
    urls = [_prefix(given) for given in allow_urls or ()]
    token = os.environ.get("ZOO_SERVE_TOKEN") or None
    for name in chosen:
        info = registry.model_info(name)
        if registry.get_task(info.task, plugin=info.plugin).inputs_per_sample != 1:
            raise InvalidArgument(
                f"{name}: the task {info.task!r} takes several files at a time, and a request has one."
            )
    try:
        from zoo_serving.hosting import bound, server
        from zoo_serving.service import Limits, Service
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("zoo"):
            raise
        raise MissingPlugin(f"zoo serve needs {e.name}, which is not installed: pip install zoo-serving") from e
    import zoo

    listening = bound(host, port)  # before models are built
    ready = {name: zoo.pipeline(name, entry, device, workers=0, keep_images=True) for name, entry in chosen.items()}
    for name, pipe in ready.items():
        if not pipe.takes_bytes:
            raise InvalidArgument(
                f"{name}: the task {pipe.task.name!r} does not take a picture, and a request has one."
            )
        pipe.optimize()
    limits = Limits(max_size << 20, max_pixels, concurrency, timeout)
    service = Service(ready, max_batch=max_batch, max_wait=wait, limits=limits, token=token, urls=urls)
    if token is None and not _is_loopback(host):
        cli.complain(f"Warning: anyone who reaches {host}:{port} can ask; ZOO_SERVE_TOKEN=… guards it.", "yellow")
    running = server(service)
    try:
        running.run([listening])
    except KeyboardInterrupt:
        cli.complain("Interrupted; what had come is answered.", "yellow")
        return 130
    return 0 if running.started else 1


def _read_models(given: list[str], weights: str | None) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for text in given:
        name, equals, entry = text.partition("=")
        if name in chosen:
            raise typer.BadParameter(f"{name} is named twice.")
        chosen[name] = entry if equals else "DEFAULT"
    if weights is not None:
        if len(chosen) != 1 or "=" in given[0]:
            raise typer.BadParameter("--weights is for one model; of several, name them as MODEL=WEIGHTS.")
        chosen = dict.fromkeys(chosen, weights)
    return chosen


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|)", text)
    if not found or float(found[1]) > 60_000:
        raise typer.BadParameter(f"--max-wait is {text!r}; expected a time such as 5ms or 0.1s.")
    return float(found[1]) / (1 if found[2] == "s" else 1000)


def _prefix(text: str) -> str:
    """What URLs may begin with, up to a slash behind the host at least: else https://a.org allowed https://a.org.evil."""
    if not re.fullmatch(r"https?://[^/@?#\s]+/\S*", text):
        raise typer.BadParameter(
            f"--allow-urls is {text!r}; expected scheme, host and path, such as https://a.org/img/."
        )
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
