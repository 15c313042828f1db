#pragma once
// Sound files of each format, small and of random content, written by hand: what mutants, sweeps and fuzzers begin with.
#include <algorithm>
#include <optional>

#include "malformed/mutate.hpp"

namespace plume_test {

using Files = std::vector<std::optional<std::string>>;  // in the order of a format's names; nothing: the file is absent

struct StoredTensor {
  std::string name;
  std::string_view dtype;
  std::vector<std::size_t> shape;
};

inline std::string element(std::string_view dtype, Dice& dice) {
  std::string bytes;
  const float value = static_cast<float>(dice.random.uniform() - 0.5);
  if (dtype == "F32")
    put(bytes, value);
  else if (dtype == "F64")
    put(bytes, static_cast<double>(value));
  else if (dtype == "BF16")
    put(bytes, static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  else if (dtype == "F16")
    put(bytes, static_cast<std::uint16_t>(0x3000u | dice.below(0x400) | dice.below(2) << 15));
  else
    bytes.assign(dtype.ends_with("64")   ? 8u
                 : dtype.ends_with("32") ? 4u
                 : dtype.ends_with("16") ? 2u
                                         : 1u,
                 static_cast<char>(dice.below(3)));
  return bytes;
}

inline std::string safetensors_bytes(const std::vector<StoredTensor>& tensors, Dice& dice, std::string_view metadata = {}) {
  std::string header = "{", data;
  if (!metadata.empty()) header += plume::concat("\"__metadata__\":", metadata);
  for (const StoredTensor& tensor : tensors) {
    std::size_t count = 1;
    std::string shape;
    for (const std::size_t extent : tensor.shape) {
      count *= extent;
      shape += plume::concat(shape.empty() ? "" : ",", extent);
    }
    const std::size_t begin = data.size();
    for (std::size_t i = 0; i < (tensor.dtype == "F4" ? count / 2 : count); ++i) data += element(tensor.dtype, dice);
    header += plume::concat(header.size() > 1 ? "," : "", "\"", tensor.name, "\":{\"dtype\":\"", tensor.dtype, "\",\"shape\":[", shape,
                            "],\"data_offsets\":[", begin, ",", data.size(), "]}");
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  std::string bytes;
  put(bytes, static_cast<std::uint64_t>(header.size()));
  return bytes + header + data;
}

inline std::string_view float_type(Dice& dice) {
  constexpr std::string_view types[] = {"F32", "F32", "F64", "BF16", "F16"};
  return dice.pick(types);
}

inline Files sound_json(Dice& dice) {
  const auto node = [&](auto&& self, int depth) -> JsonNode {
    JsonNode result;
    const std::size_t kind = depth == 0 ? 0 : dice.below(3);
    if (kind == 0) {
      constexpr std::string_view texts[] = {"0",    "-7",    "18446744073709551615", "0.25", "1e3", "null",
                                            "true", "\"a\"", "\"\\ud83d\\ude00\\n\""};
      result.text = dice.pick(texts);
      return result;
    }
    result.kind = kind == 1 ? JsonNode::Kind::array : JsonNode::Kind::object;
    for (std::size_t i = dice.below(5); i > 0; --i) {
      result.parts.push_back(self(self, depth - 1));
      result.parts.back().key = plume::concat("\"k", i, '"');
    }
    return result;
  };
  return {node(node, 4).spelled()};
}

inline Files sound_safetensors(Dice& dice) {
  constexpr std::string_view types[] = {"BOOL", "F4",  "U8",  "I8",  "F8_E4M3", "I16", "F16", "BF16",
                                        "I32",  "U32", "F32", "C64", "F64",     "I64", "U64"};
  std::vector<StoredTensor> tensors;
  for (std::size_t i = dice.below(5); i > 0; --i) {
    StoredTensor tensor{plume::concat("t", i), dice.pick(types), {}};
    for (std::size_t rank = dice.below(6); rank > 0; --rank) tensor.shape.push_back(dice.chance(10) ? 0 : dice.between(1, 3));
    if (tensor.dtype == "F4") tensor.shape.push_back(2);
    tensors.push_back(tensor);
  }
  return {safetensors_bytes(tensors, dice, dice.chance(50) ? R"({"format":"pt"})" : "")};
}

inline Files sound_index(Dice& dice) {
  const std::string one = safetensors_bytes({{"a", "F32", {2}}, {"b", "F16", {1, 2}}}, dice),
                    two = safetensors_bytes({{"c", "BF16", {3}}}, dice);
  return {R"({"metadata":{"total_size":18},"weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"}})", one, two};
}

inline std::vector<StoredTensor> llama_tensors(std::size_t layers, std::size_t key_heads, bool tied, std::string_view dtype) {
  std::vector<StoredTensor> tensors{{"model.embed_tokens.weight", dtype, {7, 8}}, {"model.norm.weight", dtype, {8}}};
  if (!tied) tensors.push_back({"lm_head.weight", dtype, {7, 8}});
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string layer = plume::concat("model.layers.", i, ".");
    for (const auto& [name, shape] : {std::pair<const char*, std::vector<std::size_t>>("input_layernorm", {8}),
                                      {"post_attention_layernorm", {8}},
                                      {"self_attn.q_proj", {8, 8}},
                                      {"self_attn.k_proj", {4 * key_heads, 8}},
                                      {"self_attn.v_proj", {4 * key_heads, 8}},
                                      {"self_attn.o_proj", {8, 8}},
                                      {"mlp.gate_proj", {6, 8}},
                                      {"mlp.up_proj", {6, 8}},
                                      {"mlp.down_proj", {8, 6}}})
      tensors.push_back({plume::concat(layer, name, ".weight"), dtype, shape});
  }
  return tensors;
}

inline Files sound_llama(Dice& dice) {
  const std::size_t layers = dice.between(1, 2), key_heads = dice.between(1, 2);
  const bool tied = dice.chance(50);
  std::string config = plume::concat(R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":7,"hidden_size":8,)",
                                     R"("intermediate_size":6,"num_hidden_layers":)", layers, R"(,"num_attention_heads":2,)",
                                     R"("num_key_value_heads":)", key_heads, R"(,"max_position_embeddings":16,"rms_norm_eps":1e-05,)",
                                     R"("rope_theta":10000.0,"rope_scaling":null,"hidden_act":"silu","tie_word_embeddings":)", tied,
                                     R"(,"bos_token_id":1,"eos_token_id":[2,3],"torch_dtype":"float32","attention_bias":false})");
  return {config, safetensors_bytes(llama_tensors(layers, key_heads, tied, float_type(dice)), dice, R"({"format":"pt"})")};
}

inline Files sound_gpt2(Dice& dice) {
  const std::string prefix = dice.chance(50) ? "transformer." : "";
  const std::string_view dtype = float_type(dice);
  std::vector<StoredTensor> tensors{{prefix + "wte.weight", dtype, {7, 8}}, {prefix + "wpe.weight", dtype, {5, 8}}};
  for (const char* part : {"weight", "bias"}) {
    const bool bias = part[0] == 'b';
    tensors.push_back({prefix + "ln_f." + part, dtype, {8}});
    for (const auto& [name, rows, columns] : {std::tuple<const char*, std::size_t, std::size_t>("attn.c_attn", 8, 24),
                                              {"attn.c_proj", 8, 8},
                                              {"mlp.c_fc", 8, 32},
                                              {"mlp.c_proj", 32, 8}})
      tensors.push_back({plume::concat(prefix, "h.0.", name, ".", part), dtype,
                         bias ? std::vector<std::size_t>{columns} : std::vector<std::size_t>{rows, columns}});
    for (const char* norm : {"ln_1", "ln_2"}) tensors.push_back({plume::concat(prefix, "h.0.", norm, ".", part), dtype, {8}});
  }
  return {R"({"architectures":["GPT2LMHeadModel"],"model_type":"gpt2","vocab_size":7,"n_positions":5,"n_embd":8,"n_layer":1,"n_head":2,)"
          R"("n_inner":null,"layer_norm_epsilon":1e-05,"activation_function":"gelu_new","bos_token_id":6,"eos_token_id":6,)"
          R"("scale_attn_weights":true})",
          safetensors_bytes(tensors, dice)};
}

inline Files sound_model(Dice& dice) { return dice.chance(50) ? sound_llama(dice) : sound_gpt2(dice); }

inline Files sound_llama2c(Dice& dice) {
  const std::size_t version = dice.below(3), heads = dice.between(1, 2), head = 2 * dice.between(1, 2), dim = heads * head,
                    hidden = dice.between(1, 6), layers = dice.between(1, 2), key_heads = heads == 2 ? dice.between(1, 2) : 1,
                    vocabulary = dice.between(3, 6), context = dice.between(1, 4), kv = key_heads * head, group = dice.between(1, 2);
  const bool shared = dice.chance(50);
  std::string bytes;
  if (version > 0) {
    put(bytes, std::uint32_t{0x616b3432});
    put(bytes, static_cast<std::int32_t>(version));
  }
  for (const std::size_t value : {dim, hidden, layers, heads, key_heads}) put(bytes, static_cast<std::int32_t>(value));
  put(bytes, static_cast<std::int32_t>(vocabulary) * (shared || version > 0 ? 1 : -1));
  put(bytes, static_cast<std::int32_t>(context));
  if (version > 0) {
    put(bytes, static_cast<std::uint8_t>(shared));
    if (version == 2) put(bytes, static_cast<std::int32_t>(group));
    bytes.resize(256);
  }
  const std::size_t per_layer = 2 * dim * dim + 2 * kv * dim + 3 * hidden * dim, vectors = (2 * layers + 1) * dim;
  const std::size_t matrices = vocabulary * dim * (shared ? 1 : 2) + layers * per_layer, tables = version == 0 ? context * head : 0;
  for (std::size_t i = 0; i < vectors + tables + (version == 2 ? matrices / group : matrices); ++i) bytes += element("F32", dice);
  for (std::size_t i = 0; version == 2 && i < matrices; ++i) put(bytes, static_cast<std::uint8_t>(dice.below(256)));
  return {bytes};
}

inline Files sound_tokenizer_bin(Dice& dice) {
  std::string bytes;
  put(bytes, std::uint32_t{8});
  const auto token = [&](std::string_view piece) {
    put(bytes, static_cast<float>(-dice.random.uniform()));
    put(bytes, static_cast<std::uint32_t>(piece.size()));
    bytes += piece;
  };
  for (const char* fixed : {"<unk>", "\n<s>\n", "\n</s>\n"}) token(fixed);
  constexpr char digits[] = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) token(std::string{'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'});
  constexpr std::string_view pieces[] = {" ", "a", "b", " a", "ab", "\xc3\xa9", "hello"};
  for (std::size_t i = dice.below(8); i > 0; --i) token(pieces[i - 1]);
  return {bytes};
}

// The character that byte-level vocabularies write for a byte, as UTF-8.
inline std::string character_of(unsigned byte) {
  unsigned point = byte;
  const auto plain = [](unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  if (!plain(byte)) {
    point = 256;
    for (unsigned b = 0; b < byte; ++b) point += plain(b) ? 0u : 1u;
  }
  if (point < 0x80) return {static_cast<char>(point)};
  return {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
}

// vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json, added_tokens.json
inline Files sound_byte_bpe(Dice& dice) {
  std::string vocabulary = "{", merges = dice.chance(50) ? "#version: 0.2\n" : "";
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string piece = character_of(byte);
    vocabulary += plume::concat(byte > 0 ? "," : "", '"', piece == "\"" || piece == "\\" ? "\\" : "", piece, "\":", byte);
  }
  std::vector<std::string> made{"a", "b", "c"};
  std::size_t next = 256;
  for (std::size_t i = dice.below(6); i > 0; --i) {
    const std::string left = dice.pick(made), right = dice.pick(made);
    if (std::find(made.begin(), made.end(), left + right) != made.end()) continue;
    made.push_back(left + right);
    merges += plume::concat(left, " ", right, "\n");
    vocabulary += plume::concat(",\"", left, right, "\":", next++);
  }
  Files files(5);
  const bool apart = dice.chance(50);
  if (!apart) vocabulary += plume::concat(",\"<|end|>\":", next);
  files[0] = vocabulary + "}";
  files[1] = merges;
  if (apart || dice.chance(50))
    files[2] = plume::concat(R"({"tokenizer_class":"GPT2Tokenizer","add_bos_token":)", dice.chance(50),
                             R"(,"bos_token":"<|end|>","eos_token":{"content":"<|end|>"},"unk_token":null,"added_tokens_decoder":{")", next,
                             R"(":{"content":"<|end|>","special":true}},"model_max_length":1024})");
  if (dice.chance(50)) files[3] = R"({"bos_token":"<|end|>","eos_token":"<|end|>","additional_special_tokens":["<|end|>"]})";
  if (apart || dice.chance(30)) files[4] = plume::concat(R"({"<|end|>":)", next, "}");
  return files;
}

inline Files sound_simple_tokenizer(Dice& dice) {
  if (dice.chance(20)) return {R"({"kind":"bytes"})"};
  std::string list;
  constexpr std::string_view characters[] = {"\\n", " ", "a", "b", "z", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
  for (const std::string_view character : characters)
    if (dice.chance(60)) list += plume::concat(list.empty() ? "\"" : ",\"", character, '"');
  return {plume::concat(R"({"kind":"characters","characters":[)", list.empty() ? "\"a\"" : list, "]}")};
}

inline std::string sound_chat(Dice& dice) {
  constexpr std::string_view chats[] = {
      R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello!"}]})",
      R"({"messages":[{"role":"system","content":"x"},{"role":"user","content":[{"type":"text","text":"Hi"}]}]})",
      R"({"conversations":[{"from":"gpt","value":"a"},{"from":"human","value":"b"},{"from":"gpt","value":"c"}],"system":"x"})",
      R"({"instruction":"add","input":"1 2","output":"3","history":[["q","a"]]})", R"({"text":"once upon a time"})"};
  return std::string(dice.pick(chats));
}
inline Files sound_chat_lines(Dice& dice) {
  const std::string chat = sound_chat(dice);
  std::string lines;
  for (std::size_t i = dice.between(1, 3); i > 0; --i) lines += chat + "\n";
  return {lines};
}
inline Files sound_chat_document(Dice& dice) {
  const std::string chat = sound_chat(dice);
  return {"[" + chat + "," + chat + "]"};
}
inline Files sound_text(Dice& dice) {
  constexpr std::string_view texts[] = {"once upon\na time\n<|endoftext|>\nthe end\n", "\xc3\xa9t\xc3\xa9\r\n<|endoftext|>\r\nx"};
  return {std::string(dice.pick(texts))};
}
inline Files sound_chat_template(Dice& dice) {
  constexpr std::string_view files[] = {R"({"template":"vicuna"})", R"({"template":"plain","x":1})", R"({"template":"chatml"})"};
  return {std::string(dice.pick(files))};
}

inline Files sound_pretrain_config(Dice& dice) {
  constexpr std::string_view files[] = {
      R"({"family":"llama","layers":2,"heads":4,"width":128,"hidden":384,"context":256,"tied_head":true,"sequence":64,"rotary_base":1e4})",
      R"({"family":"gpt2","layers":4,"heads":4,"width":128,"context":64,"bias":false,"batch":12,"steps":2000,"learning_rate":1e-3,)"
      R"("minimum_learning_rate":1e-4,"warmup":100,"beta2":0.99,"weight_decay":0.1,"evaluate_every":250,"dropout":0.1})"};
  return {std::string(dice.pick(files))};
}
inline Files sound_metrics(Dice& dice) {
  std::string lines;
  for (std::size_t step = 1; step <= dice.between(1, 4); ++step)
    lines += plume::concat(R"({"step":)", step, R"(,"loss":)", dice.chance(20) ? "null" : "2.5", R"(,"validation_loss":null})", "\n");
  return {lines};
}

// What sound_adapter() fits.
inline Files adapter_base(Dice& dice) {
  Files files = sound_llama(dice);
  while (files[0]->find("\"num_hidden_layers\":2,") == std::string::npos ||
         files[0]->find("\"num_key_value_heads\":1,") == std::string::npos)
    files = sound_llama(dice);
  return files;
}
inline Files sound_adapter(Dice& dice) {
  const std::size_t rank = dice.between(1, 3);
  const std::string_view dtype = float_type(dice);
  std::vector<StoredTensor> tensors;
  for (const char* layer : {"0", "1"})
    for (const auto& [name, in, out] :
         {std::tuple<const char*, std::size_t, std::size_t>("self_attn.q_proj", 8, 8), {"self_attn.v_proj", 8, 4}}) {
      const std::string path = plume::concat("base_model.model.model.layers.", layer, ".", name);
      tensors.push_back({path + ".lora_A.weight", dtype, {rank, in}});
      tensors.push_back({path + ".lora_B.weight", dtype, {out, rank}});
    }
  return {plume::concat(R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":)", rank, R"(,"lora_alpha":8,"lora_dropout":0.1,)",
                        R"("target_modules":["q_proj","v_proj"],"bias":"none","use_rslora":)", dice.chance(30),
                        R"(,"fan_in_fan_out":false,"modules_to_save":null,"rank_pattern":{},"alpha_pattern":{"v_proj":4}})"),
          safetensors_bytes(tensors, dice, R"({"format":"pt"})")};
}

}  // namespace plume_test
