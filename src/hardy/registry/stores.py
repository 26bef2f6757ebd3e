"""The weights of a registered version, for experiments that begin with them."""

from hardy.core.cache import default_cache
from hardy.core.errors import RegistryError
from hardy.core.hashing import file_sha256
from hardy.plan.inputs import Located
from hardy.registry.bundle import CARD, WEIGHTS, read_card
from hardy.registry.versions import WEIGHTS_TAG, check_origin, fetched, find, parse
from hardy.tracking.store import connect


def locate_version(uri: str) -> Located:
    """Return a local copy of a version's weights, kept in the cache under its SHA-256.

    Args:
        uri: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        RegistryError: If there is no such version, or its weights are not the registered ones.
        TrackingError: If the store cannot be reached.
    """
    client = connect()
    version = find(client, *parse(uri))
    tagged = version.tags.get(WEIGHTS_TAG, "untagged")

    def fetch() -> bytes:
        with fetched(client, version) as folder:
            check_origin(read_card(folder / CARD), version)
            return (folder / WEIGHTS).read_bytes()

    place, cache = ("weights", f"{tagged}.safetensors"), default_cache()
    kept = cache.file(*place, fetch)
    if file_sha256(kept) != tagged:  # damaged since it was fetched
        cache.drop(*place)
        kept = cache.file(*place, fetch)
    if file_sha256(kept) != tagged:
        message = f"{uri}: the weights do not have the SHA-256 {tagged} that the registry states"
        raise RegistryError(message, hint="The files were exchanged: do not use this version.")
    return Located(kept, f"sha256:{tagged}")
