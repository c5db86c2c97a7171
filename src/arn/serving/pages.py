"""The page at `/`, the description in OpenAPI's words, and that as a page; nothing comes from outside."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping
from importlib.resources import files
from string import Template
from typing import Any

from arn import __version__
from arn.serving.limits import Limits

# Of each kind the formats that can hold it, its default first.
KINDS = {"cutout": ("png", "webp"), "overlay": ("jpeg", "png", "webp"), "map": ("png", "webp", "jpeg")}
FORMATS = ("png", "webp", "jpeg")

_OURS, _HOUSE = (
    files("arn.serving") / "templates",
    files("arn.report") / "templates",
)  # the house's look is the report's


def main_page(by: str) -> tuple[str, dict[str, str]]:
    """HTML and its headers; `by`: what makes the maps, in words."""
    # In a block, which keeps their names from the window's.
    script = "'use strict';\n{\n" + _read(_OURS, "serve.js") + _read(_HOUSE, "switch.js") + "}\n"
    formats = " ".join(f"{kind}:{of[0]}" for kind, of in KINDS.items())
    return _page("serve.html", script, by=html.escape(by), formats=formats)


def docs_page(description: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    operations = "".join(
        _operation(method, path, told)
        for path, methods in description["paths"].items()
        for method, told in methods.items()
    )
    about = html.escape(description["info"]["description"])
    return _page("docs.html", "", about=about, operations=operations)


def _page(name: str, script: str, **parts: str) -> tuple[str, dict[str, str]]:
    theme, style = _read(_HOUSE, "theme.js"), _read(_HOUSE, "page.css") + _read(_OURS, "serve.css")
    text = Template(_read(_OURS, name)).substitute(
        theme=theme, style=style, script=script, version=__version__, **parts
    )
    scripts = " ".join(map(_hash, filter(None, (theme, script))))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(style)}; img-src blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}


def _read(folder: Any, name: str) -> str:
    return str((folder / name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _operation(method: str, path: str, told: Mapping[str, Any]) -> str:
    def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
        line = "<tr>" + "".join(f'<th scope="col">{one}</th>' for one in head) + "</tr>"
        body = "".join(
            f'<tr><th scope="row"><code>{html.escape(first)}</code></th>'
            + "".join(f"<td>{html.escape(one)}</td>" for one in rest)
            + "</tr>"
            for first, *rest in rows
        )
        scrolls = f'<div class="scroll" tabindex="0" role="region" aria-label="{where}: {head[0]}">'
        return f'{scrolls}<table class="api"><thead>{line}</thead><tbody>{body}</tbody></table></div>'

    where, text = html.escape(f"{method.upper()} {path}"), html.escape(told.get("description", ""))
    parts = [f'<section><h2><code>{where}</code> {html.escape(told["summary"])}</h2><p class="lead">{text}</p>']
    if asked := told.get("parameters"):
        queries = (
            (one["name"], ", ".join(one["schema"]["enum"]), one["schema"].get("default", ""), one["description"])
            for one in asked
        )
        parts.append(table(("query", "one of", "default", "what"), queries))
    if body := told.get("requestBody"):
        parts.append(table(("body", "what"), [(kind, of["description"]) for kind, of in body["content"].items()]))
    answers = ((code, of["description"], ", ".join(of.get("content", ()))) for code, of in told["responses"].items())
    parts.append(table(("answer", "when", "type"), answers))
    return "".join([*parts, "</section>"])


def _refusals(limits: Limits) -> dict[str, Any]:
    """Answers that are one line of JSON, by status."""

    def refused(when: str, **more: Any) -> dict[str, Any]:
        schema = {"$ref": "#/components/schemas/Error"}
        return {"description": when, "content": {"application/json": {"schema": schema}}, **more}

    return {
        "400": refused("as= or format= is unknown, the two do not fit, or the form is damaged"),
        "403": refused("the request comes from another web site, or by a name that this service does not go by"),
        "405": refused("another method than GET or POST"),
        "408": refused(f"the body did not arrive within {limits.seconds:g} seconds"),
        "413": refused(
            f"more than {limits.megabytes:g} MB, or a picture of more than {limits.megapixels:g} megapixels"
        ),
        "415": refused("Content-Type is no picture's, or Content-Encoding is given"),
        "422": refused("what was sent is no picture, or a damaged one"),
        "503": refused(
            f"{limits.requests} pictures are being made already",
            headers={"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}},
        ),
        "504": refused(f"the image was not done within {limits.seconds:g} seconds"),
    }


def describe(limits: Limits) -> dict[str, Any]:
    """OpenAPI 3.1."""

    def plain(summary: str, type_: str, what: str) -> dict[str, Any]:
        answer = {"description": what, "content": {type_: {"schema": {"type": "string"}}}}
        return {"get": {"summary": summary, "responses": {"200": answer}}}

    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {
        "schema": {"type": "object", "required": ["file"], "properties": {"file": binary}},
        "description": "a form whose one field, file, is the picture",
    }
    post = {
        "summary": "an image of what stands out",
        "description": "A picture in, an image of the picture's own size out, upright as its EXIF orientation says.",
        "parameters": [
            {
                "name": "as",
                "in": "query",
                "description": "the object alone; in its colours over a dimmed ground; or gray levels",
                "schema": {"type": "string", "enum": list(KINDS), "default": "cutout"},
            },
            {
                "name": "format",
                "in": "query",
                "description": "; ".join(f"{kind}: {' or '.join(of)}" for kind, of in KINDS.items())
                + ". Without it the first of these.",
                "schema": {"type": "string", "enum": list(FORMATS)},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": binary, "description": "the picture's file as it is"},
                "application/octet-stream": {"schema": binary, "description": "the same"},
                "multipart/form-data": form,
            },
        },
        "responses": {
            "200": {
                "description": "the image",
                "content": {f"image/{format}": {"schema": binary} for format in FORMATS},
            },
            **_refusals(limits),
        },
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "arn serve",
            "version": __version__,
            "description": "Maps, overlays and cutouts of pictures. Errors are one line of JSON.",
        },
        "paths": {
            "/": {"post": post, **plain("the page to drop pictures on", "text/html", "a page")},
            "/healthz": plain("whether it is up", "application/json", "it is"),
            "/metrics": plain("figures for Prometheus", "text/plain", "requests, seconds, queue, pixels, memory"),
            "/openapi.json": plain("this description", "application/json", "OpenAPI 3.1"),
        },
        "components": {"schemas": {"Error": error}},
    }
