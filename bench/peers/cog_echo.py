"""The trivial model behind Cog."""

from cog import BasePredictor  # type: ignore[import-not-found]


class Predictor(BasePredictor):
    """Says the prompt."""

    def predict(self, prompt: str) -> str:
        return prompt
