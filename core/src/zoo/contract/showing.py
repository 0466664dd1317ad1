"""Pictures of results on a screen: in a window, or in a notebook."""

from __future__ import annotations

import base64
import html
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from zoo.errors import InvalidArgument

if TYPE_CHECKING:
    from PIL import Image

SHOWN = 960  # most pixels of the longer side of a picture in a notebook


def in_notebook() -> bool:
    """Whether the program runs in a notebook, or another front end that draws pictures."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None and hasattr(shell, "get_ipython") else None
    return running is not None and hasattr(running, "kernel")


def check_screen() -> None:
    """Raise if no picture can be shown.

    Raises:
        InvalidArgument: no notebook, no display, or no program that shows pictures.
    """
    if in_notebook():
        return
    from PIL import ImageShow

    viewers = getattr(ImageShow, "_viewers", [])
    if any(type(viewer).__module__ != ImageShow.__name__ for viewer in viewers):  # registered by another program
        return
    advice = "Write the picture into a file: result.save(folder, name), or zoo predict --output DIR."
    if sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InvalidArgument(f"There is no display here to show a picture on (DISPLAY is not set). {advice}")
        viewers = [viewer for viewer in viewers if isinstance(viewer, ImageShow.UnixViewer)]
    if not viewers:
        raise InvalidArgument(f"No program that shows pictures was found (xdg-open, display, eog, …). {advice}")


def show_picture(picture: Image.Image, title: str | None = None) -> None:
    """Show a picture in the notebook, or in the system's viewer, without waiting for it.

    Raises:
        InvalidArgument: no picture can be shown here.
    """
    check_screen()
    if in_notebook():
        sys.modules["IPython"].display.display(fitting(picture))
        return
    picture.show(title=title)


def fitting(picture: Image.Image) -> Image.Image:
    """``picture``, shrunk if its longer side has more than 960 pixels."""
    if max(picture.size) <= SHOWN:
        return picture
    smaller = picture.copy()
    smaller.thumbnail((SHOWN, SHOWN), reducing_gap=2.0)
    return smaller


def as_png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    fitting(picture).save(file, "png", compress_level=6)
    return file.getvalue()


def as_html(result: Any) -> str:
    """HTML with the picture of a result, if it has one, and its lines."""
    lines = [str(line) for line in result.lines()]
    try:
        png = base64.b64encode(as_png(result.draw())).decode("ascii")
    except NotImplementedError:
        picture = ""
    else:
        words = html.escape("; ".join(lines[:3]), quote=True)
        picture = f'<img alt="{words}" style="max-width: 100%; height: auto" src="data:image/png;base64,{png}">'
    text = html.escape("\n".join(lines))
    return f'<figure style="margin: 0">{picture}<figcaption><pre>{text}</pre></figcaption></figure>'
