"""What a card says that its figures do not show."""

from ...config import RunConfig
from ...run.released_base import asked_release
from ..figures import Figures
from ..wording import pixels_alone
from .wording import bullets, is_prompted


def limits(figures: Figures, config: RunConfig) -> list[str]:
    """First of the verdict, then of what is measured at all."""
    prompts = ", other prompts or another guidance" if is_prompted(config) else ""
    lines = [
        _of_the_verdict(figures, config),
        f"The figures are of this one model under the sampler above: another sampler{prompts} may echo more, or less. "
        "Measure what you will use, by `unecho audit`.",
        "A near-copy resembles one training image by the measures above. Whether an image shows a style, a person or a "
        "work that was trained on is not measured.",
        "This is a measurement and no guarantee of privacy: it does not show that nobody can find out whether some "
        "image was trained on.",
    ]
    if alone := pixels_alone(figures.config, figures.resolution):
        lines += [f"Looked for with {alone}."]
    if figures.quality and figures.quality.poor:
        lines += ["Few of its images look real, and what resembles nothing echoes nothing."]
    if config.model.pretrained is not None:
        unknown = "is not known here" if asked_release(config) is None else "may be more than the data above"
        lines += [f"What the pretrained model was trained on {unknown}: copies of that were not looked for."]
    return bullets(lines)


def _of_the_verdict(figures: Figures, config: RunConfig) -> str:
    if figures.headline.smoke:
        return "A smoke run shows that every step works. Whether the model echoes, it does not say."
    if not figures.has_floor:
        return "No images were held out: what chance brings (the floor) is not known, and nothing is judged."
    margin = f"{100 * config.evaluate.margin:g} percentage points"
    match figures.headline.verdict:
        case "above":
            return "It echoes. Take none of its images for new that was not compared with the training images."
        case "at_or_below":
            return (
                f"'No echo' does not say that there are no copies: it says less than {margin} more than chance brings."
            )
    return f"Not decided: so few images cannot tell no echo from {margin} of copies beyond the floor."
