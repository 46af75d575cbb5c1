"""The admin's room for time series: tags, rate, lag, partitions, and a chart of any tag.

Nothing here writes a table.
"""

from timeseries.admin.tags import TagAdmin

__all__ = ["TagAdmin"]
