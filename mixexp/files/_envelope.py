"""The envelope of a model file: its format, version and checksum."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mixexp.exceptions import ModelFileError
from mixexp.text import shown

FORMAT = "mixexp-model"
#: Raised whenever a file that an older version wrote would be read otherwise.
VERSION = 1


class Kind(NamedTuple):
    """What a file is for.

    Parameters
    ----------
    content : str
        What it holds; the key of the content.
    format : str
        What it says of itself.
    version : int
    writer : str
        What writes it.
    """

    content: str
    format: str
    version: int
    writer: str


MODEL = Kind("model", FORMAT, VERSION, "to_json")


def seal(model: Mapping[str, Any], written_by: str, kind: Kind = MODEL) -> str:
    """Return the text of a file that holds a model, or what else, taken apart by `Codec`."""
    envelope = {
        "format": kind.format,
        "version": kind.version,
        "written_by": written_by,
        "sha256": _checksum(model),
        kind.content: model,
    }
    return json.dumps(envelope, allow_nan=False) + "\n"


def unseal(text: str, kind: Kind = MODEL) -> dict[str, Any]:
    """Return what `seal` was given.

    Raises
    ------
    ModelFileError
        If the text is no such file, of another version, or was changed since.
    """
    try:
        envelope = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"The file holds no JSON, or is truncated ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(envelope, dict) or envelope.get("format") != kind.format:
        raise ModelFileError(
            f"The file holds no {kind.content}: its 'format' is not {kind.format!r}, which "
            f"{kind.writer} writes."
        )
    version = envelope.get("version")
    if type(version) is not int or version != kind.version:
        raise ModelFileError(
            f"The file has version {shown(version)} of the format, written by "
            f"{shown(envelope.get('written_by'))}; this release reads version {kind.version}. Read "
            "it with a release that knows it."
        )
    keys = {"format", "version", "written_by", "sha256", kind.content}
    if set(envelope) != keys or not isinstance(envelope[kind.content], dict):
        raise ModelFileError(f"The file has entries {sorted(envelope)}; expected {sorted(keys)}.")
    if envelope["sha256"] != _checksum(envelope[kind.content]):
        raise ModelFileError(
            f"The file was changed after it was written: its {kind.content} has another checksum."
        )
    return dict(envelope[kind.content])


def as_path(path: Any) -> Path:
    """Return the place of a file.

    Raises
    ------
    TypeError
        If it is neither text nor a path.
    ValueError
        If it is empty, no name that a file can have, or what a file holds.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be text or a path. Got {shown(path)} instead.")
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError(f"path must be the name of a file. Got {shown(path)} instead.")
    if text.lstrip().startswith("{") and '"format"' in text:
        raise ValueError(
            "path must be the name of a file, and is the text of one. Write it to a file first: "
            "pathlib.Path('model.json').write_text(text)."
        )
    return Path(text)


def read_text(path: Any) -> str:
    """Return the text of a file.

    Raises
    ------
    ModelFileError
        If its bytes are no text.
    """
    try:
        return as_path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"The file {shown(path)} holds no JSON: {error}.") from error


def refuse_no_folder(path: Any) -> None:
    """Raise FileNotFoundError if the folder that a file is to be in is not there."""
    folder = as_path(path).resolve().parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"path is {shown(str(path))}, but there is no folder {shown(str(folder))}; make it "
            "before the fit."
        )


def write_whole(path: Any, content: bytes) -> None:
    """Write a file at once: whoever reads it finds the old one or the new one, whole."""
    target = as_path(path).resolve()
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _checksum(model: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a model as JSON of sorted keys, no spaces, and ASCII alone."""
    text = json.dumps(model, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found
