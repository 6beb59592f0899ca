"""What was found of near duplicates."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from tasks.clean.near_duplicates.search import MAX_EXAMPLES, MAX_SHOWN, Compared
from tasks.samples.wording import percent

LARGE_FRACTION = 0.05
LARGE_MEMBERS = 10


class NearDuplicates(BaseModel):
    """Near duplicates in columns that were compared with one another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modality: str
    columns: tuple[str, ...]
    values: int
    """Distinct values that were compared."""

    groups: int
    members: int
    """Distinct values that are in a group."""

    largest: int
    not_compared: int
    """Pairs that may be alike, left out where too many values may be."""

    examples: tuple[tuple[str, ...], ...]
    """The first members of the largest groups: digests of media, of texts the SHA-256."""

    @classmethod
    def describe(cls, compared: Compared) -> "NearDuplicates":
        """Describe what comparing some columns found."""
        values: defaultdict[str, set[str]] = defaultdict(set)
        for member in compared.members:
            values[member.near_group].add(member.value)
        sizes = Counter({name: len(group) for name, group in values.items()})
        shown = sorted(sizes, key=lambda name: (-sizes[name], name))[:MAX_EXAMPLES]
        return cls(
            modality=compared.modality,
            columns=compared.columns,
            values=compared.n_values,
            groups=len(sizes),
            members=sizes.total(),
            largest=max(sizes.values(), default=0),
            not_compared=compared.n_skipped,
            examples=tuple(tuple(sorted(values[name])[:MAX_SHOWN]) for name in shown),
        )

    def line(self) -> str:
        """Say in a line what was found."""
        where = ", ".join(self.columns)
        if self.groups == 0:
            return f"{where}: no near duplicates among {self.values:,} values"
        return (
            f"{where}: {self.members:,} of {self.values:,} values are near duplicates of others, "
            f"in {self.groups:,} groups of up to {self.largest:,}"
        )

    def notices(self) -> Iterator[str]:
        """Yield what a person should know before the groups go to split."""
        where = ", ".join(self.columns)
        setting = {"image": "images", "audio": "audio", "text": "texts"}[self.modality]
        if self.largest >= max(LARGE_MEMBERS, LARGE_FRACTION * self.values):
            yield (
                f"near duplicates: one group in {where} holds {self.largest:,} of {self.values:,} "
                f"values ({percent(self.largest / self.values)}), which split keeps together; "
                f"where they are not alike, set clean.near_duplicates.{setting}: off"
                + {
                    "image": ", or a lower image_distance_bits",
                    "text": ", or a higher text_similarity",
                }.get(self.modality, "")
            )
        if self.not_compared:
            yield (
                f"near duplicates: {self.not_compared:,} pairs of values in {where} were not "
                "compared, since too many look alike at first glance; some groups may be in parts"
            )
