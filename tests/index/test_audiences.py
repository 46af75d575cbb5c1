"""Which segments an ad concerns: as the filter over all of them says, whatever came and went."""

from hypothesis import given
from hypothesis import strategies as st

from adserver.audiences import Audiences
from adserver.blocks import OrderedBlocks, conditions_of
from adserver.records import AdRecord
from adserver.segments import Segment
from adserver.targeting import ad_mask, need_of
from tests.index.reference import Visitor, code_of, fits
from tests.index.strategies import records, visitors

SEGMENTS = 5


def segment_of(visitor: Visitor) -> Segment:
    code = code_of(visitor)
    return Segment(code, conditions_of(need_of(code)), OrderedBlocks(), size=40, seen=0)


@given(asked=st.lists(visitors, max_size=3 * SEGMENTS), ads=st.lists(records(), max_size=5))
def test_an_ad_concerns_the_visitors_that_it_fits(
    asked: list[Visitor], ads: list[AdRecord]
) -> None:
    audiences = Audiences()
    known: dict[int, tuple[Segment, Visitor]] = {}
    for visitor in asked:
        segment = segment_of(visitor)
        old = known.get(segment.visitor)
        if old is not None:
            audiences.replace(old[0], segment)
        elif out := audiences.put(segment, most=SEGMENTS):
            # The oldest goes; a replaced one keeps its place.
            assert out is next(iter(known.values()))[0]
            del known[out.visitor]
        known[segment.visitor] = segment, visitor
    assert len(known) <= SEGMENTS
    for ad in ads:
        wanted = {code for code, (_, visitor) in known.items() if fits(ad, visitor)}
        found = audiences.concerned(ad_mask(ad), most=SEGMENTS)
        assert found is not None
        assert {segment.visitor for segment in found} == wanted
        assert all(segment is known[segment.visitor][0] for segment in found)
        few = audiences.concerned(ad_mask(ad), most=2)
        assert (few is None) == (len(wanted) > 2)
