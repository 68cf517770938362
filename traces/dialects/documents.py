"""Retrieved documents, whoever wrote them down."""

from traces.dialects.values import first, mapping_of, number_of, parsed, plain_text, text_of
from traces.vocabulary import Document, Json

_ID = ("id", "document_id", "doc_id", "documentId", "id_", "node_id", "chunk_id")
_SOURCE = ("source", "url", "uri", "link", "file_path", "file_name")
_CONTENT = ("content", "page_content", "pageContent", "text", "document", "body", "snippet")
_LEVELS = 6


def read_documents(value: Json, level: int = 0) -> list[Document] | None:
    """The documents in a retriever's output. None where it holds no list; [] where the list is empty."""
    value = parsed(value)
    if level > _LEVELS:
        return None
    if isinstance(value, dict):
        for name in (
            "documents",
            "docs",
            "results",
            "matches",
            "nodes",
            "output",
            "outputs",
            "source_nodes",
            "data",
        ):
            if (found := value.get(name)) is not None and isinstance(parsed(found), list | dict):
                return read_documents(found, level + 1)
        return [_document(value)] if _looks_like_one(value) else None
    if not isinstance(value, list):
        return None
    documents: list[Document] = []
    for item in value:
        if isinstance(item, list):
            if item and isinstance(item[0], dict):  # (document, score)
                document = _document(item[0])
                document.score = document.score or (number_of(item[1]) if len(item) > 1 else None)
                documents.append(document)
            else:
                documents += read_documents(item, level + 1) or []
        elif isinstance(item, dict):
            documents.append(_document(item))
        elif text := plain_text(item):
            documents.append(Document(content=text))
    return documents


def _looks_like_one(value: dict[str, Json]) -> bool:
    return first(value, *_CONTENT) is not None


def _document(item: dict[str, Json]) -> Document:
    score = number_of(first(item, "score", "similarity", "relevance_score"))
    for wrapper in ("document", "kwargs", "node"):
        if isinstance(inner := item.get(wrapper), dict):
            item = {**inner, **({"score": score} if score is not None else {})}
    return make_document(
        first(item, *_ID),
        first(item, *_CONTENT),
        first(item, "metadata", "meta", "extra_info", "payload"),
        item.get("score", score),
    )


def make_document(identity: Json, content: Json, metadata: Json, score: Json) -> Document:
    """A document; without an ID of its own it is known by its metadata's, or by where it came from."""
    known = mapping_of(metadata)
    identity = plain_text(identity) or plain_text(first(known, *_SOURCE[:3], *_ID, *_SOURCE[3:]))
    return Document(id=identity, content=text_of(content), score=number_of(score), metadata=known or None)
