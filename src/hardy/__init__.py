"""hardy: declarative experiments that make vision models hold up under distribution shift."""

from hardy._version import __version__

__all__ = ["__version__"]
