"""Files a program gave, as content blocks of MCP."""

import base64
from typing import Final
from urllib.parse import quote

import mcp_types

from runtime.portal.face import PortalFile

_TEXTS: Final = ("application/json", "application/xml", "application/javascript")

type Block = mcp_types.ImageContent | mcp_types.AudioContent | mcp_types.EmbeddedResource


def file_block(file: PortalFile, execution_id: str) -> Block:
    """An image or a sound as such, anything else as a resource: text where it is text."""
    kind = file.type.partition(";")[0].strip().lower()
    data = base64.b64encode(file.data).decode()
    meta = {"lockgate/name": file.name, "lockgate/sha256": file.sha256}
    if kind.startswith("image/"):
        return mcp_types.ImageContent(data=data, mime_type=kind, _meta=meta)
    if kind.startswith("audio/"):
        return mcp_types.AudioContent(data=data, mime_type=kind, _meta=meta)
    uri = f"lockgate://executions/{quote(execution_id)}/files/{quote(file.name, safe='')}"
    text = _text(kind, file.data)
    resource: mcp_types.TextResourceContents | mcp_types.BlobResourceContents
    if text is None:
        resource = mcp_types.BlobResourceContents(uri=uri, mime_type=file.type, blob=data)
    else:
        resource = mcp_types.TextResourceContents(uri=uri, mime_type=file.type, text=text)
    return mcp_types.EmbeddedResource(resource=resource, _meta=meta)


def _text(kind: str, data: bytes) -> str | None:
    if not kind.startswith("text/") and kind not in _TEXTS and not kind.endswith(("+json", "+xml")):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
