#!/usr/bin/env python3
"""Seconds in which Hugging Face tokenizers trains a byte-level BPE vocabulary, for bench/compare_train_tokenizer.sh.

    pip install tokenizers==0.23.3
    RAYON_NUM_THREADS=1 python3 bench/peers/tokenizers_train.py VOCABULARY TEXT ...
"""
import sys
import time

from tokenizers import Tokenizer, models, pre_tokenizers, trainers


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=int(sys.argv[1]), min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    wall, processor = time.perf_counter(), time.process_time()
    tokenizer.train(sys.argv[2:], trainer)
    print(f"{time.perf_counter() - wall:.2f} {time.process_time() - processor:.2f} {tokenizer.get_vocab_size()}")


main()
