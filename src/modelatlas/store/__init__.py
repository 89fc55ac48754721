"""An atlas folder: Zarr maps, journal, documents, locks. Knows no models, torch, or meaning of a number."""

from modelatlas.store.document import FORMAT, read_document, read_json, write_document, write_json
from modelatlas.store.files import explained, remove, sweep, write_bytes, write_text
from modelatlas.store.journal import Journal, Mark
from modelatlas.store.layout import SHARD, Layout, model_key
from modelatlas.store.lock import LOCK_FILES, worker_lock, writer_lock
from modelatlas.store.maps import MapReader, MapWriter
from modelatlas.store.tables import read_long, read_square
from modelatlas.store.thumbnails import read_thumbnails, write_thumbnails

__all__ = [
    "FORMAT",
    "LOCK_FILES",
    "SHARD",
    "Journal",
    "Layout",
    "MapReader",
    "MapWriter",
    "Mark",
    "explained",
    "model_key",
    "read_document",
    "read_json",
    "read_long",
    "read_square",
    "read_thumbnails",
    "remove",
    "sweep",
    "worker_lock",
    "write_bytes",
    "write_document",
    "write_json",
    "write_text",
    "write_thumbnails",
    "writer_lock",
]
