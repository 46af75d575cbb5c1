"""The form of one ad. What it accepts is decided by `adserver.records`, in the API's words."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from unfold.widgets import (
    BASE_INPUT_CLASSES,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from adserver.admin.words import GENDER_NAMES, PLATFORM_NAMES, country_choices
from adserver.models import Ad, record_of
from adserver.records import (
    AGE_MAX,
    AGE_MIN,
    FIELDS,
    TITLE_CHARACTERS,
    AdFields,
    InvalidAdError,
    fields_of,
    parse_fields,
)
from adserver.selectors import HistoryEntry, ad_history
from commons.words import moment_words
from runtime.errors import ConflictError

_REQUIRED = {"required": "is required"}
_WHOLE = {"invalid": "must be a whole number"}
_TIME = {**_REQUIRED, "invalid": "must be a time such as 2026-01-31 18:00"}
_EVERYBODY = "None chosen means everybody."


class EditConflictError(ConflictError):
    """Somebody else changed the ad between its check and its writing."""


class _TimeField(forms.DateTimeField):
    """A time in the page's zone; in UTC where the calendar ends before the zone's clock does."""

    def prepare_value(self, value: Any) -> Any:
        """What the browser shows for it."""
        try:
            return super().prepare_value(value)
        except OverflowError:
            return value.replace(tzinfo=None)

    def as_shown(self, moment: datetime) -> Any:
        """The moment as it comes back from a browser that nobody typed into."""
        return self.clean(self.widget.format_value(self.prepare_value(moment)))


def _time_field(label: str, help_text: str) -> _TimeField:
    widget = forms.DateTimeInput(
        format="%Y-%m-%dT%H:%M:%S",
        attrs={"type": "datetime-local", "class": " ".join(BASE_INPUT_CLASSES)},
    )
    return _TimeField(label=label, help_text=help_text, widget=widget, error_messages=_TIME)


def _age_field(label: str, default: int) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        initial=default,
        error_messages=_WHOLE,
        widget=UnfoldAdminIntegerFieldWidget(attrs={"min": AGE_MIN, "max": AGE_MAX}),
    )


def _checkboxes(label: str, names: dict[str, str]) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label,
        required=False,
        choices=list(names.items()),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_EVERYBODY,
    )


class AdForm(forms.ModelForm):  # type: ignore[type-arg] # not generic when it runs
    """An ad's fields; `ad_fields` holds the checked result, `seen` what was there before.

    `base_version` is the version that the person looked at: somebody else's later change is shown
    once instead of being overwritten unseen.
    """

    base_version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    title = forms.CharField(
        error_messages=_REQUIRED,
        strip=False,
        widget=UnfoldAdminTextInputWidget(attrs={"maxlength": TITLE_CHARACTERS[1]}),
        help_text=f"{TITLE_CHARACTERS[0]} to {TITLE_CHARACTERS[1]} characters.",
    )
    content = forms.CharField(
        required=False, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 4})
    )
    start_at = _time_field("Start", "Shown from this moment on.")
    end_at = _time_field("End", "No longer shown from this moment on.")
    age_start = _age_field("Youngest age", AGE_MIN)
    age_end = _age_field("Oldest age", AGE_MAX)
    gender = _checkboxes("Gender", GENDER_NAMES)
    platform = _checkboxes("Platform", PLATFORM_NAMES)
    country = forms.MultipleChoiceField(
        label="Countries",
        required=False,
        choices=country_choices,
        widget=UnfoldAdminSelect2MultipleWidget(attrs={"data-placeholder": "Everywhere"}),
        help_text="Type a name or a code. None chosen means everywhere.",
    )

    class Meta:
        model = Ad
        fields = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ad_fields: AdFields | None = None
        self.seen: AdFields | None = None
        if not self.instance._state.adding:
            self.seen = fields_of(record_of(self.instance))
            self.initial["base_version"] = self.instance.version

    def clean(self) -> dict[str, Any]:
        """Check the whole ad, then whether somebody else changed it meanwhile."""
        data = self.cleaned_data
        raw = {name: self._kept(name, data[name]) for name in FIELDS if name in data}
        try:
            self.ad_fields = parse_fields(raw)
        except InvalidAdError as error:
            for name, message in error.errors.items():
                if name not in self.errors:
                    self.add_error(name, message)
        self._refuse_stale(data.get("base_version"))
        return data

    def _kept(self, name: str, value: Any) -> Any:
        """The value as it was where a browser's input field cannot say the difference."""
        before = getattr(self.seen, name, None)
        if isinstance(value, datetime) and before is not None:
            return before if value == self._field(name).as_shown(before) else value
        if name == "content":
            value = value.replace("\r\n", "\n")
            return before if before and before.replace("\r\n", "\n") == value else value
        if name in ("age_start", "age_end") and value is None:
            return AGE_MIN if name == "age_start" else AGE_MAX
        if isinstance(value, list) and before is not None and set(value) == set(before):
            return list(before)
        return value

    def _field(self, name: str) -> _TimeField:
        field = self.fields[name]
        assert isinstance(field, _TimeField)
        return field

    def _refuse_stale(self, base_version: int | None) -> None:
        if self.seen is None or base_version is None or base_version >= self.instance.version:
            return
        history = ad_history(self.instance.pk, since=base_version)
        entries = [entry for entry in history if entry.version > base_version]
        if any(entry.changed for entry in entries):
            self.add_error(None, _stale_words(entries))
            # Saved again, the answer counts: it was given with the other change in sight.
            data = MultiValueDict(dict(self.data))
            data[self.add_prefix("base_version")] = str(self.instance.version)
            self.data = data

    def merged(self, current: AdFields) -> AdFields:
        """What to write over `current`. EditConflictError when that is not what was checked."""
        if self.ad_fields is None or current != self.seen:
            raise EditConflictError("somebody else changed this ad at the same moment")
        return self.ad_fields

    def _post_clean(self) -> None:
        """Nothing: the instance is left as it is, and `records` has checked what models would."""


def _stale_words(entries: list[HistoryEntry]) -> str:
    last = entries[0]
    names = ", ".join(dict.fromkeys(name for entry in entries for name in entry.changed))
    return (
        f"{last.actor} changed this ad at {moment_words(last.at)}, after you opened it ({names}). "
        "Your input is below, nothing is saved yet: look at the history, then save again to "
        "replace that change."
    )


def zone_words() -> str:
    """In which zone the form's times are, and what time it is there."""
    zone = timezone.get_current_timezone_name()
    return f"Times are in {zone}; it is now {moment_words(timezone.now())} there."
