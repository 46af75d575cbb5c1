"""The admin's rooms for operators: ads, import and export, the visitor page, the change log.

Nothing here writes a table: every form, button and upload goes through `adserver.services`.
"""

from django.contrib import admin

from adserver.admin.ads import AdAdmin
from adserver.admin.changes import AdChangeAdmin

admin.site.index_title = "Overview"

__all__ = ["AdAdmin", "AdChangeAdmin"]
