"""Opens adapters that plume saved in peft, and records what peft computes with them: tests/golden/lora/from_plume.json.

    PLUME_LORA_OUTPUT=/tmp/adapters build/test/tests/peft -tc="adapters for peft are written"     # writes one folder per adapter
    python3 tests/golden/check_lora.py /tmp/adapters                                              # needs what make_lora.py needs

The test "an adapter of plume gives in peft what it gives here" then compares plume's logits with these, and the sums of the files it writes with the sums of
the files that peft read here.
"""
import hashlib
import json
import os
import sys

import peft
import torch
from transformers import AutoModelForCausalLM

import make_lora
import make_models

BASES = {"gpt2": "gpt2", "gpt2_q_v": "gpt2", "llama": "llama", "llama_interleaved": "llama"}


def main(folder):
    record = {}
    for name, base in BASES.items():
        directory = os.path.join(folder, name)
        plain = AutoModelForCausalLM.from_pretrained(os.path.join(make_lora.HERE, "models", base), attn_implementation="eager")
        before = {key for key, _ in plain.named_parameters()}
        model = peft.PeftModel.from_pretrained(plain, directory).eval()
        stored = make_lora.load_file(os.path.join(directory, "adapter_model.safetensors"))
        ours = {key.replace(".weight", ".default.weight") for key in stored}
        assert ours == {key for key, _ in model.named_parameters() if "lora_" in key}, "peft made other layers than the file has"
        assert all(torch.equal(value, torch.from_numpy(stored[key.replace(".default", "")])) for key, value in model.named_parameters() if "lora_" in key)
        sequences, _ = make_lora.batch_of(base)
        ids, mask = make_models.padded(sequences[1:])
        with torch.no_grad():
            logits = make_models.pack(make_lora.forward(model, ids, mask), mask)
            with model.disable_adapter():
                change = float((make_models.pack(make_lora.forward(model, ids, mask), mask) - logits).abs().max())
        assert change > 0.1, change
        sums = {}
        for file in ("adapter_model.safetensors", "adapter_config.json"):
            with open(os.path.join(directory, file), "rb") as stream:
                sums[file] = hashlib.sha256(stream.read()).hexdigest()
        record[name] = {"base": base, "sha256": sums, "rows": [0, 7, 22], "logits": [[float(v) for v in logits[row]] for row in (0, 7, 22)]}
        print(name, len(stored) // 2, "layers of", len(before), "parameters, the adapter changes logits by", change)
    with open(os.path.join(make_lora.LORA, "from_plume.json"), "w") as file:
        json.dump({"peft": peft.__version__, **record}, file)
        file.write("\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
