"""A pipeline's guidance, looked at on a few noises that are the same for every prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from ..diffusion.guidance import Embedded, Guidance
from ..measures.exact import exact
from ..measures.prompts import anisotropy, magnitude
from ..method.streams import generator_of


@dataclass(frozen=True)
class OnNoises:
    """A pipeline's guidance on the noises that all prompts are measured on.

    One noise a seed, the same for every prompt: what is common to all of them takes no part in who is above whom, and
    what is predicted without a prompt is predicted once.
    """

    guidance: Guidance
    noises: Sequence[Tensor]
    without: Sequence[tuple[Tensor, Tensor]]
    """Predicted without a prompt at the first timestep and at the low one."""

    @classmethod
    @exact()
    @torch.no_grad()
    def of(cls, pipeline: DiffusionPipeline, seed: int, seeds: int) -> "OnNoises":
        guidance = Guidance(pipeline)
        nothing = guidance.nothing()
        noises = [guidance.noise(generator_of("prompt", seed, k)) for k in range(seeds)]
        both = [tuple(guidance.epsilon(nothing, noise, t) for t in (guidance.first, guidance.low)) for noise in noises]
        return cls(guidance, noises, [(first, low) for first, low in both])

    @exact()
    @torch.no_grad()
    def measured(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Both measures, [n, seeds] on the CPU."""
        guidance, embedded = self.guidance, self.guidance.embed(texts)
        found: dict[str, list[Tensor]] = {"magnitude": [], "anisotropy": []}
        for noise, (first, low) in zip(self.noises, self.without, strict=True):
            found["magnitude"].append(magnitude(guidance.epsilon(embedded, noise, guidance.first), first))
            found["anisotropy"].append(anisotropy(guidance.epsilon(embedded, noise, guidance.low), low))
        return {name: torch.stack(of, dim=1).cpu() for name, of in found.items()}

    @exact()
    def attribution(self, text: str) -> list[tuple[str, float]]:
        """Each token, and its share of the norms of the magnitude's gradient by the prompt's states (Wen et al., 2024,
        section 4); the mean over the noises.
        """
        embedded, tokens = self.guidance.embed([text]), self.guidance.tokens(text)
        states = embedded.states.clone().requires_grad_()
        norms = torch.zeros(states.shape[1], device=states.device)
        for noise, (first, _) in zip(self.noises, self.without, strict=True):
            with_text = self.guidance.epsilon(Embedded(states, embedded.pooled), noise, self.guidance.first)
            (gradient,) = torch.autograd.grad(magnitude(with_text, first).sum(), states)
            norms += gradient[0].float().norm(dim=1)
        shares = norms[[place for place, _ in tokens]].cpu()
        shares = shares / shares.sum().clamp(min=1e-30)
        return [(word, share) for (_, word), share in zip(tokens, shares.tolist(), strict=True)]
