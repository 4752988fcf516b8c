"""Sentence embeddings: two views of a sentence by leaving out words, DHEL over a large batch in small chunks, and a search.

`python examples/sentences.py` (44 s of CPU time, one measurement); the sentences are those of riesz's own documents.
"""

import random
import re
from pathlib import Path

import riesz
import riesz.torch
import torch
from torch import nn

WORDS = 1 << 14


def sentences():
    documents = sorted((Path(__file__).parents[3] / "docs").rglob("*.md"))
    text = " ".join(document.read_text() for document in documents)
    found = re.split(r"(?<=[.:;])\s+", re.sub(r"[`*#|>\n]+", " ", text))
    return [sentence for sentence in dict.fromkeys(found) if 6 <= len(sentence.split()) <= 40]


def hashed(words):
    """The numbers of words and of pairs of words."""
    pieces = [word.lower().strip(".,;:()") for word in words]
    pieces += [f"{a} {b}" for a, b in zip(pieces, pieces[1:])]
    return torch.tensor([sum(ord(c) * 31**i for i, c in enumerate(piece)) % WORDS for piece in pieces])


def view(sentence):
    words = sentence.split()
    return hashed([word for word in words if random.random() > 0.4] or words)


def bag(net, lists):
    return net(torch.cat(lists), torch.tensor([0, *map(len, lists)][:-1]).cumsum(0))


class Encoder(nn.Module):
    def __init__(self, d=96):
        super().__init__()
        self.words, self.head = nn.EmbeddingBag(WORDS, 128, mode="mean"), nn.Linear(128, d)

    def forward(self, flat, offsets):
        return self.head(torch.tanh(self.words(flat, offsets)))


if __name__ == "__main__":
    random.seed(0)
    torch.manual_seed(0)
    corpus, net, criterion = sentences(), Encoder(), riesz.torch.DHELLoss(0.2, learn=True)
    optimizer = torch.optim.Adam([*net.parameters(), *criterion.parameters()], 3e-3)
    for step in range(60):
        batch = random.sample(corpus, min(512, len(corpus)))
        pairs = [(view(sentence), view(sentence)) for sentence in batch]
        chunks = [list(zip(*pairs[first : first + 64])) for first in range(0, len(pairs), 64)]
        optimizer.zero_grad()
        embed = lambda chunk: [bag(net, list(lists)) for lists in chunk]  # noqa: E731
        loss = riesz.torch.cached_backward(embed, chunks, criterion)
        optimizer.step()
        if step % 20 == 0:
            print(
                f"step {step}: loss {loss.item():.3f}, temperature {float(criterion.temperature.detach()):.3f}"
            )
    with torch.no_grad():
        z = nn.functional.normalize(bag(net, [hashed(sentence.split()) for sentence in corpus]))
        report = riesz.geometry(z)
        print(
            f"{len(corpus)} sentences: {report.verdict} Effective rank {report.effective_rank:.1f} of {report.dim}."
        )
        query = "how much memory does the loss take for a large batch"
        best = (z @ nn.functional.normalize(bag(net, [hashed(query.split())]))[0]).topk(3).indices
        print(f"\nnearest to {query!r}:", *(f"- {corpus[i]}" for i in best), sep="\n")
