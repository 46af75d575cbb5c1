"""Carries out operators' writes of single ads beside the event loop, in threads of their own and
with a bounded line.
"""

from collections.abc import Callable
from functools import partial
from logging import getLogger
from uuid import UUID

import msgspec
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied

from adserver import services
from adserver.api.representations import ad_json
from adserver.records import Actor, AdFields, StoredAd, parse_fields
from adserver.write_door import AdWrite
from commons.answering import AnswerLane
from runtime.http.answer import Answer, Headers
from runtime.http.errors import error_answer
from runtime.http.routes import Reply
from runtime.strict_json import InvalidBodyError, decode_json

log = getLogger(__name__)

BUSY = error_answer(503, "catalog: too many writes wait, nothing was accepted", retry_after_s=1)
_encode = msgspec.json.Encoder().encode

# Who this API token lets use a method; raises what `refusal` words for anybody else.
Permit = Callable[[str, str], Actor]


class AdLane(AnswerLane):
    """One worker's threads for what operators do with ads; `refusal` also words what `permit`
    raises.
    """

    name = "ads"
    busy = BUSY
    # As long as the one before may wait for the catalog's lock.
    patience_s = services.LOCK_WAIT_MS / 1000

    def __init__(
        self, *, threads: int, waiting: int, permit: Permit, refusal: Callable[[Exception], Answer]
    ) -> None:
        super().__init__(threads=threads, waiting=waiting, refusal=refusal)
        self._permit = permit

    def hand_over(self, write: AdWrite, reply: Reply) -> None:
        """Reply later, on this event loop, with what the view of this method would answer; at once
        when too many wait.
        """
        self._take(partial(self._carry_out, write), reply)

    def _carry_out(self, write: AdWrite) -> Answer:
        try:
            actor = self._permit(write.token, write.method)
        except (AuthenticationFailed, PermissionDenied) as error:
            where = write.address or "nowhere"
            log.warning("a %s from %s was refused: %s", write.method, where, error)
            raise
        return _carry_out(write, actor)


def _carry_out(write: AdWrite, actor: Actor) -> Answer:
    if write.ad_id is None:
        return _create(_object(write.body), actor)
    match write.method:
        case "PUT":
            fields = parse_fields(_object(write.body))
            return _whole(services.ad_replace(ad_id=write.ad_id, fields=fields, actor=actor))
        case "PATCH":
            return _change(write.ad_id, _object(write.body), actor)
        case _:
            version = services.ad_delete(ad_id=write.ad_id, actor=actor)
            return Answer(204, b"", _version(version))


def _object(body: bytes) -> dict[str, object]:
    # An empty body is an object without fields, as for the framework.
    raw = decode_json(body) if body else {}
    if not isinstance(raw, dict):
        raise InvalidBodyError("body: must be an object")
    return raw


def _create(raw: dict[str, object], actor: Actor) -> Answer:
    ad = services.ad_create(fields=parse_fields(raw), actor=actor)
    return Answer(201, _encode({"msg": "Ad created", "data": ad.id}), _version(ad.version))


def _change(ad_id: UUID, raw: dict[str, object], actor: Actor) -> Answer:
    def change(base: AdFields) -> AdFields:
        return parse_fields(raw, base=base)

    return _whole(services.ad_change(ad_id=ad_id, change=change, actor=actor))


def _whole(ad: StoredAd) -> Answer:
    return Answer(200, _encode(ad_json(ad)), _version(ad.version))


def _version(version: int) -> Headers:
    return ((b"x-catalog-version", b"%d" % version),)
