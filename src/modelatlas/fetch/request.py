"""One request over http(s): a file or a span of its bytes, with errors that say what to do."""

import http.client
import ssl
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final
from urllib.parse import urlsplit

from modelatlas.errors import FetchError

__all__ = ["BrokenOffError", "NoSuchSpanError", "check_scheme", "open_url", "validator_of"]

_AGENT: Final = "modelatlas"


class BrokenOffError(Exception):
    """The connection ended before the file did."""


class NoSuchSpanError(Exception):
    """The file ends before the span that was asked for begins."""


class _SameSchemeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise FetchError(
                f"{req.full_url} redirects to {newurl}, which is not https; nothing was downloaded"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_scheme(url: str, *, allow_http: bool) -> None:
    """Refuse what is not https; http where it is allowed, with a warning.

    Raises
    ------
    FetchError
        Another scheme.
    """
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and allow_http):
        raise FetchError(f"{url}: only https addresses are fetched; nothing was downloaded")
    if scheme == "http":
        warnings.warn(f"{url} is fetched over http: anybody on the way can change it", stacklevel=3)


@contextmanager
def open_url(url: str, *, span: str | None, validator: str | None, timeout: float) -> Iterator[Any]:
    """Ask for a file, or for a span of its bytes; errors on the way become ours.

    Parameters
    ----------
    span
        As in `Range: bytes=`: `100-`, `100-199`; None: the whole file.
    validator
        ETag or date that the file must still have; else a server sends the whole file.

    Raises
    ------
    BrokenOffError
        The connection ended early; asking again may help.
    NoSuchSpanError
        The file ends before the span begins.
    FetchError
        No network, an error status, a web page instead of a file.
    """
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if span is not None:
        headers["Range"] = f"bytes={span}"
        if validator is not None:
            headers["If-Range"] = validator
    opener = urllib.request.build_opener(_SameSchemeRedirects)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
            _refuse_web_page(url, answer)
            yield answer
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer, and holds the connection
        if error.code == 416:
            raise NoSuchSpanError(f"it ends before {span}") from error
        raise FetchError(f"{url}: the server answered {error.code} {error.reason}; {_by_hand()}") from error
    except urllib.error.URLError as error:
        raise FetchError(f"cannot reach {urlsplit(url).netloc} ({error.reason}); {_by_hand()}") from error
    except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise BrokenOffError(str(error) or type(error).__name__) from error


def validator_of(answer: Any) -> str | None:
    """Tell what an answer's file can be recognised by: its strong ETag, else its date; None: nothing."""
    validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    # a weak ETag must not be used with If-Range (RFC 9110, 13.1.5)
    return None if validator is None or validator.startswith("W/") else str(validator)


def _refuse_web_page(url: str, answer: Any) -> None:
    if answer.headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
        raise FetchError(
            f"{url}: the server sent a web page, not a file (moved, or a log-in page on the way); "
            f"{_by_hand()}"
        )


def _by_hand() -> str:
    return (
        "check the network and proxy and run again, or get the file by hand and name it (--from FILE of "
        "`zoo fetch` or `probe fetch`)"
    )
