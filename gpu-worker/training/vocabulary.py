"""Makes both tokenizers: byte-pair encoding in CLIP's file format, learned from captions."""

import json
import random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

import captions
from colours import NAMES, WORDS, word_for

SIZE = 2048
START, END = "<|startoftext|>", "<|endoftext|>"
CAPTIONS = 30_000
LENGTH = 77
# How CLIP cuts text into words.
WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# Words that prompts have and our captions lack, each a few times so that it is cut into few pieces.
EXTRA = """
    low quality blurry ugly worst bad anatomy deformed image painting realistic style art beautiful bright dark light simple
    plain soft shadow man woman person house building bird apple flower cat dog car tree boat ball cup chair face portrait
    landscape
""".split()
PADDING = {"tokenizer": END, "tokenizer_2": "!"}


def texts(names, seed):
    """Captions as the training data has them, of all names, with the colours' other words."""
    rng = random.Random(seed)
    for _ in range(CAPTIONS):
        colours = [word_for(rng.choice(NAMES), rng)] if rng.random() < 0.85 else []
        yield captions.of_scene([captions.of_object(rng.choice(names), colours, rng)], word_for(rng.choice(NAMES), rng), rng)
    yield from [" ".join([*EXTRA, *sorted(WORDS)])] * 40


def train(names, seed):
    """Token -> id and the merges, with the special tokens last: the highest id must be the end."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    cut = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - 2, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts(names, seed), trainer)
    merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    # As in CLIP: bytes, bytes that end a word, what merges make, specials.
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    tokens += [a + b for a, b in merges][: SIZE - 2 - len(tokens)]
    merges = merges[: len(tokens) - 2 * len(alphabet)]
    return {token: id for id, token in enumerate([*tokens, START, END])}, merges


def write(folder, names, seed=0):
    """Writes `tokenizer` and `tokenizer_2` below `folder`, which differ in what they pad with. @returns the size."""
    vocabulary, merges = train(names, seed)
    for name, padding in PADDING.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        specials = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": padding}
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, **specials, "do_lower_case": True}
        files = {
            "vocab.json": json.dumps(vocabulary, ensure_ascii=False),
            "merges.txt": "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]) + "\n",
            "tokenizer_config.json": json.dumps({**config, "add_prefix_space": False}),
            "special_tokens_map.json": json.dumps(specials),
        }
        for file, content in files.items():
            (folder / name / file).write_text(content)
    return len(vocabulary)
