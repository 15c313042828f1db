#!/usr/bin/env python3
"""Writes tests/golden/tokenizers/: small tokenizer.json files, variations of them, and hashes of what the original libraries make of 50,000 strings.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 tiktoken==0.14.0
    venv/bin/python tests/golden/make_tokenizer_hashes.py $PLUME_TEST_DATA tests/golden/tokenizers [NAME ...]

The vocabularies are trained on Natsume Soseki's Botchan in English (public domain; sentencepiece/botchan.txt in the test data). The strings come
from a generator that tests/tokenizer/tokenizer_json_test.cpp holds as well: splitmix64 picks vocabulary entries, words, white space, special tokens,
emoji, digits and code points; every code point below U+30000 occurs. hashes.json has, per tokenizer and way of encoding, one CRC-32 for each
1,000 strings: of the ids (little-endian int32, -1 behind each string), or of the decoded text (a zero byte behind each).
"""
import base64
import gzip
import json
import os
import sys

import tiktoken
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_strings import grouped, id_bytes, strings

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
def without_specials(file):
    """The file with the special tokens out of the model's reach: plain text never becomes one in plume, while a model of tokenizers would still
    find them in its vocabulary."""
    file = json.loads(json.dumps(file))
    model = file["model"]
    names = {token["content"] for token in file["added_tokens"] if token["special"]} - {model.get("unk_token")}
    names &= set(model["vocab"]) if isinstance(model["vocab"], dict) else {piece for piece, _ in model["vocab"]}
    hidden = {name: "\ue000\ue001\ue002" + name for name in names}
    file["added_tokens"].sort(key=lambda token: token["content"] in names)  # so that the others keep their ids
    if isinstance(model["vocab"], list):
        model["vocab"] = [[hidden.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {hidden.get(piece, piece): i for piece, i in model["vocab"].items()}
    return file


def hashes_of(file):
    tokenizer, plain = Tokenizer.from_str(json.dumps(file)), Tokenizer.from_str(json.dumps(without_specials(file)))
    vocabulary = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    added = [token.content for _, token in sorted(tokenizer.get_added_tokens_decoder().items())]
    texts = list(strings(vocabulary, added))
    result = {}
    tokenizer.encode_special_tokens = False
    recognised = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    result["recognise"] = grouped(map(id_bytes, recognised))
    plain.encode_special_tokens = True
    result["plain"] = grouped(id_bytes(plain.encode(text, add_special_tokens=True).ids) for text in texts)
    result["decode"] = grouped(tokenizer.decode(ids, skip_special_tokens=True).encode() + b"\0" for ids in recognised)
    result["decode_special"] = grouped(tokenizer.decode(ids, skip_special_tokens=False).encode() + b"\0" for ids in recognised)
    return result


def tiktoken_hashes(path, pattern, specials):
    ranks = {}
    for line in open(path, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens=specials)
    spelled = [token.decode("utf-8", "replace") for token, _ in sorted(ranks.items(), key=lambda item: item[1])]
    texts = list(strings(spelled, sorted(specials)))
    return {"recognise": grouped(id_bytes(encoding.encode(text, allowed_special="all")) for text in texts),
            "plain": grouped(id_bytes(encoding.encode_ordinary(text)) for text in texts)}


GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+END|" + r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*END|"
O200K = CASED.replace("END", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?") + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = CASED.replace("END", "") + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
             r"""|\s*[\r\n]+|\s+(?!\S)|\s+""")
WITHOUT_HAN = CASED.replace(r"\p{M}]", r"\p{M}&&[^\p{Han}]]").replace("END", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?")
KIMI = r"[\p{Han}]+|" + WITHOUT_HAN + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
EXAONE_MOE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
              r"|\s*[\r\n]|\s+(?!\S)|\s+")
JAIS2 = ("'[sS\u017f]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|" + LLAMA3.split("|", 7)[7].replace(r"\s+(?!\S)|\s+", "")
         + "".join(rf"\s{{{n}}}(?!\S)|" for n in [512, 256, 128, 64, 32, 16, 8, 4, "1,2"]) + r"\s{1}")
# the letters with case of DeepSeek LLM's file: first and last of each range
DEEPSEEK_LETTERS = ("41 5a 61 7a b5 b5 c0 d6 d8 f6 f8 1ba 1bc 1bf 1c4 293 295 2af 370 373 376 377 37b 37d 37f 37f 386 386 388 38a 38c 38c 38e 3a1 3a3 3f5 3f7 481 48a "
                    "52f 531 556 10a0 10c5 13a0 13f5 13f8 13fd 1c90 1cba 1cbd 1cbf 1d00 1d2b 1d6b 1d77 1d79 1d9a 1e00 1f15 1f18 1f1d 1f20 1f45 1f48 1f4d 1f50 1f57 "
                    "1f59 1f59 1f5b 1f5b 1f5d 1f5d 1f5f 1f7d 1f80 1fb4 1fb6 1fbc 1fbe 1fbe 1fc2 1fc4 1fc6 1fcc 1fd0 1fd3 1fd6 1fdb 1fe0 1fec 1ff2 1ff4 1ff6 1ffc "
                    "2102 2102 2107 2107 210a 2113 2115 2115 2119 211d 2124 2124 2126 2126 2128 2128 212a 212d 212f 2134 2139 2139 213c 213f 2145 2149 214e 214e "
                    "2183 2184 2c00 2c7b 2c7e 2ce4 2ceb 2cee 2cf2 2cf3 a640 a66d a680 a69b a722 a76f a771 a787 a78b a78e ab70 abbf fb00 fb06 fb13 fb17 ff21 ff3a "
                    "ff41 ff5a 10400 1044f 104b0 104d3 104d8 104fb 10c80 10cb2 10cc0 10cf2 118a0 118df 1e900 1e943").split()
DEEPSEEK_CASED = r"\s?[" + "".join(chr(int(a, 16)) + "-" + chr(int(b, 16)) for a, b in zip(DEEPSEEK_LETTERS[::2], DEEPSEEK_LETTERS[1::2])) + "]+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"


def split(regex, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(regex), behavior, invert)


def spelled():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def part(component):
    return json.loads(component.__getstate__()) if component is not None else None


def build(corpus, folder):
    """The base files, and the variations: name -> (base, members of the file to replace)."""
    def save(name, tokenizer):
        if os.path.exists(f"{folder}/{name}.json"):  # training is not reproducible; delete the folder to train anew
            return
        with open(f"{folder}/{name}.json", "w") as out:
            out.write(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n")

    text = [line.strip() for line in open(corpus, encoding="utf-8") if line.strip()]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()

    byte_bpe = Tokenizer(models.BPE())
    byte_bpe.pre_tokenizer = spelled()  # no cutting: merges cross words, so that wrong cuts show
    byte_bpe.decoder = decoders.ByteLevel()
    byte_bpe.train_from_iterator([t[:400] for t in text] + ["12345 2024 1,000", "  \n\n\t", "camelCase HTTPServer"] * 20,
                                 trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    save("byte_bpe", byte_bpe)

    bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bert.normalizer = normalizers.BertNormalizer()
    bert.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bert.decoder = decoders.WordPiece()
    bert.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=600, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    bert.add_special_tokens([tokenizers.AddedToken("[MASK]", lstrip=True, rstrip=True, special=True)])
    bert.add_tokens([tokenizers.AddedToken("Botchan", single_word=True), tokenizers.AddedToken("  x", normalized=False, lstrip=True)])
    bert.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    save("bert", bert)

    level = Tokenizer(models.WordLevel(unk_token="<unk>"))
    level.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    level.pre_tokenizer = pre_tokenizers.Whitespace()
    level.train_from_iterator(text, trainers.WordLevelTrainer(vocab_size=500, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    level.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    save("word_level", level)

    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    unigram.decoder = decoders.Metaspace(prepend_scheme="first")
    unigram.train_from_iterator(text, trainers.UnigramTrainer(vocab_size=500, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    save("unigram", unigram)

    plain = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    plain.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    plain.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    plain.train_from_iterator([t[:200] for t in text], trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    plain.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    save("char_bpe", plain)

    # as LLaMA's: merges stay inside words, but the file has no pre-tokeniser; unknown characters become bytes
    llama = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    llama.pre_tokenizer = pre_tokenizers.Metaspace()
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    llama.train_from_iterator(text, trainers.BpeTrainer(vocab_size=800, special_tokens=["<unk>", "<s>", "</s>"] + fallback, show_progress=False))
    file = json.loads(llama.to_str())
    file["added_tokens"] = file["added_tokens"][:3]
    file["pre_tokenizer"], file["normalizer"], file["decoder"] = None, part(plain.normalizer), part(plain.decoder)
    llama = Tokenizer.from_str(json.dumps(file))
    llama.post_processor = plain.post_processor
    save("llama", llama)

    suffix = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    suffix.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    suffix.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    suffix.decoder = decoders.BPEDecoder()
    suffix.train_from_iterator(text, trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False))
    save("suffix_bpe", suffix)

    prefix = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    prefix.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)])
    prefix.decoder = decoders.WordPiece(cleanup=False)
    prefix.train_from_iterator(text, trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>"], continuing_subword_prefix="##", show_progress=False))
    save("prefix_bpe", prefix)

    def sequence(*steps):
        return {"pre_tokenizer": part(pre_tokenizers.Sequence([*steps]))}

    variations = {name: (name, {}) for name in ["byte_bpe", "bert", "word_level", "unigram", "char_bpe", "llama", "suffix_bpe", "prefix_bpe"]}
    byte = {
        "gpt2": {"pre_tokenizer": part(pre_tokenizers.ByteLevel(add_prefix_space=False))},
        "gpt2_prefix": {"pre_tokenizer": part(pre_tokenizers.ByteLevel(add_prefix_space=True))},
        "cl100k": sequence(split(CL100K, "removed", True), spelled()), "cl100k_three": sequence(split(CL100K.replace("{1,3}+", "{1,3}")), spelled()), "llama3": sequence(split(LLAMA3), spelled()), "qwen2": sequence(split(QWEN2), spelled()),
        "o200k": sequence(split(O200K, "removed", True), spelled()), "tekken": sequence(split(TEKKEN), spelled()),
        "starcoder": sequence(pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)),
        "falcon": sequence(pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(),
                           split("[0-9][0-9][0-9]")),
        "bloom": sequence(split(BLOOM), spelled()),
        "deepseek_v3": sequence(split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK3), spelled()),
        "deepseek_coder": sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
                                   pre_tokenizers.Digits(individual_digits=True), spelled()),
        "kimi": sequence(split(KIMI), spelled()), "exaone_moe": sequence(split(EXAONE_MOE), spelled()), "jais2": sequence(split(JAIS2), spelled()),
        "o200k_single": sequence(split(O200K.replace("{1,3}", "")), spelled()),
        "deepseek_llm": sequence(split("[\r\n]"), split(DEEPSEEK_CASED), split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"), split(r"\s+$"),
                                 split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), pre_tokenizers.Digits(individual_digits=True), spelled()),
        "spark": sequence(split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                          split(DEEPSEEK3.replace(r"+[\r\n]*|\s*[\r\n]+", r"+|[\r\n]")), split(r"\p{N}"), spelled()),
        "tiny_aya": sequence(split(r"\d{1,3}(?=(?:\d{3})*\b)"), split(O200K), spelled()),
        "superbpe": sequence(split(r"\p{N}+"), split(r"(?=(\d{3})+(?!\d))"), spelled()),
        "number_groups": sequence(split(r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"), split(DEEPSEEK3), spelled()),
        "scripts": sequence(pre_tokenizers.UnicodeScripts(), spelled()),
        "fixed": sequence(pre_tokenizers.FixedLength(3), spelled()),
        "delimiter": sequence(pre_tokenizers.CharDelimiterSplit("a"), spelled()),
        "metaspace": sequence(pre_tokenizers.Metaspace(prepend_scheme="always"), spelled()),
        "whole_metaspace": sequence(pre_tokenizers.Metaspace(prepend_scheme="never", split=False), pre_tokenizers.Whitespace(), spelled()),
        "normalizer": {"normalizer": part(normalizers.ByteLevel()), "pre_tokenizer": None},
        "nfc": {"normalizer": part(normalizers.NFC())}, "nfd": {"normalizer": part(normalizers.NFD())}, "nfkc": {"normalizer": part(normalizers.NFKC())},
        "nfkd": {"normalizer": part(normalizers.NFKD())}, "nmt": {"normalizer": part(normalizers.Nmt())},
        "strip": {"normalizer": part(normalizers.Sequence([normalizers.Strip(), normalizers.StripAccents(), normalizers.Lowercase()]))},
        "accents": {"normalizer": part(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Replace("a", "bb")]))},
    }
    for behavior in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        byte["split_" + behavior] = sequence(pre_tokenizers.Split(" ", behavior), split("[a-e]", behavior), pre_tokenizers.Punctuation(behavior), spelled())
        byte["inverted_" + behavior] = sequence(split("[a-e]", behavior, True), spelled())
    for name, members in byte.items():
        variations["byte_bpe/" + name] = ("byte_bpe", members)
    variations["bert/cased"] = ("bert", {"normalizer": part(normalizers.BertNormalizer(lowercase=False, strip_accents=True, handle_chinese_chars=False))})
    variations["unigram/always"] = ("unigram", {"pre_tokenizer": part(pre_tokenizers.Metaspace()), "decoder": part(decoders.Metaspace())})
    variations["suffix_bpe/clip"] = ("suffix_bpe", {"pre_tokenizer": part(pre_tokenizers.Sequence([split(CLIP, "removed", True), spelled()]))})
    variations["llama/metaspace"] = ("llama", {"normalizer": None, "pre_tokenizer": part(pre_tokenizers.Metaspace(prepend_scheme="first", split=False))})
    variations["llama/gemma"] = ("llama", {"normalizer": part(normalizers.Replace(" ", "\u2581")), "post_processor": None,
                                           "decoder": part(decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]))})
    variations["char_bpe/ctc"] = ("char_bpe", {"decoder": part(decoders.CTC("<s>", "\u2581", True))})
    variations["char_bpe/none"] = ("char_bpe", {"decoder": None, "normalizer": None})
    return variations


def gpt1(data):
    """As transformers' OpenAIGPTConverter."""
    vocabulary = json.load(open(f"{data}/tokenizers/gpt1/encoder_bpe_40000.json"))
    merges = [tuple(line.split()) for line in open(f"{data}/tokenizers/gpt1/vocab_40000.bpe", encoding="utf-8").read().split("\n")[1:-1]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=False))
    tokenizer.add_special_tokens(["<unk>"])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    return json.loads(tokenizer.to_str())


def clip(data):
    """As openai/CLIP simple_tokenizer.py makes the vocabulary, and transformers' CLIPConverter the rest."""
    lines = gzip.open(f"{data}/tokenizers/clip/bpe_simple_vocab_16e6.txt.gz").read().decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1:49152 - 256 - 2 + 1]]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    spelled_all = characters + [c + "</w>" for c in characters] + ["".join(m) for m in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: i for i, piece in enumerate(spelled_all)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False, unk_token="<|endoftext|>"))
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(pattern, "removed", True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("</w>", " "), decoders.Strip(" ", 0, 1)])
    tokenizer.post_processor = processors.RobertaProcessing(("<|endoftext|>", 49407), ("<|startoftext|>", 49406), trim_offsets=False, add_prefix_space=False)
    return json.loads(tokenizer.to_str())


def main():
    data, folder, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    variations = build(f"{data}/tokenizers/sentencepiece/botchan.txt", folder)
    with open(f"{folder}/variations.json", "w") as out:
        rows = [f" {json.dumps(name)}: {json.dumps({'base': base, 'set': members})}" for name, (base, members) in variations.items()]
        out.write("{\n" + ",\n".join(rows) + "\n}\n")
    path = f"{folder}/hashes.json"
    hashes = json.load(open(path)) if only and os.path.exists(path) else {}

    def wanted(name):
        if only and not any(name.startswith(o) for o in only):
            return False
        print(name, flush=True)
        return True

    def save():
        with open(path, "w") as out:
            rows = [f" {json.dumps(name)}: {{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in ways.items()) + "}" for name, ways in hashes.items()]
            out.write("{\n" + ",\n".join(rows) + "\n}\n")
    for name, (base, members) in variations.items():
        if wanted(name):
            file = json.load(open(f"{folder}/{base}.json"))
            file.update(members)
            hashes[name] = hashes_of(file)
            save()
    for name in ["gpt2/tokenizer.json", "hf-json/whisper.tokenizer.json"]:
        if wanted(name):
            hashes[name] = hashes_of(json.load(open(f"{data}/tokenizers/{name}")))
            save()
    for name, make in [("gpt1", gpt1), ("clip", clip)]:
        if wanted(name):
            hashes[name] = hashes_of(make(data))
            save()
    for name, pattern in [("gpt2", GPT2), ("multilingual", CL100K), ("multilingual", O200K)]:
        key = f"tiktoken/{name}.tiktoken" + {GPT2: "", CL100K: "/cl100k", O200K: "/o200k"}[pattern]
        if wanted(key):
            count = sum(1 for line in open(f"{data}/tokenizers/tiktoken/{name}.tiktoken") if line.strip())
            hashes[key] = tiktoken_hashes(f"{data}/tokenizers/tiktoken/{name}.tiktoken", pattern, {"<|endoftext|>": count})
            save()


main()
