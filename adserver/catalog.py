"""This process's catalog and its hot handler: answers 503 until a replica has filled it."""

from adserver.fastpath import AdLookup
from adserver.index import CatalogIndex

process_index = CatalogIndex()
lookup_ads = AdLookup(process_index)
