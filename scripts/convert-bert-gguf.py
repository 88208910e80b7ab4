"""Converts a BERT sentence encoder (Hugging Face layout) to GGUF for llama.cpp.

usage: convert-bert-gguf FOLDER OUT.gguf f32|f16|q8_0 [NAME]

FOLDER holds config.json, vocab.txt (WordPiece), model.safetensors and, when the pooling is not the mean,
1_Pooling/config.json. Needs numpy, safetensors and gguf (scripts/requirements.txt).

What llama.cpp expects of architecture "bert":
- WordPiece turned about: a piece that continues a word ("##ing") loses its mark, one that starts a word gets U+2581 in
  front; special tokens stay as they are and are of type CONTROL, so that text cannot produce them.
- Weights by the names of the table below. Biases, norms and the two small embedding tables stay float32: together under
  one per cent of the size, and the position table is added to every token.
"""
import json
import os
import sys

try:
    import gguf
    import numpy as np
    from safetensors import safe_open
except ImportError as missing:
    sys.exit(f"conversion needs the Python package {missing.name}: scripts/setup installs it")

EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
KEPT_FLOAT32 = {"position_embd.weight", "token_types.weight"}
SPECIAL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


def read_json(*path):
    try:
        with open(os.path.join(*path), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def read_config(folder):
    config = read_json(folder, "config.json")
    if config is None:
        sys.exit(f"{folder} holds no config.json")
    expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for key, value in expected.items():
        if config.get(key, value) != value:
            sys.exit(f"config.json: {key} is {config[key]!r}; only {value!r} can be converted")
    return config


def read_pooling(folder):
    pooling = read_json(folder, "1_Pooling", "config.json") or {}
    modes = [key for key, on in pooling.items() if key.startswith("pooling_mode_") and on is True]
    if modes in ([], ["pooling_mode_mean_tokens"]):
        return gguf.PoolingType.MEAN
    if modes == ["pooling_mode_cls_token"]:
        return gguf.PoolingType.CLS
    sys.exit(f"1_Pooling/config.json: {', '.join(modes)}: only mean or cls pooling can be converted")


def write_header(writer, config, pooling, file_type, name):
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_vocabulary(writer, folder, config):
    with open(os.path.join(folder, "vocab.txt"), encoding="utf-8") as file:
        words = [line.rstrip("\n") for line in file]
    if len(words) != config["vocab_size"]:
        sys.exit(f"vocab.txt has {len(words)} words, config.json says {config['vocab_size']}")
    tokens, types = [], []
    for word in words:
        if word in SPECIAL:
            tokens.append(word.encode())
            types.append(gguf.TokenType.CONTROL)
            continue
        continues = word.startswith("##") and word != "##"
        tokens.append((word[2:] if continues else "\u2581" + word).encode())
        types.append(gguf.TokenType.NORMAL)
    ids = {word: number for number, word in enumerate(words)}
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_unk_token_id(ids["[UNK]"])
    writer.add_sep_token_id(ids["[SEP]"])
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_uint32("tokenizer.ggml.cls_token_id", ids["[CLS]"])
    writer.add_mask_token_id(ids["[MASK]"])
    writer.add_bos_token_id(ids["[CLS]"])
    writer.add_eos_token_id(ids["[SEP]"])


def tensor_names(layers):
    names = dict(EMBEDDINGS)
    for layer in range(layers):
        for source, target in LAYER.items():
            for part in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{source}.{part}"] = f"blk.{layer}.{target}.{part}"
    return names


def add_tensor(writer, name, values, form):
    values = values.astype(np.float32)
    if form == "f32" or values.ndim == 1 or name in KEPT_FLOAT32:
        writer.add_tensor(name, values)
    elif form == "f16":
        writer.add_tensor(name, values.astype(np.float16))
    else:
        q8_0 = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, q8_0), raw_dtype=q8_0)


def write_tensors(writer, folder, config, form):
    with safe_open(os.path.join(folder, "model.safetensors"), "np") as file:
        present = set(file.keys())
        prefix = "" if "embeddings.word_embeddings.weight" in present else "bert."
        for source, target in tensor_names(config["num_hidden_layers"]).items():
            if prefix + source not in present:
                sys.exit(f"model.safetensors holds no {prefix + source}")
            add_tensor(writer, target, file.get_tensor(prefix + source), form)


def main(folder, out, form, name="bert"):
    if form not in FILE_TYPES:
        sys.exit(f"format {form!r}: expected one of {', '.join(FILE_TYPES)}")
    config = read_config(folder)
    writer = gguf.GGUFWriter(out, "bert")
    write_header(writer, config, read_pooling(folder), FILE_TYPES[form], name)
    write_vocabulary(writer, folder, config)
    write_tensors(writer, folder, config, form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
