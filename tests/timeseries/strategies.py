"""Measurements that hypothesis makes up: few tags and times, so that they meet."""

from hypothesis import strategies as st

from timeseries.records import AGGREGATES, Measurement, Query

# An hour boundary is inside, as stores may keep each hour apart.
EPOCH_NS = 1_700_000_000_000_000_000 // 3_600_000_000_000 * 3_600_000_000_000
SPREAD_NS = 40
TAGS = ["a", "b", "ä long tag, 20 char…", " "]

tags = st.sampled_from(TAGS)
times = st.integers(EPOCH_NS - SPREAD_NS, EPOCH_NS + SPREAD_NS)
floats = st.one_of(
    st.integers(-5, 5).map(float), st.floats(-1e6, 1e6, allow_nan=False), st.just(-0.0)
)
# Mostly of one length, as real ones are.
values = st.one_of(
    st.lists(floats, min_size=2, max_size=2),
    st.lists(floats, min_size=1, max_size=4),
    st.lists(floats, min_size=64, max_size=64),
)
messages = st.lists(st.builds(Measurement, time=times, tag=tags, values=values), max_size=30)


@st.composite
def queries(draw: st.DrawFn, aggregates: tuple[str, ...] = AGGREGATES) -> Query:
    """Any query around the measurements."""
    start_ns = draw(st.integers(EPOCH_NS - 2 * SPREAD_NS, EPOCH_NS + SPREAD_NS))
    return Query(
        tag=draw(tags),
        start_ns=start_ns,
        end_ns=start_ns + draw(st.integers(1, 3 * SPREAD_NS)),
        samples=draw(st.integers(1, 50)),
        aggregate=draw(st.sampled_from(aggregates)),
    )
