"""Bodies that are no JSON."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from adserver.rows import rows_from_csv
from adserver.services import IMPORT_ROWS_MAX


class CSVParser(BaseParser):
    """CSV with a header line, in UTF-8 whatever charset the request claims."""

    media_type = "text/csv"

    def parse(  # type: ignore[override] # JSON's parser gives lists as well
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> list[object]:
        """The rows, not yet checked. RowsError or ParseError when there are none to be had."""
        try:
            text = stream.read().decode()
        except UnicodeDecodeError:
            raise ParseError("body: is not valid UTF-8") from None
        return rows_from_csv(text, most=IMPORT_ROWS_MAX)
