"""What the ads list and the ad's form show besides the fields themselves."""

import msgspec
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from adserver.admin.words import clock_words, state_badge, targeting_words
from adserver.catalog import process_index
from adserver.models import Ad, record_of
from adserver.records import render
from commons.words import moment_words


class AdColumns:
    """The computed columns, for `AdAdmin`."""

    @display(description="State")
    def state_shown(self, ad: Ad) -> str:
        """Scheduled, live or ended."""
        return state_badge(ad.state)

    @display(description="Flight", ordering="end_at")
    def flight_shown(self, ad: Ad) -> str:
        """Start, end, and how far away the next of them is."""
        return format_html(
            '<div><span class="ah-nowrap">{} – {}</span><br><span class="ah-muted">{}</span></div>',
            moment_words(ad.start_at),
            moment_words(ad.end_at),
            clock_words(ad, timezone.now()),
        )

    @display(description="For whom")
    def targeting_shown(self, ad: Ad) -> str:
        """The targeting in short."""
        return targeting_words(ad)

    @display(description="Created", ordering="created_at")
    def created_shown(self, ad: Ad) -> str:
        """When the ad was made."""
        return moment_words(ad.created_at)

    @display(description="Updated", ordering="updated_at")
    def updated_shown(self, ad: Ad) -> str:
        """When the ad was last written."""
        return moment_words(ad.updated_at)

    @display(description="Served now")
    def served_shown(self, ad: Ad) -> str:
        """Whether the index of the process that answers this page shows the ad to anybody."""
        if process_index.version is None:
            return "unknown: the catalog is not loaded yet"
        return "yes" if process_index.contains(ad.pk) else "no"

    @display(description="As visitors get it")
    def json_shown(self, ad: Ad) -> str:
        """The ad's JSON as it stands in an answer."""
        pretty = msgspec.json.format(render(record_of(ad)), indent=2).decode()
        return format_html('<pre class="ah-json">{}</pre>', pretty)
