"""Documents and nodes found again by their ids: what was active at the click may be closed or gone later."""

from __future__ import annotations

from typing import List, Optional

from krita import Document, Krita, Node

from bridge_server.client.qt.binding import QtCore


def root_id(document: Optional[Document]) -> Optional[str]:
    """The id of the document's root node, by which a document is known; None of one that is being closed."""
    root = document.rootNode() if document is not None else None
    return str(root.uniqueId().toString()) if root is not None else None


def top_nodes(document: Document) -> List[Node]:
    """The layers and masks at the top of the tree, the lowest first; none of a document that is being closed."""
    root = document.rootNode()
    return list(root.childNodes()) if root is not None else []


def find_document(document_id: str) -> Optional[Document]:
    """The open document whose root node has this id, else None. Never the active document by mistake."""
    for document in Krita.instance().documents():
        if root_id(document) == document_id:
            return document
    return None


def has_node(document: Document, node_id: str) -> bool:
    """Whether a node with this unique id is in the document now."""
    if hasattr(document, "nodeByUniqueID"):  # quick; but 5.1 hands out a bare QObject, useless as a node
        return document.nodeByUniqueID(QtCore.QUuid(node_id)) is not None
    return find_node(document, node_id) is not None


def find_node(document: Document, node_id: str) -> Optional[Node]:
    """The node with this unique id anywhere in the document, else None."""
    waiting: List[Node] = [document.rootNode()]
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        if node.uniqueId().toString() == node_id:
            return node
        waiting.extend(node.childNodes())
    return None


def is_mask(node: Node) -> bool:
    return str(node.type()).endswith("mask")


def layer_of(node: Optional[Node]) -> Optional[Node]:
    """The layer itself, or the layer that a mask belongs to; None for the document's own selection mask."""
    while node is not None and is_mask(node):
        node = node.parentNode()
    return node if node is not None and node.parentNode() is not None else None


def layers(document: Document) -> List[Node]:
    """All of them, also those in groups, the highest first."""
    found: List[Node] = []
    waiting = top_nodes(document)
    while waiting:
        node = waiting.pop()
        if not is_mask(node):
            found.append(node)
            waiting.extend(node.childNodes())
    return found
