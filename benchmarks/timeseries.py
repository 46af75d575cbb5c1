"""T1 to T4: the time series; what they do is in `timeseries_doors` and `timeseries_store`."""

from pathlib import Path

from benchmarks import timeseries_doors, timeseries_store
from benchmarks.ads import Effort
from benchmarks.house import Catalog
from benchmarks.report import Result
from tests.support.stores import Stores


class TimeseriesBenchmarks:
    """The benchmarks over one set of throw-away stores, on disk as in production."""

    def __init__(self, stores: Stores, directory: Path, effort: Effort) -> None:
        self._effort = effort
        self._house = Catalog(stores, directory, count=1)

    def t1(self) -> Result:
        """Single messages beside bare ASGI."""
        return timeseries_doors.t1(self._house, self._effort)

    def t2(self) -> Result:
        """Bursts of batches."""
        return timeseries_doors.t2(self._house, self._effort)

    def t3(self) -> Result:
        """Questions while messages arrive."""
        return timeseries_doors.t3(self._house, self._effort)

    def t4(self) -> Result:
        """Batches of 10 000, 50 000 and 200 000 measurements into PostgreSQL."""
        urls = self._house.database_url, self._house.redis_url
        return timeseries_store.t4(*urls, rounds=self._effort.rounds)
