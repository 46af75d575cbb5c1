"""A connection to kdb+: its address, its errors, and tables on their way in and out.

The only module that imports kola, which comes with requirements/kdb.txt. A kola connection is
synchronous and for one thread at a time; it lets other threads run while it waits.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import polars as pl
from kola.exceptions import KolaAuthError, KolaError, KolaIOError
from kola.q import Q

from timeseries.batches import Batch, Rows
from timeseries.records import Measurement, StoreAwayError

DEFAULT_PORT = 5010


class KdbRefusedError(StoreAwayError):
    """kdb+ answers, but says that something is wrong: mostly that its functions are not there."""


@dataclass(frozen=True, kw_only=True)
class KdbAddress:
    """Where kdb+ listens: `kdb://user:password@host:port`, or `kdbs://` for TLS."""

    host: str
    port: int
    user: str
    password: str
    tls: bool

    @classmethod
    def of(cls, url: str) -> "KdbAddress":
        """The address in a URL. ValueError when it is none."""
        parts = urlsplit(url)
        if parts.scheme not in ("kdb", "kdbs") or not parts.hostname:
            raise ValueError("the address of kdb+ must be kdb://host:port or kdbs://host:port")
        return cls(
            host=parts.hostname,
            port=parts.port or DEFAULT_PORT,
            user=unquote(parts.username or "adhouse"),
            password=unquote(parts.password or ""),
            tls=parts.scheme == "kdbs",
        )

    def __str__(self) -> str:
        return f"kdb+ at {self.host}:{self.port}"


class KdbLink:
    """One connection, made when first used and again after a failure; for one thread at a time."""

    def __init__(self, address: KdbAddress, *, timeout_s: int) -> None:
        self._address = address
        self._timeout_s = timeout_s
        # Comes without types.
        self._q: Any = None

    def call(self, function: str, *arguments: Any) -> Any:
        """What `function` gives for the arguments. StoreAwayError when kdb+ does not answer in
        time, or says that something is wrong: what was asked then is done wholly or not at all.
        """
        try:
            if self._q is None:
                self._q = self._connected()
            return self._q.sync(function, *arguments)
        except KolaError as error:
            raise KdbRefusedError(f"{self._address}: {error}") from error
        except (KolaIOError, KolaAuthError, OSError) as error:
            # An answer that comes late would be taken for that to the next question.
            self.close()
            raise StoreAwayError(f"{self._address}: {error}") from error

    def _connected(self) -> Any:
        address = self._address
        q: Any = Q(
            address.host,
            address.port,
            user=address.user,
            passwd=address.password,
            enable_tls=address.tls,
            timeout=self._timeout_s,
        )
        q.connect()
        return q

    def close(self) -> None:
        """Let go of the connection."""
        q, self._q = self._q, None
        if q is not None:
            # It says so when the connection is gone already.
            with suppress(KolaIOError):
                q.disconnect()


def definitions() -> list[str]:
    """The lines of deploy/kdb/timeseries.q that define something."""
    path = Path(__file__).resolve().parents[2] / "deploy" / "kdb" / "timeseries.q"
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("/")]


def init(link: KdbLink) -> bool:
    """Load the functions, and make the tables if there are none: then True. StoreAwayError.

    A process that was started with deploy/kdb/chili.q has its functions, around its log.
    """
    if not _says(link, ".ts.ownFunctions"):
        _load(link)
    rows = measurement_table(Batch.of([Measurement(time=0, tag="a", values=[1.0])]))
    writers, state = writer_table("s", {b"w": 1}, 0), state_table("s", 1, "e")
    return bool(link.call(".ts.init", rows, writers, state))


def _load(link: KdbLink) -> None:
    for line in definitions():
        if line.startswith(".ts.ready") and _says(link, ".ts.ready"):
            continue
        # A function cannot be sent back, so each line ends with something that can.
        link.call(f"{line} 1")


def _says(link: KdbLink, name: str) -> bool:
    """Whether something of that name is there, and true."""
    try:
        return bool(link.call(name))
    except KdbRefusedError:
        return False


def measurement_table(batch: Batch) -> pl.DataFrame:
    """The rows as kdb+ takes them: symbols, longs, and a list of floats each."""
    if not len(batch):
        values = pl.Series("val", [], dtype=pl.List(pl.Float64))
        return pl.DataFrame({"tag": _symbols([]), "time": batch.times_ns, "val": values})
    columns = {"row": np.repeat(np.arange(len(batch)), batch.counts), "val": batch.values}
    lists = pl.DataFrame(columns).group_by("row", maintain_order=True).agg(pl.col("val"))
    names = pl.Series("tag", batch.names, dtype=pl.String)
    return pl.DataFrame(
        {
            "tag": names.gather(batch.codes).cast(pl.Categorical),
            "time": batch.times_ns,
            "val": lists["val"],
        }
    )


def writer_table(stream: str, seqs: dict[bytes, int], at_ms: int) -> pl.DataFrame:
    """The writers' numbers as kdb+ takes them; a writer's id is a symbol in hexadecimal."""
    return pl.DataFrame(
        {
            "stream": _symbols([stream] * len(seqs)),
            "writer": _symbols([writer.hex() for writer in seqs]),
            "seq": pl.Series(list(seqs.values()), dtype=pl.Int64),
            "at": pl.Series([at_ms] * len(seqs), dtype=pl.Int64),
        }
    )


def state_table(stream: str, version: int, entry: str) -> pl.DataFrame:
    """A stream's state as kdb+ takes it."""
    return pl.DataFrame(
        {"stream": _symbols([stream]), "version": [version], "entry": _symbols([entry])}
    )


def points_table(tag: str, times_ns: list[int]) -> pl.DataFrame:
    """Points of one tag to look up, as kdb+ takes them."""
    return pl.DataFrame({"tag": _symbols([tag] * len(times_ns)), "time": times_ns})


def _symbols(texts: list[str]) -> pl.Series:
    return pl.Series(texts, dtype=pl.Categorical)


def seqs_of(table: pl.DataFrame) -> dict[bytes, int]:
    """The writers' numbers in what `.ts.known` gives."""
    writers = table["writer"].cast(pl.String).to_list()
    return {bytes.fromhex(writer): seq for writer, seq in zip(writers, table["seq"], strict=True)}


def rows_of(table: pl.DataFrame) -> Rows:
    """Rows out of a table ordered by time and arrival; of equal times the last one is taken."""
    if not len(table):
        return Rows(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    table = table.filter(pl.col("time") != pl.col("time").shift(-1, fill_value=-1))
    values = table["val"]
    return Rows(
        table["time"].to_numpy().astype(np.int64),
        values.list.len().to_numpy().astype(np.int64),
        values.explode().to_numpy().astype(np.float64),
    )
