"""``zoo serve``: serve models over HTTP."""

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
        typer.Argument(metavar="MODEL[=WEIGHTS]", help="Names of models, or files of saved models."),
    ],
    weights: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="Weights of a single model: a name, a file or a URL."),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address to listen on; 0.0.0.0 for all interfaces.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 for a free one.")
    ] = 8000,
    max_batch: Annotated[int, typer.Option(min=1, metavar="N", help="Maximum batch size.")] = 8,
    max_wait: Annotated[
        str, typer.Option(metavar="TIME", help="Maximum wait of the first picture of a batch: 5ms, 0.1s.")
    ] = "5ms",
    max_size: Annotated[int, typer.Option(min=1, metavar="MB", help="Maximum file size.")] = 20,
    max_pixels: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maximum number of pixels of a picture.")
    ] = 25_000_000,
    concurrency: Annotated[
        int, typer.Option(min=1, metavar="N", help="Maximum number of concurrent requests; others get 503.")
    ] = 64,
    timeout: Annotated[float, typer.Option(min=0.001, metavar="SECONDS", help="Time limit of a request.")] = 30.0,
    allow_urls: Annotated[
        list[str] | None,
        typer.Option(metavar="PREFIX", help="Allow URLs of pictures with this prefix."),
    ] = None,
    device: cli.Device = "auto",
) -> int:
    """Serve models over HTTP, on this machine only unless --host is given.

    \b
    curl --data-binary @dog.jpg localhost:8000/predict
    curl -F file=@dog.jpg localhost:8000/predict?model=resnet50
    curl -F file=@dog.jpg -H Accept:image/png localhost:8000/predict -o drawn.png

    See also /models, /health, /metrics (Prometheus), /docs and /openapi.json; / is a page to try pictures. If
    ZOO_SERVE_TOKEN is set, requests must send it as Authorization: Bearer TOKEN. Ctrl-C and SIGTERM stop the server
    after the current requests.

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
                f"{name}: the task {info.task!r} takes several files per input, but a request has one."
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
            raise InvalidArgument(f"{name}: the task {pipe.task.name!r} does not take pictures, but a request has one.")
        pipe.optimize()
    limits = Limits(max_size << 20, max_pixels, concurrency, timeout)
    service = Service(ready, max_batch=max_batch, max_wait=wait, limits=limits, token=token, urls=urls)
    if token is None and not _is_loopback(host):
        cli.complain(f"Warning: {host}:{port} is open to everyone; set ZOO_SERVE_TOKEN=… to protect it.", "yellow")
    running = server(service)
    try:
        running.run([listening])
    except KeyboardInterrupt:
        cli.complain("Interrupted; finishing the current requests.", "yellow")
        return 130
    return 0 if running.started else 1


def _read_models(given: list[str], weights: str | None) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for text in given:
        name, equals, entry = text.partition("=")
        if name in chosen:
            raise typer.BadParameter(f"{name} is given twice.")
        chosen[name] = entry if equals else "DEFAULT"
    if weights is not None:
        if len(chosen) != 1 or "=" in given[0]:
            raise typer.BadParameter("--weights is for a single model; for several, give MODEL=WEIGHTS.")
        chosen = dict.fromkeys(chosen, weights)
    return chosen


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|)", text)
    if not found or float(found[1]) > 60_000:
        raise typer.BadParameter(f"--max-wait is {text!r}; expected a time such as 5ms or 0.1s.")
    return float(found[1]) / (1 if found[2] == "s" else 1000)


def _prefix(text: str) -> str:
    """Allowed URL prefixes, which must include a slash after the host: otherwise https://a.org would allow
    https://a.org.evil."""
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
