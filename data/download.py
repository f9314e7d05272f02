"""Fetching files: whole and as they should be, or not at all.

What comes goes to ``NAME.part`` first, where a download that broke off goes on, and gets its name once its checksum is
right.  Archives are not unpacked blindly: only files that are asked for by name are taken out of them.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

_PART = 1 << 20


def checksum(path: Path) -> str:
    """The file's MD5: what the publishers of data sets give; it tells damage, not malice."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def download(urls: Sequence[str], path: Path, md5: str) -> None:
    """Fetch ``path`` from the first of ``urls`` that has it.

    A file that is there already and right is left alone.  Raises RuntimeError, naming every address and what happened
    there, where none gives the right file.
    """
    if path.is_file() and checksum(path) == md5:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    said = []
    for url in urls:
        for _ in range(2):  # the rest of a file, or a damaged one, once more from the beginning
            rest = part.exists()
            try:
                _fetch(url, part)
            except (OSError, http.client.HTTPException) as error:
                said.append(f"{url}: {error}")
                if isinstance(error, urllib.error.HTTPError) and error.code == 416:  # no such rest
                    part.unlink(missing_ok=True)
                    continue
                break
            found = checksum(part)
            if found == md5:
                os.replace(part, path)
                return
            part.unlink()
            said.append(f"{url}: has the checksum {found}, expected {md5}")
            if not rest:
                break
    raise RuntimeError(
        f"download: {path.name} could not be fetched ({'; '.join(said)}); "
        f"without a network connection, put the file into {path.parent} by hand"
    )


def _fetch(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "trigrad"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=60) as answer:
        goes_on = have and getattr(answer, "status", None) == 206
        length = answer.headers.get("Content-Length")
        with part.open("ab" if goes_on else "wb") as out:
            before = out.tell()
            shutil.copyfileobj(answer, out, _PART)
            if length is not None and out.tell() - before < int(length):
                raise OSError(f"broke off after {out.tell()} bytes; call again to go on")


def unzip(path: Path, target: Path) -> None:
    """Unpack a gzip file to ``target``, which appears when it is whole."""
    part = target.with_name(f"{target.name}.part")
    with gzip.open(path) as source, part.open("wb") as out:
        shutil.copyfileobj(source, out, _PART)
    os.replace(part, target)


def take(archive: Path, names: Sequence[str], folder: Path) -> None:
    """Take these files out of a tar archive into ``folder``, without the folders they are in.

    Raises RuntimeError where one is missing or no plain file.
    """
    with tarfile.open(archive) as tar:
        for name in names:
            try:
                member = tar.getmember(name)
            except KeyError:
                raise RuntimeError(f"take: {archive} has no file {name}") from None
            source = tar.extractfile(member) if member.isreg() else None
            if source is None:
                raise RuntimeError(f"take: {name} in {archive} is no plain file")
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / Path(name).name
            part = target.with_name(f"{target.name}.part")
            with source, part.open("wb") as out:
                shutil.copyfileobj(source, out, _PART)
            os.replace(part, target)
