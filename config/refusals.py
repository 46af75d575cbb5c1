"""What the doors of the api pool share: how errors are worded, and which hosts are served."""

from functools import lru_cache
from logging import getLogger

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from rest_framework.exceptions import APIException, AuthenticationFailed

from config.api import fault_of, framework_msg
from runtime.http.answer import Answer
from runtime.http.errors import INTERNAL_ERROR, error_answer

log = getLogger(__name__)

_HOSTS_MOST = 1_000
_CHALLENGE = ((b"www-authenticate", b"Token"),)


@lru_cache(maxsize=_HOSTS_MOST)
def host_is_allowed(host: bytes) -> bool:
    """Whether Django would serve a request with this `Host`."""
    domain, _port = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def refusal(error: Exception) -> Answer:
    """What a view that raises this would answer."""
    if isinstance(error, APIException):
        answer = error_answer(error.status_code, framework_msg(error))
        if isinstance(error, AuthenticationFailed):
            return answer._replace(headers=_CHALLENGE)
        return answer
    fault = fault_of(error)
    if fault is None:
        log.error("unhandled error in a hot request", exc_info=error)
        return INTERNAL_ERROR
    return error_answer(fault.status, fault.msg, retry_after_s=fault.retry_after_s)
