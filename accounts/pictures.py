"""Where people's pictures are kept: files under random names, never changed, each of one person.

Through Django's storages, alias `pictures`: a directory, or a bucket. Since a name is never used
twice, what is behind an address never changes, and since no two people share a file, removing one
person's picture takes nobody else's away.
"""

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import structlog
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.utils import timezone

from accounts.images import CONTENT_TYPE, SUFFIX, InvalidImageError, image_normalise
from runtime.errors import BusyError

log = structlog.get_logger(__name__)

URL_PREFIX = "/pictures/"
NAME_PATTERN = rf"[0-9a-f]{{32}}{re.escape(SUFFIX)}"
_NAME = re.compile(NAME_PATTERN)


class PictureStoreError(BusyError):
    """The store of pictures does not answer, or is full. Nothing was kept."""


def picture_store(*, data: bytes) -> str:
    """Check the uploaded bytes and keep the picture in them; gives its name for `User.image`.

    InvalidImageError when it is none that is accepted, BusyError when too many are being read,
    PictureStoreError when it cannot be kept. It is on disk before this returns. Belongs to nobody
    yet: `picture_remove` it when the change that should refer to it fails.
    """
    return _keep(image_normalise(data=data))


def picture_copy(*, url: str) -> str:
    """Keep a copy of the picture at one of our own addresses; gives the copy's name.

    InvalidImageError when the address is not that of a picture that is kept here.
    """
    data = picture_read(name=picture_name(url))
    if data is None:
        raise InvalidImageError("must be the address of a picture that was uploaded here")
    return _keep(data)


def picture_read(*, name: str) -> bytes | None:
    """The bytes of a picture, of type `image/webp`; None when there is none of that name."""
    if not _NAME.fullmatch(name):
        return None
    try:
        with _storage().open(_path(name)) as file:
            data: bytes = file.read()
    except FileNotFoundError:
        return None
    except _away() as error:
        raise _not_answering() from error
    return data


def picture_remove(*, name: str) -> None:
    """Delete a picture; nothing happens when there is none of that name, or no name.

    Does not raise when the store is away: the change that made the picture superfluous is
    committed by then, and holds. What stays behind is logged.
    """
    if not _NAME.fullmatch(name):
        return
    try:
        _storage().delete(_path(name))
    except _away() as error:
        log.warning("a superfluous picture stays", picture=name, error=str(error))


def pictures_kept() -> Iterator[list[str]]:
    """The names of all pictures that are kept, directory by directory. PictureStoreError."""
    storage = _storage()
    try:
        for number in range(256):
            directory = f"{number:02x}"
            if isinstance(storage, FileSystemStorage) and not storage.exists(directory):
                continue
            _, names = storage.listdir(directory)
            yield sorted(name for name in names if _NAME.fullmatch(name))
    except _away() as error:
        raise _not_answering() from error


def picture_age_s(*, name: str) -> float:
    """Seconds since a picture was kept; 0 when it is gone. PictureStoreError."""
    try:
        return (timezone.now() - _storage().get_modified_time(_path(name))).total_seconds()
    except FileNotFoundError:
        return 0.0
    except _away() as error:
        raise _not_answering() from error


def picture_url(name: str) -> str:
    """The path at which a picture is served; empty for no picture."""
    return f"{URL_PREFIX}{name}" if name else ""


def picture_name(url: str) -> str:
    """The name of the picture at an address of ours, with or without a host; else empty."""
    _, prefix, name = url.rpartition(URL_PREFIX)
    return name if prefix and _NAME.fullmatch(name) else ""


def _storage() -> Storage:
    storage: Storage = storages["pictures"]
    return storage


def _path(name: str) -> str:
    """Spread over 256 directories, which file systems and people list more easily."""
    return f"{name[:2]}/{name}"


def _keep(data: bytes) -> str:
    name = f"{secrets.token_hex(16)}{SUFFIX}"
    storage = _storage()
    file = ContentFile(data)
    file.content_type = CONTENT_TYPE  # type: ignore[attr-defined] # what S3's storage goes by
    try:
        storage.save(_path(name), file)
        if isinstance(storage, FileSystemStorage):
            _sync(Path(storage.path(_path(name))))
    except _away() as error:
        raise _not_answering() from error
    return name


def _sync(path: Path) -> None:
    """Onto the disk, also by its name: the database will refer to it after a power cut too."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _away() -> tuple[type[Exception], ...]:
    """What the storage in use raises when it cannot be reached, or is full."""
    if isinstance(_storage(), FileSystemStorage):
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, BotoCoreError, ClientError)


def _not_answering() -> PictureStoreError:
    return PictureStoreError("image: pictures cannot be kept just now, nothing was changed")
