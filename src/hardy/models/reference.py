"""Where weights come from: the text that a spec states, parsed once, and what is taken of them.

    weights: experiment:byol/a
    weights: {from: experiment:byol/a, take: network.encoder, into: encoder, partial: true}

Imports neither torch nor a store: `hardy.models.weights` finds and reads what a reference names.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from hardy.core.spec import Spec


class _Source(Spec):
    """Where weights come from.

    `TEXT` is the pattern of its texts, whose groups are its fields; `WRITTEN` gives the text back;
    `FORM` says it in words.
    """

    TEXT: ClassVar[str]
    WRITTEN: ClassVar[str]
    FORM: ClassVar[str]

    def __str__(self) -> str:
        """Return the text of a spec."""
        return self.WRITTEN.format_map(dict(self))


class Random(_Source):
    """Drawn from the experiment's seed."""

    TEXT: ClassVar[str] = r"random"
    WRITTEN: ClassVar[str] = "random"
    FORM: ClassVar[str] = "random"
    kind: Literal["random"] = "random"


class Library(_Source):
    """The library's own, from its hub: `pretrained`, or a tag that it knows."""

    TEXT: ClassVar[str] = r"(?P<tag>[A-Za-z0-9][A-Za-z0-9_]*)"
    WRITTEN: ClassVar[str] = "{tag}"
    FORM: ClassVar[str] = "a tag"
    kind: Literal["library"] = "library"
    tag: str


class Package(_Source):
    """Shipped by a Python package."""

    TEXT: ClassVar[str] = r"package:(?P<name>\S.*)"
    WRITTEN: ClassVar[str] = "package:{name}"
    FORM: ClassVar[str] = "package:NAME"
    kind: Literal["package"] = "package"
    name: str


class File(_Source):
    """A file of tensors; its path may hold variables such as `${HARDY_DATA}`."""

    TEXT: ClassVar[str] = r"file:(?P<path>\S.*)"
    WRITTEN: ClassVar[str] = "file:{path}"
    FORM: ClassVar[str] = "file:PATH"
    kind: Literal["file"] = "file"
    path: str


class OfExperiment(_Source):
    """Yielded by the run of another experiment, which comes first if there is none."""

    TEXT: ClassVar[str] = r"experiment:(?P<name>\S+)"
    WRITTEN: ClassVar[str] = "experiment:{name}"
    FORM: ClassVar[str] = "experiment:NAME"
    kind: Literal["experiment"] = "experiment"
    name: str


class RunFile(_Source):
    """An artifact of a run."""

    TEXT: ClassVar[str] = r"runs:/(?P<run_id>[A-Za-z0-9]+)/(?P<path>\S+)"
    WRITTEN: ClassVar[str] = "runs:/{run_id}/{path}"
    FORM: ClassVar[str] = "runs:/ID/PATH"
    kind: Literal["run"] = "run"
    run_id: str
    path: str


class Version(_Source):
    """A version of a registered model: `@` stands before an alias, `/` before a number."""

    TEXT: ClassVar[str] = r"models:/(?P<name>[^/@\s]+)(?P<sign>[/@])(?P<which>[^/@\s]+)"
    WRITTEN: ClassVar[str] = "models:/{name}{sign}{which}"
    FORM: ClassVar[str] = "models:/NAME@ALIAS or models:/NAME/VERSION"
    kind: Literal["version"] = "version"
    name: str
    sign: Literal["/", "@"]
    which: str


Source = Random | Package | File | OfExperiment | RunFile | Version | Library
SOURCES: tuple[type[Source], ...] = (
    Random,
    Package,
    File,
    OfExperiment,
    RunFile,
    Version,
    Library,  # last: `random` looks like a tag
)


def parse(text: str) -> Source:
    """Return what a text names.

    Raises:
        ValueError: If it has none of the sources' forms.
    """
    for source in SOURCES:
        if found := re.fullmatch(source.TEXT, text):
            return source(**found.groupdict())
    message = f"{text!r} is none of {', '.join(source.FORM for source in SOURCES)}"
    raise ValueError(message)


_TAKING = ("take", "into", "partial", "names")


def _source(value: object) -> Source:
    if isinstance(value, SOURCES):
        return value
    if isinstance(value, str):
        return parse(value)
    message = "from is not a text"
    raise ValueError(message)


class WeightsRef(Spec):
    """A source of weights, and what is taken of it; a text alone is the source."""

    source: Annotated[
        Source,
        PlainValidator(_source),
        WithJsonSchema({"type": "string"}),
        Field(alias="from", description="The source, as the text alone would state it."),
    ]
    take: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Take only the tensors whose names begin so, up to a dot, and leave that "
            "beginning out: `encoder`. Of a run, `network` is its network, and another name, such "
            "as `target`, what else it fitted. None: a run's network, all of another file.",
        ),
    ] = None
    into: Annotated[
        str | None,
        Field(min_length=1, description="Where in the network they go: `encoder`. None: its top."),
    ] = None
    partial: Annotated[
        bool | None,
        Field(
            description="Whether tensors of the network without a counterpart of the same name and "
            "shape stay as they are; the run names them."
        ),
    ] = None
    names: Annotated[
        dict[str, str] | None,
        Field(
            description="What names begin with, and what instead, before `into`; the longest that "
            "fits counts. {_encoder.: encoder.}"
        ),
    ] = None
    same: Annotated[
        tuple[str, ...] | None,
        Field(
            description="Dotted paths whose values the other experiment takes from this one, such "
            "as seed: seed 3 begins with the weights of seed 3."
        ),
    ] = None

    @classmethod
    def of(cls, text: str, **options: Any) -> Self:  # noqa: ANN401 - values of the fields
        """Return the reference that a text states, with options.

        Raises:
            ValueError: If it has none of the sources' forms, or an option is no field.
        """
        return cls.model_validate({"from": text, **options})

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, value: Any) -> Any:  # noqa: ANN401 - whatever a file holds
        if isinstance(value, str):
            return {"from": parse(value)}
        # What passed through this validator is Python's to pydantic, where a list is no tuple.
        if isinstance(value, dict) and isinstance(value.get("same"), list):
            return {**value, "same": tuple(value["same"])}
        return value

    @model_validator(mode="after")
    def _options_have_a_meaning(self) -> Self:
        lie_nowhere = isinstance(self.source, Random | Library)
        taking = [name for name in _TAKING if getattr(self, name) is not None]
        if taking and lie_nowhere:
            message = f"{taking[0]} is for weights that lie in files; from is {self}"
            raise ValueError(message)
        if self.same is not None and not isinstance(self.source, OfExperiment):
            message = f"same is for weights of another experiment; from is {self}"
            raise ValueError(message)
        return self

    @model_serializer
    def _as_stated(self) -> str | dict[str, Any]:
        stated = {name: getattr(self, name) for name in (*_TAKING, "same")}
        stated = {name: value for name, value in stated.items() if value is not None}
        return {"from": str(self), **stated} if stated else str(self)

    def whole(self) -> Self:
        """Return the reference to all that the source has, as it is there."""
        return self.model_copy(update=dict.fromkeys((*_TAKING, "same")))

    @property
    def beside_network(self) -> bool:
        """Whether what is taken of a run is none of its network, but else what it fitted."""
        return self.take is not None and self.take.partition(".")[0] != "network"

    def __str__(self) -> str:
        """Return the text of the source."""
        return str(self.source)

    def identity(self) -> dict[str, Any]:
        """Return what is taken, as far as it is stated; the weights count by their content."""
        return {name: value for name in _TAKING if (value := getattr(self, name))}


@dataclass(frozen=True)
class Tag:
    """Texts that a library knows as tags of its weights.

    Attributes:
        text: Their pattern.
        form: What they are, in words.
    """

    text: str
    form: str


@dataclass(frozen=True)
class From:
    """Marks a field's references as those to some sources alone.

    Attributes:
        sources: Which; a `Tag` allows some of `Library`.
    """

    sources: tuple[type[Source] | Tag, ...]

    @property
    def pattern(self) -> str:
        """The pattern of the texts that are allowed."""
        texts = [one.text if isinstance(one, Tag) else one.TEXT for one in self.sources]
        plain = [re.sub(r"\(\?P<\w+>(.*?)\)", r"\1", text) for text in texts]
        return f"^({'|'.join(plain)})$"

    @property
    def forms(self) -> str:
        """What is allowed, in words."""
        forms = [one.form if isinstance(one, Tag) else one.FORM for one in self.sources]
        return ", ".join(forms)

    def check(self, value: object) -> object:
        """Refuse a reference to another source.

        Raises:
            ValueError: If the source is another one; a text alone fails as pydantic's patterns do.
        """
        text = value.get("from") if isinstance(value, dict) else value
        text = str(text) if isinstance(text, WeightsRef) else text
        if isinstance(value, str) and not re.fullmatch(self.pattern, value):
            raise PydanticKnownError("string_pattern_mismatch", {"pattern": self.pattern})  # noqa: EM101
        if isinstance(text, str) and not re.fullmatch(self.pattern, text):
            message = f"from is {text!r}; these weights come from {self.forms}"
            raise ValueError(message)
        if not isinstance(value, str | dict | WeightsRef):
            raise PydanticKnownError("string_type")  # noqa: EM101
        return value

    def __get_pydantic_core_schema__(
        self, source: type[WeightsRef], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check before the reference itself is built."""
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe both forms, the text and the mapping."""
        return {"anyOf": [{"type": "string", "pattern": self.pattern}, handler(schema)]}
