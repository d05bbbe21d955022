"""What a comparison says: a headline that hides nothing, features worst first, and the same as text, JSON, frame, page.

Source: our own.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from detectors.exact_verdict import Feature, Least, Verdict, size_text
from observe.app.frames_words import SIGNS, effect_text, one_line

if TYPE_CHECKING:
    import polars as pl

_NAMED: Final = 5  # features of a headline


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two tables compared: every feature with its verdict, worst first."""

    reference: str
    current: str
    reference_rows: int
    current_rows: int
    features: tuple[Feature, ...]
    least: Least
    alpha: float  # chance that any feature is called drifted while nothing changed
    time: str | None = None

    @property
    def drifted(self) -> tuple[Feature, ...]:
        """Features that drifted, worst first."""
        return self.of("drift")

    def of(self, verdict: Verdict) -> tuple[Feature, ...]:
        """Features with a verdict."""
        return tuple(f for f in self.features if f.verdict == verdict)

    def __getitem__(self, name: str) -> Feature:
        """The feature of that name."""
        found = next((f for f in self.features if f.name == name), None)
        if found is None:
            from observe.spec.nearest import did_you_mean

            raise KeyError(f"no feature {name!r} was compared; {did_you_mean(name, (f.name for f in self.features))}")
        return found

    @property
    def verdict(self) -> Verdict:
        """The worst of all features: drift where any drifted, too few where of any nothing can be said."""
        return next((v for v in SIGNS if v != "inform" and self.of(v)), "inform")

    @property
    def headline(self) -> str:
        """One sentence; it names what drifted first, and never says `no drift` beside it."""
        n = len(self.features)
        if self.drifted:
            return f"{len(self.drifted)} of {n} features drifted: {_names(self.drifted)}"
        few, told = self.of("too_few"), self.of("inform")
        rest = f"; {len(told)} not judged: {_names(told)}" if told else ""
        if few:
            return f"no drift found, but {len(few)} of {n} features have too few rows to tell: {_names(few)}{rest}"
        return f"none of {n - len(told)} features drifted{rest}"

    @property
    def assumes(self) -> str:
        """What the verdicts rest on, in words."""
        chance = f"chance of any false drift ≤ {self.alpha:.2g} over all features (Holm)"
        if self.time is None:
            return (
                "rows are taken as exchangeable inside each table; if they depend on their neighbours in time, "
                f"name the column of their time; {chance}"
            )
        return f"rows may depend on their neighbours in time ({self.time}): judged by stretches of time; {chance}"

    @property
    def matters(self) -> str:
        """The smallest changes that matter, in words."""
        return f"{size_text(self.least.number, self.least.unit)} of a number, {size_text(self.least.share_pp, 'pp')} of a share"

    def assert_no_drift(self, *, too_few: bool = False) -> None:
        """Fail a test when anything drifted, with the ranked list.

        Args:
            too_few: fail as well when there are too few rows to tell.

        Raises:
            AssertionError: a feature drifted, or cannot be judged.
        """
        if self.drifted or (too_few and self.of("too_few")):
            raise AssertionError(f"\n{self}")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values; what is not finite is None."""
        features = [{**asdict(f), "p_holm": f.p_holm} for f in self.features]
        said = {
            "verdict": self.verdict, "headline": self.headline, "assumes": self.assumes, "reference": self.reference,
            "current": self.current, "reference_rows": self.reference_rows, "current_rows": self.current_rows,
            "alpha": self.alpha, "time": self.time, "min_effect": asdict(self.least), "features": features,
        }  # fmt: skip
        found: dict[str, Any] = _plain(said)
        return found

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def to_frame(self) -> pl.DataFrame:
        """One row per feature, worst first."""
        import polars as pl

        return pl.DataFrame([_row(f) for f in self.features], infer_schema_length=None)

    def __str__(self) -> str:
        """The ranked list as text."""
        name = max((len(f.name) for f in self.features), default=0)
        width = min(name, 40)
        lines = [f"{self.headline}", ""]
        for f in self.features:
            lines.append(f"{SIGNS[f.verdict]:<10}  {one_line(f.name):<{width}}  {one_line(f.reason)}")
            change = effect_text(f)
            lines += [f"{'':<12}{'':<{width}}  {change}"] if change and f.verdict == "drift" else []
            lines += [f"{'':<12}{'':<{width}}  note: {one_line(note)}" for note in f.notes if note != f.reason]
        rows = f"{self.reference} ({self.reference_rows:,} rows) → {self.current} ({self.current_rows:,} rows)"
        return "\n".join([*lines, "", rows, f"matters: {self.matters}; {self.assumes}"])

    def _repr_html_(self) -> str:
        """For notebooks: self-contained, without scripts, for light and dark."""
        from observe.app.frames_page import fragment

        return fragment(self)

    def to_html(self) -> str:
        """A whole page that asks nobody for anything."""
        from observe.app.frames_page import page

        return page(self)


def _names(features: tuple[Feature, ...]) -> str:
    shown = ", ".join(one_line(f.name) for f in features[:_NAMED])
    return shown + (f" and {len(features) - _NAMED} more" if len(features) > _NAMED else "")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(f: Feature) -> dict[str, Any]:
    e, d = f.effect, f.distances
    return {
        "feature": f.name, "kind": f.kind, "verdict": f.verdict, "reason": f.reason, "p_holm": f.p_holm, "size": f.size,
        "effect_of": e.of if e else None, "reference": e.reference if e else None, "current": e.current if e else None,
        "effect": e.shift if e else None, "low": e.low if e else None, "high": e.high if e else None, "unit": f.unit, "reads": f.reads,
        "ks": f.ks, "ks_p": f.ks_p, "wasserstein": f.wasserstein,
        "psi": d.psi if d else None, "js": d.js if d else None, "hellinger": d.hellinger if d else None,
        "tv": d.tv if d else None, "chi2": d.chi2 if d else None, "chi2_p": d.chi2_p if d else None,
        "reference_missing": f.reference.missing, "current_missing": f.current.missing,
        "reference_nan": f.reference.nan, "current_nan": f.current.nan,
        "reference_infinite": f.reference.infinite, "current_infinite": f.current.infinite,
        "unseen_rows": f.current.unseen,
    }  # fmt: skip
