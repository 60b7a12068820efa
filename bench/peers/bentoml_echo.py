"""The trivial model as a BentoML task."""

import bentoml  # type: ignore[import-not-found]


@bentoml.service
class Echo:
    """Says the prompt."""

    @bentoml.task
    def edit(self, prompt: str) -> str:
        return prompt
