"""What the classes of a dataset are called before an image-text model, and in which sentences.

Nothing here imports torch: a plan reads the file of names for the fingerprint.
"""

from pathlib import Path

from hardy.core.errors import SpecError
from hardy.core.variables import stated_path
from hardy.models.spec import OpenClipModel

_FILE = "file:"


def class_texts(
    spec: OpenClipModel, classes: tuple[str, ...], model_indices: tuple[int, ...] | None
) -> tuple[str, ...]:
    """Return what the templates are filled with, in label order.

    Args:
        spec: Says where names come from.
        classes: The dataset's class names in label order.
        model_indices: For each class, its index among ImageNet's 1,000; None for other classes.

    Raises:
        SpecError: If there are no classes, or the file of names is absent or of another length.
    """
    if not classes:
        message = f"model {spec.name} compares images with class names, and the dataset has none"
        raise SpecError(message, hint="Choose a dataset with classes, or another kind of model.")
    if spec.class_names.startswith(_FILE):
        return _read(spec.class_names, len(classes))
    places = _imagenet_places(classes, model_indices) if spec.class_names == "auto" else None
    if places is not None:
        from open_clip import IMAGENET_CLASSNAMES

        return tuple(IMAGENET_CLASSNAMES[place] for place in places)
    return tuple(name.replace("_", " ") for name in classes)


def template_texts(spec: OpenClipModel) -> tuple[str, ...]:
    """Return a spec's templates, named sets resolved; each has one `{}`."""
    if isinstance(spec.templates, tuple):
        return spec.templates
    import open_clip

    sets = {
        "openai": open_clip.OPENAI_IMAGENET_TEMPLATES,
        "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES,
    }
    return tuple(fill("{}") for fill in sets[spec.templates])


def check_names(spec: OpenClipModel) -> None:
    """Make sure that a file of names can be read, before anything is built.

    Raises:
        SpecError: If it cannot.
    """
    if spec.class_names.startswith(_FILE):
        _lines(_path(spec.class_names))


def _imagenet_places(
    classes: tuple[str, ...], model_indices: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Return the classes' places among ImageNet's 1,000; None for other classes."""
    from hardy.data.imagenet import imagenet_classes

    if model_indices is not None:
        return model_indices
    whole = imagenet_classes()
    return tuple(range(len(whole))) if classes == whole else None


def _read(class_names: str, count: int) -> tuple[str, ...]:
    """Read one name a line; spaces around it do not count."""
    path = _path(class_names)
    names = _lines(path)
    faults = [number for number, name in enumerate(names, 1) if not name or number > count]
    if faults or len(names) < count:
        line = faults[0] if faults else len(names)
        found = "is empty" if faults and line <= count else f"is one of {len(names)} lines"
        message = f"model.class_names: {path}:{line} {found}, the dataset has {count} classes"
        raise SpecError(message, hint="Give one name a line, in the order of the classes.")
    return tuple(names)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"model.class_names: {path} cannot be read: {reason}"
        raise SpecError(message, hint="Give a UTF-8 file with one class name a line.") from error


def _path(class_names: str) -> Path:
    return stated_path(class_names.removeprefix(_FILE))
