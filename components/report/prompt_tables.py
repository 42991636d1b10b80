"""What prompts give away, as tables."""

from ..measures.prompt_figures import NAMES, PromptFigures, PromptMeasure, Spread
from ..measures.ranking import Estimate
from .tables import Table
from .wording import percent


def told_apart(prompts: PromptFigures) -> Table:
    """How well each measure tells training captions from held-out ones, beside the base model's."""
    base = {of.name: of for of in prompts.base}
    rows = []
    for of in prompts.measures:
        cells = [NAMES[of.name], _area(of.auc), _share(of.detected)]
        rows.append([*cells, *([_area(base[of.name].auc), _share(base[of.name].detected)] if base else [])])
    beside = ["AUC of the base model", "caught of the base model"] if base else []
    return Table("Training captions told from held-out ones", ["", "AUC", "caught at 1 % false alarms", *beside], rows)


def values_by_kind(prompts: PromptFigures) -> Table:
    """Median and 95th percentile of each measure by the kind of prompt, and how far seeds agree."""
    return Table(
        "Values: median and 95th percentile",
        ["", "training captions", "held-out captions", "general prompts", "seeds agree"],
        [
            [NAMES[of.name], *_spreads(of), "" if of.agreement is None else f"{of.agreement:.2f}"]
            for of in prompts.measures
        ],
    )


def counted(prompts: PromptFigures) -> str:
    """How many prompts of each kind were measured, in a sentence."""
    general = f" and {prompts.general:,} general prompts" if prompts.general else ""
    left_out = (
        f"; {prompts.on_both_sides:,} captions that stand on both sides are left out" if prompts.on_both_sides else ""
    )
    return (
        f"{prompts.training:,} captions of training images, {prompts.held_out:,} of held-out ones{general}, on "
        f"{prompts.seeds} noises each{left_out}"
    )


def _spreads(of: PromptMeasure) -> list[str]:
    return [_spread(spread) for spread in (of.training, of.held_out, of.general)]


def _spread(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.3g}, {spread.high:.3g}"


def _area(of: Estimate | None) -> str:
    return "none" if of is None else f"{of.value:.2f} [{of.low:.2f}, {of.high:.2f}]"


def _share(of: Estimate | None) -> str:
    return "too few" if of is None else f"{percent(of.value)} [{100 * of.low:.1f}, {100 * of.high:.1f}]"
