"""Compares token IDs with those of PyPI's tokenizers.

Usage: tokens.py MODEL.gguf, with one JSON array a line on standard input:
[text, whether control tokens in it count, token IDs]. The reference is built
from the vocabulary in the file, which is read here with nothing of Daulat's.
Prints how many lines were compared; a difference ends it with status 1.
"""

import json
import mmap
import struct
import sys

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
BATCH = 4096

# The pattern of Qwen2's published tokenizer.json.
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Metadata:
    """The key-value table at the head of a GGUF file."""

    def __init__(self, data):
        self.data, self.at = data, 0
        magic, version, _, keys = self.take("4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            sys.exit(f"not a GGUF file of version 2 or 3: {magic!r} {version}")
        self.values = {self.text(): self.value(*self.take("I")) for _ in range(keys)}

    def take(self, layout):
        layout = "<" + layout
        self.at += struct.calcsize(layout)
        return struct.unpack_from(layout, self.data, self.at - struct.calcsize(layout))

    def text(self):
        (size,) = self.take("Q")
        self.at += size
        return bytes(self.data[self.at - size : self.at]).decode()

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            of, count = self.take("IQ")
            return [self.value(of) for _ in range(count)]
        return self.take(SCALARS[kind])[0]


def splits(pre):
    """The normalizer and the pre-tokenizer of that name; None for another name."""
    if pre == "smollm":
        return None, [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if pre == "qwen2":
        split = pre_tokenizers.Split(Regex(QWEN2), "isolated")
        return normalizers.NFC(), [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def reference(values):
    """The tokenizer that the file describes, with and without control tokens."""
    get = lambda name: values.get("tokenizer.ggml." + name)
    rule = splits(get("pre"))
    if get("model") != "gpt2" or not rule:
        sys.exit(f"no reference is written for tokenizer {get('model')} {get('pre')}")
    names = get("tokens")
    merges = [tuple(m.split(" ")) for m in get("merges")]
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=merges))
    normalizer, steps = rule
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    special = [n for n, kind in zip(names, get("token_type")) if kind in (UNKNOWN, CONTROL, USER_DEFINED)]
    tokenizer.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in special])
    if tokenizer.get_vocab_size() != len(names):
        sys.exit("the reference has other tokens than the file")
    return tokenizer


def compare(tokenizer, lines):
    """How many of lines differ; each is printed."""
    differ = 0
    for counts in (False, True):
        batch = [line for line in lines if line[1] == counts]
        tokenizer.encode_special_tokens = not counts
        for (text, _, ids), want in zip(batch, tokenizer.encode_batch([b[0] for b in batch], add_special_tokens=False)):
            if ids != want.ids:
                differ += 1
                print(f"{text!r} control={counts}: got {ids}, want {want.ids}", file=sys.stderr)
    return differ


def main():
    with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tokenizer = reference(Metadata(data).values)
    compared = differ = 0
    batch = []
    for line in sys.stdin:
        batch.append(json.loads(line))
        if len(batch) == BATCH:
            compared, differ, batch = compared + len(batch), differ + compare(tokenizer, batch), []
        if differ > 20:
            break
    compared, differ = compared + len(batch), differ + compare(tokenizer, batch)
    print(json.dumps({"compared": compared, "differ": differ}))
    sys.exit(differ > 0)


main()
