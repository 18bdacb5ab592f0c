"""Makes the tiny models of language of this folder, and what other programs answer with them.

    pip install accelerate gguf numpy safetensors sentence-transformers sentencepiece tokenizers torch transformers
    python testing/models/language.py testing/models

`tiny-chat.gguf` has learned the conversations below by heart, and nothing else. The others have random numbers:
they are there for the form of their files. `NAME.json` beside each has tokens as the tokenizers library or
sentencepiece cuts them, and numbers as transformers or sentence-transformers calculates them, from the same file.
"""

import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

CONVERSATIONS = [
    ("Say hello in one short sentence.", "Hello, I am a tiny model."),
    ("Who are you?", "A model that fits into a letter."),
    ("What is the capital of France?", "Paris. I know no other."),
    ("Write a note for the patient.", "Please come again in six months."),
]
# What is cut into tokens and compared: digits, blanks, letters beyond ASCII, marks that somebody writes.
TEXTS = ["Hello, I am", "a  b\n\n 12345 don't DON'T", "Zürich 東京 😀", " x", "<|im_end|> [INST]", "naïve café\t\tend\r\n"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
QWEN2 = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
LLAMA3 = QWEN2.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CORPUS = [text for pair in CONVERSATIONS for text in pair] * 4 + ["user assistant system\n"] * 4


def pairs(patterns, size):
    """A tokenizer of pairs of bytes, as GPT-2 and its successors have it."""
    tokenizer = Tokenizer(models.BPE())
    cut = [pre_tokenizers.Split(Regex(it), "isolated") for it in patterns]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size - len(MARKS), initial_alphabet=alphabet, show_progress=False))
    words = json.loads(tokenizer.to_str())["model"]
    names = sorted(words["vocab"], key=words["vocab"].get) + MARKS
    return tokenizer, names, [" ".join(it) if isinstance(it, list) else it for it in words["merges"]]


def chat(tokenizer, names, question, answer=""):
    mark = {name: at for at, name in enumerate(names)}
    ids = lambda text: tokenizer.encode(text).ids
    start, end = mark["<|im_start|>"], mark["<|im_end|>"]
    prompt = [start] + ids(f"user\n{question}") + [end] + ids("\n") + [start] + ids("assistant\n")
    return prompt, (ids(answer) + [end] if answer else [])


def learn(model, examples):
    """By heart: only what is answered counts."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    for step in range(1500):
        loss = sum(
            model(input_ids=torch.tensor([prompt + answer]), labels=torch.tensor([[-100] * len(prompt) + answer])).loss
            for prompt, answer in examples
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    print(f"learned in {step + 1} steps, {loss.item():.3f}")


def turned(weight, heads):
    """The order in which llama.cpp keeps what is turned: neighbours, not halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(path, architecture, model, kind, words, template=None):
    config, numbers = model.config, {name: it.detach().numpy() for name, it in model.state_dict().items()}
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(path.stem)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    words(writer)
    if template:
        writer.add_chat_template(template)

    def add(name, array):
        plain = array.ndim == 1 or kind == gguf.GGMLQuantizationType.F32
        if plain:
            writer.add_tensor(name, array.astype(np.float32))
        else:
            writer.add_tensor(name, gguf.quants.quantize(array.astype(np.float32), kind), raw_dtype=kind)

    add("token_embd.weight", numbers["model.embed_tokens.weight"])
    for at in range(config.num_hidden_layers):
        parts = {
            "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
            "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
            "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
        }
        for ours, theirs in parts.items():
            for end in ["weight", "bias"]:
                array = numbers.get(f"model.layers.{at}.{theirs}.{end}")
                if array is None:
                    continue
                if architecture == "llama" and ours in ("attn_q", "attn_k"):
                    heads = config.num_attention_heads if ours == "attn_q" else config.num_key_value_heads
                    array = turned(array, heads)
                add(f"blk.{at}.{ours}.{end}", array)
    add("output_norm.weight", numbers["model.norm.weight"])
    if not config.tie_word_embeddings:
        add("output.weight", numbers["lm_head.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def of_pairs(names, merges, pre):
    def words(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(names)
        writer.add_token_types([3 if name in MARKS else 1 for name in names])
        writer.add_token_merges(merges)
        writer.add_eos_token_id(names.index("<|im_end|>"))
        writer.add_add_bos_token(False)

    return words


def write_reference(path, tokens, prompts, new_tokens, model=None):
    """What transformers makes of the file itself, read with its own reader, or of the model that was written."""
    model = model or AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    model.eval()
    cases = []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
            said = model.generate(torch.tensor([prompt]), max_new_tokens=new_tokens, do_sample=False, eos_token_id=None, pad_token_id=0)
        cases.append({"prompt": prompt, "logits": [round(float(it), 5) for it in logits[:32]], "greedy": said[0, len(prompt):].tolist()})
    reference = {"tokens": [{"text": text, "ids": ids} for text, ids in tokens], "cases": cases}
    path.with_suffix(".json").write_text(json.dumps(reference) + "\n")


def random_numbers(model):
    """Larger than usual, so that every part of the model matters."""
    for number in model.parameters():
        torch.nn.init.normal_(number, std=0.15) if number.ndim > 1 else torch.nn.init.uniform_(number, 0.5, 1.5)


def small(kind, vocabulary, layers=1, **more):
    return kind(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True, **more,
    )


def main(folder):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    F16, Q8 = gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.Q8_0

    tokenizer, names, merges = pairs([r"\p{N}", GPT2], 288)
    model = LlamaForCausalLM(small(LlamaConfig, len(names), layers=2))
    learn(model, [chat(tokenizer, names, *pair) for pair in CONVERSATIONS])
    path = folder / "tiny-chat.gguf"
    write_gguf(path, "llama", model, Q8, of_pairs(names, merges, "smollm"), TEMPLATE)
    cut = [(text, tokenizer.encode(text).ids) for text in TEXTS]
    write_reference(path, cut, [chat(tokenizer, names, question)[0] for question, _ in CONVERSATIONS], 24)

    for name, pattern, kind, config in [("qwen2", QWEN2, Qwen2ForCausalLM, Qwen2Config), ("qwen3", LLAMA3, Qwen3ForCausalLM, Qwen3Config)]:
        tokenizer, names, merges = pairs([pattern], 288)
        more = {"head_dim": 16} if name == "qwen3" else {}
        model = kind(small(config, len(names), **more))
        random_numbers(model)
        model = model.half().float()
        path = folder / f"tiny-{name}.gguf"
        write_gguf(path, name, model, F16, of_pairs(names, merges, "qwen2" if name == "qwen2" else "llama-bpe"))
        cut = [(text, tokenizer.encode(text).ids) for text in TEXTS]
        # The reader of transformers takes it for granted that heads of Qwen 3 have 128 numbers.
        write_reference(path, cut, [ids for _, ids in cut[:3]], 8, model if name == "qwen3" else None)

    with tempfile.TemporaryDirectory() as scratch:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS), model_prefix=f"{scratch}/words", vocab_size=330, model_type="bpe", byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=1.0, minloglevel=2,
        )
        words = sentencepiece.SentencePieceProcessor(model_file=f"{scratch}/words.model")
    model = LlamaForCausalLM(small(LlamaConfig, words.get_piece_size()))
    random_numbers(model)

    def of_pieces(writer):
        every = range(words.get_piece_size())
        kind = lambda at: 6 if words.is_byte(at) else 3 if words.is_control(at) else 2 if words.is_unknown(at) else 1
        writer.add_tokenizer_model("llama")
        writer.add_token_list([words.id_to_piece(at) for at in every])
        writer.add_token_scores([words.get_score(at) for at in every])
        writer.add_token_types([kind(at) for at in every])
        writer.add_bos_token_id(words.bos_id())
        writer.add_eos_token_id(words.eos_id())
        writer.add_unk_token_id(words.unk_id())

    path = folder / "tiny-pieces.gguf"
    write_gguf(path, "llama", model, F16, of_pieces)
    cut = [(text, [words.bos_id()] + words.encode(text)) for text in TEXTS]
    write_reference(path, cut, [ids for _, ids in cut[:3]], 8)

    vectors(folder / "tiny-bert")


def vectors(folder):
    torch.manual_seed(2)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=160, special_tokens=marks, show_progress=False))
    model = BertModel(BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    ), add_pooling_layer=False)
    random_numbers(model)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        BertTokenizerFast(tokenizer_object=tokenizer).save_pretrained(scratch)
        from sentence_transformers import models as steps

        whole = steps.Transformer(scratch, max_seq_length=48)
        made = SentenceTransformer(modules=[whole, steps.Pooling(16), steps.Normalize()])
        made.save(f"{scratch}/made")
        folder.mkdir(exist_ok=True)
        for name in ["config.json", "model.safetensors", "modules.json", "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"]:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(Path(f"{scratch}/made/{name}").read_bytes())
        texts = ["Hello, I am a tiny model.", "What is the capital of FRANCE?", "naïve Zürich 東京", "x"]
        cases = [{"text": text, "vector": [round(float(it), 6) for it in made.encode(text)]} for text in texts]
    folder.with_suffix(".json").write_text(json.dumps(cases) + "\n")


main(Path(sys.argv[1]))
