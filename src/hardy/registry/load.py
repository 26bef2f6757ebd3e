"""From `models:/NAME@ALIAS` to a model that predicts."""

from hardy.registry.bundle import CARD, read_card
from hardy.registry.predictor import Predictor, load_predictor
from hardy.registry.versions import check_origin, fetched, find, parse
from hardy.tracking.store import connect


def load(uri: str, *, device: str = "auto") -> Predictor:
    """Load a registered version from its files alone.

    The code that MLflow keeps beside a version is not run: hardy's own reads the weights and the
    card, and checks them against the registry's tag.

    Args:
        uri: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.

    Raises:
        RegistryError: If there is no such version or its files are not the registered ones.
        WeightsError: If the weights are damaged.
        TrackingError: If the store cannot be reached.
    """
    client = connect()
    version = find(client, *parse(uri))
    with fetched(client, version) as folder:
        check_origin(read_card(folder / CARD), version)
        return load_predictor(folder, device=device)
