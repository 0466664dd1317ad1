"""PyTorch's exported programs: ``.pt2``, which only torch runs.

``torch.export.load`` is not safe for untrusted files: it unpickles objects, evaluates expressions, and accepts any
function of the module ``torch`` as an operator. Therefore only a copy of the checked content is loaded: a graph whose
nodes are operators of ATen, of zoo and of arithmetic, and tensors that are plain bytes.
"""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contract import Capture
from zoo.errors import CheckpointError
from zoo_tools.formats import KEY

if TYPE_CHECKING:
    from torch import Tensor

INT8 = b"torch.ops.quantized_decomposed."  # occurs in the graph of an int8 model
LARGEST = 1 << 24  # bytes of metadata
LARGEST_GRAPH = 1 << 28  # bytes of JSON
_KEPT = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json"
    r"|data/(weights|constants)/(\w+|model_(weights|constants)_config\.json)"
)
_IGNORED = re.compile(r"extra/[^/]+|data/sample_inputs/model\.pt")
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|zoo|zoo_\w+)\.\w+\.\w+|torch\.ops\.quantized_decomposed\.(de)?quantize_per_(tensor|channel)\.default|_operator\.\w+|math\.\w+|torch\.sym_\w+|torch\._sym_\w+"
)
_REFUSED = re.compile(r"torch\.ops\.aten\.(from_file|save|_?load\w*)\b.*|_operator\.(attrgetter|methodcaller|call)")
_PLAIN = re.compile(r"[\w.:\-+ ]*")
_WORDS = re.compile(r"[A-Za-z_]\w*")
_SYMBOLS = re.compile(r"[\w.,()+\-*/<>= ']*")
_FUNCTIONS = set(
    """Symbol Integer Rational Float Add Mul Pow Max Min Mod PythonMod FloorDiv CleanDiv CeilDiv CeilToInt FloorToInt
    TruncToInt TruncToFloat RoundToInt IntTrueDiv FloatTrueDiv ToFloat Where ModularIndexing LShift RShift Eq Ne Lt Le
    Gt Ge Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan And Or Not floor ceiling positive
    integer True False true false oo int_oo precision Identity nonnegative real""".split()
)
_TREES = {"builtins.dict", "builtins.list", "builtins.tuple", "collections.OrderedDict"}


def write(capture: Capture, path: Path) -> None:
    """Write a program with ``torch.export.save``, with the description as an extra file."""
    import torch

    torch.export.save(capture.program, path, extra_files={KEY: capture.facts})


def facts(path: Path) -> str | None:
    """The extra file ``zoo``.

    Raises:
        CheckpointError: the file is not such an archive, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if info.filename.partition("/")[2] == f"extra/{KEY}"]
            if not found or found[0].file_size > LARGEST or found[0].compress_type != zipfile.ZIP_STORED:
                return None
            return archive.read(found[0]).decode()
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as e:
        raise CheckpointError(f"{path} is not an exported program, or it is damaged or truncated ({e}).") from e


def open(path: Path) -> Callable[..., dict[str, Tensor]]:  # noqa: A001  the name in zoo.Format
    """A module that runs the file with torch on the CPU.

    Raises:
        CheckpointError: the file is not an exported program, or has content that is not allowed.
    """
    checked = checked_copy(path)
    import torch

    import zoo.ops  # noqa: F401  registers the operators
    from zoo_tools.exporting import named_tensors

    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    in_int8 = INT8 in checked.getvalue()
    if in_int8:
        from zoo_tools.int8 import load_operators

        load_operators()
    try:
        module: Any = torch.export.load(checked).module(check_guards=False)
    except Exception as e:  # torch raises many classes for an unexpected file
        raise CheckpointError(f"{path} cannot be loaded: {type(e).__name__}: {str(e).splitlines()[0]}") from e
    finally:
        logger.setLevel(level)

    if in_int8:
        from zoo_tools.int8 import frozen

        module = frozen(module)

    def run(*arguments: Tensor) -> dict[str, Tensor]:
        return named_tensors(module(*arguments))

    return run


def checked_copy(path: Path) -> io.BytesIO:
    """The parts of an archive that are needed to run it, checked to contain only arithmetic.

    Raises:
        CheckpointError: it contains anything else; the message names it.
    """
    copy = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as kept:
            seen: set[str] = set()
            for info in archive.infolist():
                name = info.filename.partition("/")[2]
                if name in seen or info.compress_type != zipfile.ZIP_STORED:
                    raise _refusal(path, f"{info.filename!r}, duplicated or compressed")
                seen.add(name)
                if _IGNORED.fullmatch(name):
                    continue
                if not _KEPT.fullmatch(name):
                    raise _refusal(path, f"{info.filename!r}")
                if name.endswith(".json"):
                    if info.file_size > LARGEST_GRAPH:
                        raise _refusal(path, f"{info.filename!r} of {info.file_size} bytes")
                    kept.writestr(f"model/{name}", json.dumps(_checked(path, name, json.loads(archive.read(info)))))
                else:
                    kept.writestr(f"model/{name}", archive.read(info))
            kept.writestr("model/data/sample_inputs/model.pt", b"")  # required by torch, which would unpickle it
            if not {"archive_format", "models/model.json", "data/weights/model_weights_config.json"} <= seen:
                raise CheckpointError(f"{path} is not an exported program of torch 2.9 or later.")
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RecursionError) as e:
        raise CheckpointError(f"{path} is not an exported program, or it is damaged or truncated ({e}).") from e
    copy.seek(0)
    return copy


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is refused: it contains {what[:200]}, which no export of zoo writes.")


def _checked(path: Path, name: str, content: Any) -> Any:
    """The archive's JSON without unneeded parts; raises if any part is not allowed."""
    if name != "models/model.json":
        for one in content["config"].values():
            if one["use_pickle"]:
                raise _refusal(path, "a pickled object")
    elif isinstance(content, dict):
        content["guards_code"] = []  # torch would compile this code; the caller checks sizes
    _walk(path, "", content)
    return content


def _walk(path: Path, key: str, value: Any) -> None:
    if isinstance(value, dict):
        if "metadata" in value and "target" in value:
            value["metadata"] = {}
        for name, inner in value.items():
            if not _PLAIN.fullmatch(name):
                raise _refusal(path, f"the name {name!r}")
            _walk(path, name, inner)
    elif isinstance(value, list):
        for inner in value:
            _walk(path, key, inner)
    elif isinstance(value, str):
        problem = _problem(key, value)
        if problem:
            raise _refusal(path, f"the {problem} {value!r}")


def _problem(key: str, text: str) -> str | None:
    """Describe a string that is not allowed here, or return None."""
    if key in ("target", "as_operator"):
        return None if _OPERATOR.fullmatch(text) and not _REFUSED.fullmatch(text) else "operator"
    if key == "expr_str":
        words = set(_WORDS.findall(re.sub(r"'[suz]\w*\d+'", "", text)))
        known = all(word in _FUNCTIONS or re.fullmatch(r"[suz]\w*\d+|e\d+", word) for word in words)
        return None if _SYMBOLS.fullmatch(text) and known and not re.search(r"\.\s*[A-Za-z_]", text) else "expression"
    if key in ("in_spec", "out_spec"):
        return None if not text or _is_tree(json.loads(text)) else "structure"
    if key in ("as_string", "as_strings"):
        return None
    return None if _PLAIN.fullmatch(text) else "name"


def _is_tree(spec: Any) -> bool:
    if isinstance(spec, dict):
        context = spec.get("context")
        plain = context is None or (isinstance(context, str) and re.fullmatch(r'null|\[("[\w.]*"(, )?)*\]', context))
        return spec.get("type") in {None, *_TREES} and bool(plain) and all(map(_is_tree, spec["children_spec"]))
    return isinstance(spec, list) and len(spec) == 2 and spec[0] == 1 and _is_tree(spec[1])
