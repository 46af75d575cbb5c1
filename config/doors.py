"""Django's door to handlers that give an `Answer`."""

from django.http import HttpResponse

from runtime.http.answer import Answer


def response_of(answer: Answer) -> HttpResponse:
    """The same status, body and headers, as JSON."""
    return HttpResponse(
        answer.body,
        status=answer.status,
        content_type="application/json",
        headers=answer.text_headers(),
    )
