"""Style, script and picture: a few files, read once, and named by their content so that browsers keep them."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import falcon

from app.errors import NotFound

_TYPES = {
    "console.css": "text/css; charset=utf-8",
    "refresh.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True)
class File:
    """`tag` stands for the content."""

    content: bytes
    content_type: str
    tag: str


class Static:
    """GET /console/static/{name}."""

    public = True

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        if name not in _TYPES:
            raise NotFound(f"there is no {name[:100]!r} here")
        file = _file(name)
        resp.etag = file.tag
        is_named = req.get_param("v") == file.tag
        resp.cache_control = ["public", "max-age=31536000", "immutable"] if is_named else ["public", "no-cache"]
        if req.if_none_match and any(each in ("*", file.tag) for each in req.if_none_match):
            resp.status = falcon.HTTP_304
            return
        resp.data, resp.content_type = file.content, file.content_type


def address_of(name: str) -> str:
    """Where a page finds a file: another address for another content."""
    return f"/console/static/{name}?v={_file(name).tag}"


@cache
def _file(name: str) -> File:
    content = files("app.console").joinpath("static", name).read_bytes()
    return File(content, _TYPES[name], hashlib.sha256(content).hexdigest()[:16])
