"""The trivial model behind LitServe."""

import sys

import litserve  # type: ignore[import-not-found]


class Echo(litserve.LitAPI):
    """Says the prompt."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def predict(self, request: dict[str, str]) -> dict[str, str]:
        return {"output": request["prompt"]}


if __name__ == "__main__":
    server = litserve.LitServer(Echo(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
