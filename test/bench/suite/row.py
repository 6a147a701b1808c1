"""One line of the table: what was promised, what was measured, how far the repeats lie apart."""

import dataclasses
import statistics


@dataclasses.dataclass
class Row:
    """`measured` is the median of `repeats`. `unit`: "x" is times the P-256 arithmetic (verify + sign) of that run."""

    name: str  # what --only takes
    what: str
    unit: str
    target: float
    repeats: list
    at_least: bool = False  # the target is a lower bound
    details: dict = dataclasses.field(default_factory=dict)

    @property
    def measured(self):
        return statistics.median(self.repeats)

    @property
    def ratio(self):
        """Measured over target: up to 1 is met, or from 1 on where the target is a lower bound."""
        return self.measured / self.target

    @property
    def met(self):
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    @property
    def bound(self):
        return f"{'>=' if self.at_least else '<='} {number(self.target)} {self.unit}"

    @property
    def spread(self):
        return min(self.repeats), max(self.repeats)

    def to_json(self):
        low, high = self.spread
        return {"name": self.name, "what": self.what, "unit": self.unit, "target": self.target,
                "bound": "at least" if self.at_least else "at most", "measured": self.measured, "ratio": self.ratio,
                "met": self.met, "spread": {"min": low, "max": high}, "repeats": self.repeats, "details": self.details}


def number(value):
    """Three digits that count; a whole number stays one."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
