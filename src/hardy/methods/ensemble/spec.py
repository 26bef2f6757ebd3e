"""Schema of the method `ensemble`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hardy.core.numbers import Positive
from hardy.core.spec import Spec
from hardy.data.held_out_spec import HeldOut
from hardy.methods.base_spec import MethodBase, Passes, Role
from hardy.methods.evaluate.spec import SourceSpec
from hardy.methods.memo.spec import MemoSpec
from hardy.methods.select_spec import Marginal
from hardy.methods.tpt.spec import TptSpec
from hardy.methods.view_ensemble.spec import ViewEnsembleSpec
from hardy.models.spec import ModelSpec

MemberMethod = Annotated[
    SourceSpec | ViewEnsembleSpec | MemoSpec | TptSpec, Field(discriminator="kind")
]
_OWN_ANSWERS = ("source", "ensemble", "simple_ensemble")


class Member(Spec):
    """One model with one method."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_-]*$",
            max_length=40,
            description="Name of the member's own answer in records and metrics: small letters, "
            "digits, `_` and `-`, after a letter.",
        ),
    ]
    model: Annotated[ModelSpec | None, Field(description="Its model; none: the experiment's.")] = (
        None
    )
    method: Annotated[MemberMethod, Field(description="How it answers, and what is tuned.")]


class EnsembleSpec(MethodBase):
    """A pool of members' opinions, each at its temperature and weighed by its certainty."""

    registrable: ClassVar[bool] = False  # a version holds one network

    kind: Literal["ensemble"] = "ensemble"
    members: Annotated[
        tuple[Member, ...], Field(min_length=1, description="Models with their methods.")
    ]
    temperatures: Annotated[
        tuple[Positive, ...] | HeldOut | None,
        Field(
            description="What each member's logits are divided by after its views are joined: one "
            "number a member, or the held-out samples on which each is fitted to the least "
            "negative log-likelihood; none: 1."
        ),
    ] = None
    steps: Annotated[
        int, Field(ge=1, le=100, description="Joint steps of all members per sample.")
    ] = 1
    marginal: Annotated[
        Marginal, Field(description="How a member's views are joined; see `memo`.")
    ] = "probability_mean"
    renormalise: Annotated[
        bool,
        Field(
            description="Whether the pooled opinion is made a distribution before its entropy is "
            "taken. False reproduces MEMO-TPT-DL2024, together with `raw_log_mean_exp`."
        ),
    ] = True
    singles: Annotated[
        bool, Field(description="Whether each member also answers alone, adapted by itself.")
    ] = True

    @model_validator(mode="after")
    def _members_fit(self) -> Self:
        counts = Counter(member.name for member in self.members)
        twice = [name for name, count in counts.items() if count > 1]
        taken = [name for name in counts if name in _OWN_ANSWERS]
        message = ""
        if twice:
            message = f"two members are named {twice[0]}"
        elif taken:
            message = f"one of members is named {taken[0]}, as another answer is"
        elif isinstance(self.temperatures, tuple) and len(self.temperatures) != len(self.members):
            message = (
                f"temperatures has {len(self.temperatures)} values for {len(self.members)} members"
            )
        if message:
            raise ValueError(message)
        return self

    @property
    def further_models(self) -> Mapping[str, ModelSpec]:
        """The models that members name, in their order."""
        return {
            f"members.{place}.model": member.model
            for place, member in enumerate(self.members)
            if member.model is not None
        }

    @property
    def files(self) -> tuple[str, ...]:
        """What the members' methods read."""
        return tuple(file for member in self.members for file in member.method.files)

    @property
    def episodic(self) -> bool:
        """Whether a sample's answer depends on no other sample."""
        return all(member.method.episodic for member in self.members)

    @property
    def fitted_on(self) -> HeldOut | None:
        """The labelled samples on which temperatures are fitted; None where they are given."""
        return self.temperatures if isinstance(self.temperatures, HeldOut) else None

    def roles(self) -> Mapping[Role, HeldOut | None]:
        """Return the experiment's samples to answer, and those that temperatures are fitted on."""
        return {"fit": self.fitted_on, "answer": None} if self.fitted_on else {"answer": None}

    def answer_names(self) -> tuple[str, ...]:
        """Return the names of the source's, the members' and the pools' answers."""
        singles = tuple(member.name for member in self.members) if self.singles else ()
        return ("source", *singles, "simple_ensemble", "ensemble")

    def pairs(self, model: ModelSpec) -> Iterator[tuple[MethodBase, ModelSpec]]:
        """Yield itself, and each member's method with its model."""
        yield self, model
        for member in self.members:
            yield from member.method.pairs(member.model or model)

    def identity(self) -> dict[str, Any]:
        """Return what can change numbers; the members' weights count by content, as the plan adds.

        Names of answers stay: they are part of the records.
        """
        found = super().identity()
        if self.fitted_on:
            found["fitted"] = 1  # before, processes that answered did not see what was fitted
        for member in found["members"]:
            member.get("model", {}).pop("weights", None)
        return found

    def cost(self) -> Passes:
        """Return one sample's passes, as if all members' models were the experiment's."""
        times = 2 if self.singles else 1
        costs = [member.method.cost() for member in self.members]
        return Passes(
            forward=1 + times * sum(cost.forward for cost in costs),
            backward=times * sum(cost.backward for cost in costs),
            batch=sum(cost.batch for cost in costs),
        )
