"""The model card of a release: what the model is, and what was measured of it."""

from .card import CARD as CARD
from .card import model_card as model_card
