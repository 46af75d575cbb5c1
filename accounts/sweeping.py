"""Removes pictures that nobody has: what a crash between storing and committing leaves behind."""

from collections.abc import Sequence

from accounts.models import User
from accounts.pictures import picture_age_s, picture_remove, pictures_kept

# A picture is stored a moment before its person refers to it.
SPARED_S = 3600.0
_ASKED_AT_ONCE = 1000


def pictures_sweep(*, spared_s: float = SPARED_S) -> tuple[int, int]:
    """Remove all pictures that are older than `spared_s` seconds and nobody's; gives how many were
    looked at, and how many removed. PictureStoreError when the store does not answer.
    """
    looked_at = removed = 0
    for names in pictures_kept():
        looked_at += len(names)
        for first in range(0, len(names), _ASKED_AT_ONCE):
            for name in _nobodys(names[first : first + _ASKED_AT_ONCE]):
                if picture_age_s(name=name) > spared_s:
                    picture_remove(name=name)
                    removed += 1
    return looked_at, removed


def _nobodys(names: Sequence[str]) -> list[str]:
    somebodys = set(User.objects.filter(image__in=names).values_list("image", flat=True))
    return [name for name in names if name not in somebodys]
