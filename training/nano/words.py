"""The text side: two tokenizers and two tiny encoders, trained as edit classifiers and then frozen.

The transformer learns fast when its text is nearly a task number, so both encoders are trained
first and alone to tell the edits apart over a large corpus of phrasings (`train`). Then they learn
what two edits in one sentence are (`tune`): the sum of the two, as far as an encoder can say it.
Encoders whose transformer is trained go on with `tune` alone and keep its targets, so that they
learn more phrasings without the transformer noticing.

Classes and conventions are FLUX.1's: a CLIP text model whose pooled row is read at the end token,
and a T5 encoder whose padding takes part unmasked.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from training.nano.edits import COMPOSITIONS
from training.nano.phrasings import (
    EXAMPLES,
    HELD_OUT,
    composed_corpus,
    corpus,
    held_out_compositions,
    noisy,
)

CLIP_LENGTH = 77
T5_LENGTH = 32
WIDTH = 128
CLIP_MARKS = ("<|startoftext|>", "<|endoftext|>")
CLIP_VOCABULARY = 1500
T5_VOCABULARY = 1500


@dataclass(frozen=True, slots=True)
class Words:
    """Both tokenizers and both encoders."""

    tokenizer: CLIPTokenizer
    tokenizer_2: T5Tokenizer
    text_encoder: CLIPTextModel
    text_encoder_2: T5EncoderModel

    FOLDERS: ClassVar[tuple[str, ...]] = (
        "tokenizer",
        "tokenizer_2",
        "text_encoder",
        "text_encoder_2",
    )

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids for CLIP (n, 77) and for T5 (n, 32), padded and cut as diffusers' Flux
        pipelines do.
        """
        clip = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=CLIP_LENGTH,
            truncation=True,
            return_tensors="pt",
        )
        t5 = self.tokenizer_2(
            list(texts),
            padding="max_length",
            max_length=T5_LENGTH,
            truncation=True,
            return_tensors="pt",
        )
        return clip.input_ids, t5.input_ids

    def pool(self, ids: Tensor) -> Tensor:
        """CLIP's pooled rows (n, 128) of its token ids (n, 77)."""
        # Rows after the longest end token are never read by the causal encoder.
        longest = int((ids == self.tokenizer.eos_token_id).int().argmax(1).max()) + 1
        return self.text_encoder(ids[:, :longest]).pooler_output

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Pooled (n, 128) from CLIP and states (n, 32, 128) from T5."""
        pooled, states = [], []
        for start in range(0, len(texts), 512):
            clip, t5 = self.tokens(texts[start : start + 512])
            pooled.append(self.pool(clip))
            states.append(self.text_encoder_2(t5).last_hidden_state)
        return torch.cat(pooled), torch.cat(states)

    def save(self, folder: Path) -> None:
        """One Hugging Face folder for each of the four parts."""
        for name in self.FOLDERS:
            getattr(self, name).save_pretrained(folder / name)


def load(folder: Path) -> Words:
    """What `Words.save` wrote, in evaluation mode."""
    return Words(
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        T5Tokenizer.from_pretrained(folder / "tokenizer_2"),
        CLIPTextModel.from_pretrained(folder / "text_encoder").eval(),
        T5EncoderModel.from_pretrained(folder / "text_encoder_2").eval(),
    )


def clip_tokenizer(texts: Sequence[str]) -> CLIPTokenizer:
    """Byte-level BPE with `</w>` at word ends, lower case, as CLIP's; vocabulary of its own."""
    blank = CLIPTokenizer()
    # The trainer numbers what it was not told of in another order every time, and so breaks ties
    # in another way: it is told of the letters that end words too.
    letters = sorted({letter for text in texts for letter in text.lower() if letter.strip()})
    trainer = trainers.BpeTrainer(
        vocab_size=CLIP_VOCABULARY,
        special_tokens=[*CLIP_MARKS, *(f"{letter}</w>" for letter in letters)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    blank.backend_tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(blank.backend_tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=CLIP_LENGTH)


def t5_tokenizer(texts: Sequence[str]) -> T5Tokenizer:
    """Unigram pieces over whitespace-split words, as T5's; `<pad>` 0, `</s>` 1, `<unk>` 2."""
    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer = T5Tokenizer(extra_ids=0).backend_tokenizer.pre_tokenizer
    letters = sorted(set(string.printable.strip()) | set("°é"))
    trainer = trainers.UnigramTrainer(
        vocab_size=T5_VOCABULARY,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",  # noqa: S106  a token of text
        initial_alphabet=letters,
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    # Threads sum up in another order every time: other last digits, and the letters that no piece
    # needs have scores close above the lowest, one after the other, in any order.
    found = json.loads(raw.to_str())["model"]["vocab"]
    marks, scored = found[:3], {piece: round(score, 9) for piece, score in found[3:]}
    close = min(scored.values()) + len(letters) / 10_000
    spare = sorted(piece for piece in scored if len(piece) == 1 and scored[piece] < close)
    scored |= dict(zip(spare, sorted(scored[piece] for piece in spare), strict=True))
    pieces = [*map(tuple, marks), *sorted(scored.items(), key=lambda it: (-it[1], it[0]))]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=T5_LENGTH)


def untrained(texts: Sequence[str]) -> Words:
    """Tokenizers that cut these texts well, and encoders of their size as torch draws them."""
    tokenizer, tokenizer_2 = clip_tokenizer(texts), t5_tokenizer(texts)
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CLIP_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer_2),
            d_model=WIDTH,
            d_kv=32,
            d_ff=2 * WIDTH,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.1,
            relative_attention_num_buckets=32,
            pad_token_id=0,
            eos_token_id=1,
            is_encoder_decoder=False,
            use_cache=False,
        )
    )
    return Words(tokenizer, tokenizer_2, clip, t5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """How a loss is made small: steps of AdamW, its rate risen over the first of them to a peak,
    then falling as half a cosine. It counts steps and not time, so that a seed tells the weights.
    """

    title: str  # begins the lines that it prints
    steps: int
    peak: float
    rising: int
    decay: float

    def run(self, words: Words, heads: Sequence[nn.Parameter], loss: Callable[[], Tensor]) -> None:
        """Train both encoders, and the heads on them. `loss` draws a batch at every call."""
        encoders = (words.text_encoder, words.text_encoder_2)
        parameters = [*(it for encoder in encoders for it in encoder.parameters()), *heads]
        optimiser = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=self.decay)
        for encoder in encoders:
            encoder.train()
        average = 0.0
        for step in range(self.steps):
            for group in optimiser.param_groups:
                group["lr"] = self.rate(step)
            found = loss()
            optimiser.zero_grad()
            found.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            average = found.item() if step == 0 else 0.98 * average + 0.02 * found.item()
            if (step + 1) % 100 == 0:
                print(
                    f"{self.title}: step {step + 1} of {self.steps}, loss {average:.3f}", flush=True
                )
        for encoder in encoders:
            encoder.eval()

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        risen = min(1, (step + 1) / self.rising)
        return self.peak * risen * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def spellings(per_edit: int, seed: int) -> list[str]:
    """Texts as training meets them, so that capitals and slips have pieces of their own."""
    rng = random.Random(seed)  # noqa: S311  repeatable draws
    texts = [text for _, text in (*corpus(per_edit, seed), *composed_corpus(per_edit // 7, seed))]
    return texts + [noisy(text, rng, 0.5) for text in texts[::4]]


def train(steps: int = 1500, per_edit: int = 1200, seed: int = 0) -> Words:
    """Tokenizers from the corpus, then both encoders against one linear head each."""
    torch.manual_seed(seed)
    rng = random.Random(seed)  # noqa: S311  repeatable draws
    names = list(EXAMPLES)
    pairs = corpus(per_edit, seed)
    words = untrained(spellings(per_edit, seed))
    heads = nn.ModuleList([nn.Linear(WIDTH, len(names)), nn.Linear(WIDTH, len(names))])

    def loss() -> Tensor:
        chosen = rng.choices(pairs, k=96)
        labels = torch.tensor([names.index(name) for name, _ in chosen])
        ids, ids_2 = words.tokens([noisy(text, rng) for _, text in chosen])
        pooled = functional.dropout(words.pool(ids), 0.1)
        states = words.text_encoder_2(ids_2).last_hidden_state
        found = functional.cross_entropy(heads[0](pooled), labels, label_smoothing=0.05)
        found = found + functional.cross_entropy(
            heads[1](states.mean(1)), labels, label_smoothing=0.05
        )
        # Each row alone must know the edit too: the transformer may look at any of them.
        rows = heads[1](states).flatten(0, 1)
        return found + 0.3 * functional.cross_entropy(
            rows, labels.repeat_interleave(states.shape[1]), label_smoothing=0.1
        )

    descent = Descent(title="words", steps=steps, peak=1.5e-3, rising=100, decay=0.05)
    descent.run(words, list(heads.parameters()), loss)
    report(words, heads, names)
    return words


@torch.no_grad()
def report(words: Words, heads: nn.ModuleList, names: Sequence[str]) -> None:
    """Print how many held-out phrasings each encoder puts with the right edit, and which it does
    not.
    """
    texts = [(name, text) for name in names for text in HELD_OUT[name]]
    labels = torch.tensor([names.index(name) for name, _ in texts])
    pooled, states = words.embed([text for _, text in texts])
    for title, scores in (("pooled", heads[0](pooled)), ("states", heads[1](states.mean(1)))):
        found = scores.argmax(1)
        rate = float((found == labels).float().mean())
        print(f"words: {title}: {rate:.3f} of {len(texts)} held-out phrasings")
        for (name, text), guess in zip(texts, found.tolist(), strict=True):
            if names[guess] != name:
                print(f"  {text!r} is {name}, taken for {names[guess]}")


@dataclass(frozen=True, slots=True)
class Targets:
    """What the encoders shall answer: rows of pooled and of states, one for each name."""

    names: tuple[str, ...]
    pooled: Tensor
    states: Tensor


def targets(words: Words, per_edit: int = 150, seed: int = 2) -> Targets:
    """An edit's own mean embedding over the phrasings that are written out, and for a composition
    the sum of its two parts.

    Means are taken from the common mean and all rows have one length, since both encoders end in a
    norm. The transformer, which knows the single edits, makes something near the two edits of such
    a sum before it was ever trained on one.
    """
    pairs = corpus(per_edit, seed, framed_share=0)
    rows: list[list[Tensor]] = [[], []]
    for name in EXAMPLES:
        pooled, states = words.embed([text for edit, text in pairs if edit == name])
        rows[0].append(pooled.mean(0))
        rows[1].append(states.mean((0, 1)))
    at = {name: place for place, name in enumerate(EXAMPLES)}
    both = torch.tensor([[at[part] for part in edit.parts] for edit in COMPOSITIONS])
    found = []
    for row in rows:
        length = math.sqrt(len(row[0]))
        single = functional.normalize(torch.stack(row), dim=1) * length
        middle = single.mean(0)
        sums = single[both].sum(1) - middle
        found.append(torch.cat([single, functional.normalize(sums, dim=1) * length]))
    return Targets((*EXAMPLES, *(edit.name for edit in COMPOSITIONS)), found[0], found[1])


def missed(rows: Tensor, labels: Tensor, aims: Tensor) -> Tensor:
    """How far embeddings (n, 128) are from the rows of `aims` that `labels` name, and how much
    nearer others are.
    """
    alike = 16 * functional.normalize(rows, dim=1) @ functional.normalize(aims, dim=1).T
    far = (rows - aims[labels]).square().mean()
    return 2 * far + 0.5 * functional.cross_entropy(alike, labels)


def retokenised(words: Words, texts: Sequence[str]) -> Words:
    """These encoders behind new tokenizers that cut `texts` well: a piece that both know keeps its
    row, and a new one begins as the mean of the old pieces that spell it.
    """
    new = untrained(texts)
    for tokenizer, old_tokenizer, encoder, old_encoder in (
        (new.tokenizer, words.tokenizer, new.text_encoder, words.text_encoder),
        (new.tokenizer_2, words.tokenizer_2, new.text_encoder_2, words.text_encoder_2),
    ):
        known = old_tokenizer.get_vocab()
        old_rows = old_encoder.get_input_embeddings().weight.detach()
        rows = torch.empty(len(tokenizer), WIDTH)
        for piece, number in tokenizer.get_vocab().items():
            spelt = piece.replace("</w>", "").replace("\u2581", "")
            ids = old_tokenizer(spelt, add_special_tokens=False).input_ids
            rows[number] = old_rows[[known[piece]] if piece in known else ids or [0]].mean(0)
        inner = {
            name: value
            for name, value in old_encoder.state_dict().items()
            if value.shape[0] != len(old_rows)
        }
        encoder.load_state_dict(inner, strict=False)
        encoder.get_input_embeddings().weight.data.copy_(rows)
    return new


def tune(
    words: Words, aims: Targets, steps: int = 1700, per_edit: int = 1500, seed: int = 5
) -> Words:
    """Go on with trained encoders, changing them, until every phrasing, of single edits and of
    compositions, comes near its target.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)  # noqa: S311  repeatable draws
    label = {name: number for number, name in enumerate(aims.names)}
    single, double = corpus(per_edit, seed), composed_corpus(per_edit // 3, seed)
    words.tokenizer_2.model_max_length = T5_LENGTH

    def loss() -> Tensor:
        # Apart, because one long text makes the whole of a batch long.
        return missed_of(rng.choices(single, k=24)) + missed_of(rng.choices(double, k=24))

    def missed_of(chosen: Sequence[tuple[str, str]]) -> Tensor:
        labels = torch.tensor([label[name] for name, _ in chosen])
        ids, ids_2 = words.tokens([noisy(text, rng, 0.12) for _, text in chosen])
        states = words.text_encoder_2(ids_2).last_hidden_state
        found = missed(words.pool(ids), labels, aims.pooled)
        found = found + missed(states.mean(1), labels, aims.states)
        # Each row alone must know it too: the transformer may look at any of them.
        far = states - aims.states[labels][:, None]
        return found + far.square().mean()

    Descent(title="words, tuned", steps=steps, peak=1e-3, rising=50, decay=0.02).run(
        words, (), loss
    )
    return words


@torch.no_grad()
def report_tuned(words: Words, aims: Targets) -> None:
    """Print how many held-out phrasings each encoder puts nearest to the right target."""
    single = [(name, text) for name in EXAMPLES for text in HELD_OUT[name]]
    double = [
        (edit.name, text) for edit in COMPOSITIONS for text in held_out_compositions(edit.name)
    ]
    for kind, pairs in (("single", single), ("composed", double)):
        embedded = words.embed([text for _, text in pairs])
        rows = (("pooled", embedded[0], aims.pooled), ("states", embedded[1].mean(1), aims.states))
        for title, found, aim in rows:
            nearest = torch.cdist(found, aim).argmin(1).tolist()
            wrong = [
                f"  {text!r} is {name}, taken for {aims.names[number]}"
                for (name, text), number in zip(pairs, nearest, strict=True)
                if aims.names[number] != name
            ]
            print(f"words: {kind}, {title}: {1 - len(wrong) / len(pairs):.3f} of {len(pairs)}")
            print("\n".join(wrong[:25]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train nano's tokenizers and text encoders.")
    parser.add_argument("--out", type=Path, default=Path("runs/words"))
    parser.add_argument("--steps", type=int, default=1700, help="of each of the two stages")
    parser.add_argument("--per-edit", type=int, default=1500, help="phrasings an edit")
    parser.add_argument("--weights", type=Path, help="exported weights whose words to tune")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    known = load(options.weights) if options.weights else train(options.steps, options.per_edit)
    found = targets(known)
    if options.weights:
        known = retokenised(known, spellings(options.per_edit, seed=5))
    tune(known, found, options.steps, options.per_edit).save(options.out)
    report_tuned(known, found)
