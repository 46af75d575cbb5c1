"""How far the totals are behind, for a card on the list of counters."""

from typing import Any

import redis

from commons.words import bytes_words, number_words
from counters import selectors
from counters.admin.words import seconds_words


def lag_card() -> dict[str, Any]:
    """Words for the card; `problem` when the stream cannot be asked."""
    try:
        state = selectors.state()
    except (redis.RedisError, OSError):
        unknown = dict.fromkeys(("behind", "waiting", "dead"), "unknown")
        return unknown | {
            "size": "",
            "problem": "Redis does not answer: what waits there is not known.",
        }
    waiting = sum(shard.waiting for shard in state.shards)
    waiting_bytes = sum(shard.waiting_bytes for shard in state.shards)
    return {
        "behind": seconds_words(state.lag_s),
        "waiting": number_words(waiting),
        # A stream that is empty takes some bytes, too, which tell nobody anything.
        "size": bytes_words(waiting_bytes) if waiting else "",
        "dead": number_words(state.dead_letters),
    }
