"""PURE: an OpenAPI document as a page for people: no script, no foreign file, readable also without its style.

Only what our own documents have is rendered: see ``openapi``. Every word of the document is escaped here; the few marks
of Markdown in it (code, bold, paragraphs) become elements after that.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["POLICY", "page"]

POLICY = "default-src 'none'; style-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
"""What the page may do: look as its style says."""

Json = dict[str, Any]


def page(document: Json, *, address: str) -> str:
    """The page.

    Args:
        document: as ``openapi.document`` makes it.
        address: where the hub is, for the examples, without a slash at its end.
    """
    info = document["info"]
    operations = {tag["name"]: list(_operations(document, tag["name"])) for tag in document["tags"]}
    body = [
        f"<header><h1>{_text(info['title'])} <small>{_text(info['version'])}</small></h1></header>",
        f'<nav aria-label="Routes"><h2>Routes</h2>{"".join(_contents(document, operations))}</nav>',
        f'<main id="main"><section aria-labelledby="about"><h2 id="about">About</h2>{_prose(info["description"])}',
        "<p>The same for machines: <a href='/openapi.json'><code>/openapi.json</code></a> (OpenAPI 3.1).</p></section>",
        *(
            _chapter(document, tag, operations[tag["name"]], address=address)
            for tag in document["tags"]
            if operations[tag["name"]]
        ),
        _models(document),
        "</main>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(info['title'])}: the HTTP API</title>"
        '<link rel="stylesheet" href="/docs/style.css"></head>\n'
        '<body><a class="skip" href="#main">To the text</a>\n' + "\n".join(body) + "\n</body></html>\n"
    )


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _contents(document: Json, operations: Mapping[str, Sequence[tuple[str, str, Json]]]) -> Iterator[str]:
    for tag in document["tags"]:
        items = "".join(
            f'<li><a href="#{operation["operationId"]}"><b>{method}</b> {_text(path)}</a></li>'
            for method, path, operation in operations[tag["name"]]
        )
        if items:
            yield f"<h3>{_text(tag['name'])}</h3><ul>{items}</ul>"
    yield '<h3>Reference</h3><ul><li><a href="#models">Bodies</a></li></ul>'


def _chapter(document: Json, tag: Json, operations: Sequence[tuple[str, str, Json]], *, address: str) -> str:
    name = _text(tag["name"])
    articles = "".join(_operation(document, method, path, each, address=address) for method, path, each in operations)
    key = f"chapter-{name.lower()}"
    return (
        f'<section aria-labelledby="{key}"><h2 id="{key}">{name}</h2>'
        f"<p>{_inline(tag['description'])}</p>{articles}</section>"
    )


def _operation(document: Json, method: str, path: str, operation: Json, *, address: str) -> str:
    key = operation["operationId"]
    parts = [
        f'<article aria-labelledby="{key}"><h3 id="{key}"><b>{method}</b> <code>{_text(path)}</code></h3>',
        f"<p>{_inline(operation['summary'])}. {_inline(operation['description'])}</p>",
    ]
    if parameters := operation.get("parameters"):
        described: list[Sequence[str]] = [
            (
                f"<code>{_text(each['name'])}</code>",
                _text(each["in"]),
                _type(each["schema"]),
                _inline(each.get("description", "")),
            )
            for each in parameters
        ]
        parts.append(_table("Parameters", f"{method} {path}", ("Name", "Where", "Type", "Meaning"), described))
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        parts.append(
            f"<h4>Body</h4><p>JSON: {_type(schema)}</p>{_fields(_resolved(document, schema), f'{method} {path}')}"
        )
    parts.append(f"<h4>Try it</h4><pre><code>{_text(_curl(method, path, operation, address))}</code></pre>")
    rows = [
        (f"<code>{status}</code>", _inline(answer["description"]), _content(answer))
        for status, answer in operation["responses"].items()
    ]
    parts.append(_table("Answers", f"{method} {path}", ("Status", "Meaning", "Body"), rows))
    return "".join(parts) + "</article>"


def _curl(method: str, path: str, operation: Json, address: str) -> str:
    """A line for a terminal; the token is a variable of the shell, so that no history keeps it."""
    words = ["curl -sS"]
    if method != "GET":
        words.append(f"-X {method}")
    if operation["security"]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        examples = operation["requestBody"]["content"]["application/json"].get("examples", {})
        value: Any = next((example["value"] for example in examples.values()), {})
        words += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(value, ensure_ascii=False)}'"]
    if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
        words.append("-N")
    url = address + re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), path)
    return " \\\n  ".join([" ".join(words[:2]), *words[2:], f"'{url}'"])


def _content(answer: Json) -> str:
    bodies = []
    for media, content in answer.get("content", {}).items():
        if media == "application/json":
            bodies.append(_type(content["schema"]))
        elif media == "application/problem+json":
            bodies.append('<a href="#model-Problem">Problem</a>')
        else:
            bodies.append(f"<code>{_text(media)}</code>")
    return ", ".join(bodies) or "none"


def _models(document: Json) -> str:
    parts = []
    for name, schema in document["components"]["schemas"].items():
        words = f"<p>{_inline(schema['description'])}</p>" if "description" in schema else ""
        whole = "" if "properties" in schema else f"<p>{_type(schema)}</p>"
        key = f"model-{_text(name)}"
        inside = f'<h3 id="{key}">{_text(name)}</h3>{words}{whole}{_fields(schema, name)}'
        parts.append(f'<article aria-labelledby="{key}">{inside}</article>')
    return f'<section aria-labelledby="models"><h2 id="models">Bodies</h2>{"".join(parts)}</section>'


def _resolved(document: Json, schema: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Json = document["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _fields(schema: Json, of: str) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{_text(name)}</code>",
            _type(field),
            "always" if name in required else "may be left out",
            _inline(field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return _table("Fields", of, ("Name", "Type", "There", "Meaning"), rows) if rows else ""


def _table(caption: str, of: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows
    )
    label = f"{caption}: {_text(of)}"
    return (
        f'<div class="wide" role="region" aria-label="{label}" tabindex="0"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _type(schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#model-{name}">{name}</a>'
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[union]))
    if "const" in schema:
        return f"<code>{_text(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return ", ".join(f"<code>{_text(str(each))}</code>" for each in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema.get('items', {}))}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"object of {_type(schema['additionalProperties'])}"
        case None:
            return "anything"
        case kind:
            return _text(str(kind)) + _bounds(schema)


def _bounds(schema: Json) -> str:
    names = (
        ("minimum", "≥ {}"),
        ("exclusiveMinimum", "&gt; {}"),
        ("maximum", "≤ {}"),
        ("minLength", "at least {} long"),
        ("maxLength", "at most {} long"),
    )
    said = [
        words.format(_text(f"{schema[name]:g}" if isinstance(schema[name], float) else str(schema[name])))
        for name, words in names
        if name in schema
    ]
    return f" ({', '.join(said)})" if said else ""


# ---------------------------------------------------------------------- text


def _text(text: str) -> str:
    return html.escape(text, quote=True)


def _inline(text: str) -> str:
    """One paragraph: code and bold."""
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(' '.join(each.split()))}</p>" for each in text.strip().split("\n\n"))
