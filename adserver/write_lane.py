"""Creates ads beside the event loop, in threads of their own and with a bounded line."""

from collections.abc import Callable
from functools import partial
from logging import getLogger

import msgspec

from adserver import services
from adserver.records import Actor, parse_fields
from adserver.write_door import AdWrite
from commons.answering import AnswerLane
from runtime.http.answer import Answer
from runtime.http.errors import error_answer
from runtime.http.routes import Reply
from runtime.strict_json import InvalidBodyError, decode_json

log = getLogger(__name__)

BUSY = error_answer(503, "catalog: too many writes wait, nothing was accepted", retry_after_s=1)
_encode = msgspec.json.Encoder().encode

# Who may create ads with this API token; raises what `refusal` words for anybody else.
Permit = Callable[[str], Actor]


class AdLane(AnswerLane):
    """One worker's threads for the ads that operators create; `refusal` also words what `permit`
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
        """Reply later, on this event loop, with the new ad's id or why there is none; at once when
        too many wait.
        """
        self._take(partial(self._create, write), reply)

    def _create(self, write: AdWrite) -> Answer:
        try:
            actor = self._permit(write.token)
        except Exception as error:
            log.warning("a new ad from %s was refused: %s", write.address or "nowhere", error)
            raise
        # An empty body is an object without fields, as for the framework.
        raw = decode_json(write.body) if write.body else {}
        if not isinstance(raw, dict):
            raise InvalidBodyError("body: must be an object")
        ad = services.ad_create(fields=parse_fields(raw), actor=actor)
        body = _encode({"msg": "Ad created", "data": ad.id})
        return Answer(201, body, ((b"x-catalog-version", b"%d" % ad.version),))
