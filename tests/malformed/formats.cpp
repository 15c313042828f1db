#include "malformed/formats.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>

#include "malformed/damage.hpp"
#include "malformed/model_formats.hpp"
#include "malformed/sound_files.hpp"
#include "plume/base/json.hpp"
#include "plume/data/chat_dataset.hpp"
#include "plume/data/chat_template_file.hpp"
#include "plume/data/chats.hpp"
#include "plume/formats/gguf.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/models/load.hpp"
#include "plume/peft/adapter_files.hpp"
#include "plume/tokenizer/characters.hpp"
#include "plume/tokenizer/tokenizer_files.hpp"
#include "plume/train/checkpoint.hpp"
#include "plume/train/named_configs.hpp"
#include "plume/train/train.hpp"
#include "train/toy.hpp"

namespace plume_test {

Workshop::Workshop() {
  std::error_code ignored;
  const bool in_memory = std::filesystem::is_directory("/dev/shm", ignored) && ::access("/dev/shm", W_OK) == 0;
  path_ = (in_memory ? std::string("/dev/shm") : std::filesystem::temp_directory_path().string()) + "/plume-hostile-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make a folder for files");
}

Workshop::~Workshop() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Workshop::write(std::string_view name, const std::optional<std::string>& bytes) const {
  const auto [last, is_new] = written_.emplace(name, bytes);
  if (!is_new && last->second == bytes) return;
  last->second = bytes;
  const std::string file = plume::concat(path_, "/", name);
  if (!bytes) {
    ::unlink(file.c_str());
    return;
  }
  const auto open = [&] { return ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); };
  int descriptor = open();
  if (descriptor < 0 && errno == ENOENT) {
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    descriptor = open();
  }
  std::size_t written = 0;
  while (descriptor >= 0 && written < bytes->size()) {
    const ssize_t now = ::write(descriptor, bytes->data() + written, bytes->size() - written);
    if (now <= 0) break;
    written += static_cast<std::size_t>(now);
  }
  if (descriptor < 0 || written != bytes->size() || ::close(descriptor) != 0) throw std::runtime_error("cannot write " + file);
}

namespace formats_detail {

namespace {

void use_json(const std::string& folder) {
  const std::string path = folder + "/a.json";
  const plume::Json json = plume::Json::parse(plume::read_file(path, 16u << 20, "max_json_bytes"), {.path = path});
  const std::string text = plume::dump(json);
  expect(plume::dump(plume::Json(plume::Json::parse(text))) == text, "JSON does not survive being written");
  const auto walk = [](auto&& self, const plume::Json& value) -> void {
    expect(!value.where().path.empty() && value.where().line.has_value(), "a value without a place");
    if (value.is_array())
      for (const plume::Json& item : value.items()) self(self, item);
    if (value.is_object())
      for (const plume::Json::Member& member : value.members()) self(self, member.value);
  };
  walk(walk, json);
}

void use_tensors(const std::string& path) {
  const plume::SafetensorsFile file = plume::read_safetensors(path);
  for (const plume::SafetensorsEntry& entry : file.entries()) {
    expect(file.find(entry.name) == &entry && !file.where(entry).path.empty(), "an entry that is not found");
    unsigned sum = 0;
    for (const std::byte byte : entry.bytes) sum += std::to_integer<unsigned>(byte);
    expect(sum + 1 > 0, "never");
    try {
      plume::check_finite({entry.name, file.tensor(entry.name).copy()});
    } catch (const plume::ConfigError&) {  // a type or rank that a Tensor lacks
    } catch (const plume::NumericError&) {
    }
  }
}
void use_safetensors(const std::string& folder) { use_tensors(folder + "/model.safetensors"); }
void use_index(const std::string& folder) { use_tensors(folder + "/model.safetensors.index.json"); }

void use_gguf_file(const std::string& path) {
  const plume::GgufFile file = plume::read_gguf(path);
  for (const plume::GgufStored& stored : file.tensors()) {
    expect(file.find(stored.name) == &stored && !file.where(stored).path.empty(), "a tensor that is not found");
    try {
      const plume::Tensor tensor = file.tensor(stored.name);
      expect(tensor.shape() == stored.shape, "a tensor of another shape");
      plume::check_finite({std::string(stored.name), tensor.copy()});
    } catch (const plume::ConfigError&) {  // a type that is not read, or a number beyond i32
    } catch (const plume::NumericError&) {
    }
  }
}
void use_gguf(const std::string& folder) { use_gguf_file(folder + "/model.gguf"); }
void use_gguf_parts(const std::string& folder) { use_gguf_file(folder + "/m-00001-of-00002.gguf"); }

Files sound_tokenizer_json(Dice& dice) {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> read;
    for (const char* name : {"bert", "byte_bpe", "char_bpe", "llama", "prefix_bpe", "suffix_bpe", "unigram", "word_level"}) {
      read.push_back(bytes_of_file(plume::concat(PLUME_TEST_SOURCE_DIR "/golden/tokenizers/", name, ".json")));
      while (read.back().back() == '\n') read.back().pop_back();
    }
    return read;
  }();
  Files files{all[dice.below(all.size())], std::nullopt};
  if (dice.chance(50))
    files[1] =
        R"({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": true})";
  return files;
}
Files sound_marian_tokenizer(Dice&) {
  static const Files all = [] {
    const std::filesystem::path folder = PLUME_TEST_SOURCE_DIR "/golden/marian";
    Files read;
    for (const char* name : {"vocab.json", "source.spm", "target.spm", "tokenizer_config.json"}) {
      read.push_back(bytes_of_file(folder / name));
      while (read.back()->back() == '\n') read.back()->pop_back();
    }
    return read;
  }();
  return all;
}
Files sound_ice_text(Dice& dice) {
  constexpr std::string_view configs[] = {
      R"({"bos_token": "<sop>", "eos_token": "<eop>", "num_image_tokens": 0})",
      R"({"bos_token": "<sop>", "eop_token": {"content": "<eop>"}, "eos_token": "</s>", "num_image_tokens": 20})",
      R"({"gmask_token": "[gMASK]", "do_lower_case": false, "remove_space": false, "num_image_tokens": 3})"};
  Files files = sound_sentencepiece(dice);
  const std::vector<ModelPiece> own = {
      {"[gMASK]", 0.0f, 3}, {"<sop>", 0.0f, 3}, {"<eop>", 0.0f, 3}, {"<|tab|>", 0.0f, 4}, {"<n>", 0.0f, 4}};
  if (dice.chance(60)) *files[0] = pieces_bytes(own) + *files[0];
  files[1] = dice.pick(configs);
  return files;
}
Files sound_bert_vocabulary(Dice& dice) {
  static const std::string vocabulary = bytes_of_file(PLUME_TEST_SOURCE_DIR "/golden/bert/vocab.txt");
  Files files{vocabulary, std::nullopt};
  if (dice.chance(70))
    files[1] = R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false, "strip_accents": true, "unk_token": "[UNK]"})";
  return files;
}

void use_tokenizer(const std::string& folder) {
  const plume::Tokenizer tokenizer = plume::load_tokenizer(folder);
  std::vector<plume::TokenId> ids;
  for (plume::Index id = 0; id < tokenizer.vocabulary(); id += id < 8 || id > tokenizer.vocabulary() - 9 ? 1 : 16) {
    ids.push_back(static_cast<plume::TokenId>(id));
    expect(tokenizer.find(tokenizer.piece(ids.back())).has_value(), "a piece that is not found");
  }
  std::string text = tokenizer.decode(ids, {.special = plume::SpecialTokens::keep});
  if (tokenizer.kind() != "characters") {  // those refuse what they lack
    text += " ab <|end|></s> caf\xc3\xa9 \xff\n123";
    const auto again = tokenizer.encode(text, {.begin = plume::Begin::nothing, .end = plume::End::nothing});  // which may be plain tokens
    const std::string back = tokenizer.decode(again);
    const bool normalises = tokenizer.kind().starts_with("SentencePiece") || tokenizer.kind() == "WordPiece";
    std::vector<bool> bytes(256);  // a vocabulary of GGUF may lack some, which then leave no trace
    for (const std::string& piece : tokenizer.model().vocabulary.bytes)
      if (piece.size() == 1) bytes[static_cast<unsigned char>(piece[0])] = true;
    const bool complete = std::find(bytes.begin(), bytes.end(), false) == bytes.end();
    expect(normalises || !complete || back == text, "text does not survive being encoded");
    tokenizer.encode(text, {.special = plume::SpecialText::recognise, .begin = plume::Begin::nothing});
  } else {
    expect(tokenizer.decode(tokenizer.encode(text)) == text, "text does not survive being encoded");
  }
}
// A model that the file gave no unk token says so when it meets a text with an unknown character.
void use_tokenizer_json(const std::string& folder) {
  try {
    use_tokenizer(folder);
  } catch (const plume::ArgumentError& error) {
    if (std::string_view(error.what()).find("which has no unk token") == std::string_view::npos) throw;
  }
}

void use_chats(const std::string& path) {
  const plume::ChatFile file = plume::read_chats(path);
  expect(!file.chats.empty(), "a file without chats");
  for (const plume::Chat& chat : file.chats) plume::dump(plume::to_json(chat));
  plume::ChatDataset(file.chats, plume::ChatEncoder(plume::byte_tokenizer(), plume::chat_template("plain")), {.sequence = 64});
}
void use_chat_lines(const std::string& folder) { use_chats(folder + "/chats.jsonl"); }
void use_chat_document(const std::string& folder) { use_chats(folder + "/chats.json"); }
void use_text(const std::string& folder) { use_chats(folder + "/chats.txt"); }
void use_chat_template(const std::string& folder) { expect(plume::saved_chat_template(folder).has_value(), "no template"); }

void use_adapter(const std::string& folder) {
  static const plume::Model model = [] {
    Dice dice(1);
    const Files files = adapter_base(dice);
    const Workshop place;
    place.write("config.json", files[0]);
    place.write("model.safetensors", files[1]);
    return plume::load(place.path());
  }();
  const plume::Adapter adapter = plume::load_adapter(folder, model);
  forward(model, &adapter);
}

void use_pretrain_config(const std::string& folder) {
  plume::PretrainConfig config = plume::pretrain_config(folder + "/run.json");
  config.model.vocabulary = 7;
  config.model.rotary.width = config.model.head_width;
  config.model.check(folder + "/run.json");
}
void use_metrics(const std::string& folder) {
  plume::MetricsLog log(folder + "/metrics.jsonl");
  log.cut_back(3);
  expect(!plume::loss_chart(log.curves()).empty(), "no chart");
}

plume::TrainOptions checkpoint_run(const std::string& folder) {
  plume::TrainOptions options = toy::options(2);
  options.directory = folder;
  options.resume = plume::Resume::newest;
  return options;
}
plume::Decoder checkpoint_model(const toy::Data& data) { return toy::model(data.tokenizer.vocabulary(), 1, 8); }
const toy::Data& checkpoint_data() {
  static const toy::Data data;
  return data;
}
void run_on(const std::string& folder) {
  plume::Decoder model = checkpoint_model(checkpoint_data());
  plume::PackedWindows windows(checkpoint_data().training, {.sequence = 16, .seed = 3});
  plume::train(model, windows, plume::NoEvaluation{}, checkpoint_run(folder));
}
void use_checkpoint(const std::string& folder) {
  {
    const plume::Checkpoint checkpoint = plume::read_checkpoint(folder + "/checkpoints/step-2");
    plume::read_train_state(checkpoint.state);
    for (const auto* tensors : {&checkpoint.weights, &checkpoint.optimizer})
      for (const plume::NamedTensor& named : *tensors) named.tensor.copy();
  }
  run_on(folder);
}

constexpr std::string_view checkpoint_files[] = {"checkpoints/step-2/manifest.json", "checkpoints/step-2/state.json",
                                                 "checkpoints/step-2/weights.safetensors", "checkpoints/step-2/optimizer.safetensors"};

Files sound_checkpoint(Dice&) {
  static const Files files = [] {
    const Workshop place;
    run_on(place.path());
    Files read;
    for (const std::string_view name : checkpoint_files) {
      std::ifstream file(plume::concat(place.path(), "/", name), std::ios::binary);
      read.emplace_back(std::string(std::istreambuf_iterator<char>(file), {}));
    }
    read[0]->pop_back();  // the line break is no part of the manifest's sum
    return read;
  }();
  return files;
}

// Puts the sums of what the files hold into the manifest, where it has places for them, and its own sum behind it.
void seal_checkpoint(Files& files) {
  if (!files[0]) return;
  auto root = JsonTaker(*files[0]).take();
  if (!root) return;
  const auto member = [](JsonNode& node, std::string_view key) -> JsonNode* {
    for (JsonNode& part : node.parts)
      if (part.key == key) return &part;
    return nullptr;
  };
  const auto sum = [](const std::string& bytes) { return plume::crc32c(std::as_bytes(std::span(bytes))); };
  JsonNode* const manifest = member(*root, "\"manifest\"");
  if (manifest == nullptr) return;
  if (JsonNode* const list = member(*manifest, "\"files\""))
    for (JsonNode& entry : list->parts)
      for (std::size_t i = 1; i < files.size(); ++i) {
        JsonNode *const name = member(entry, "\"name\""), *const bytes = member(entry, "\"bytes\""),
                        *const crc = member(entry, "\"crc32c\"");
        if (!files[i] || !name || !bytes || !crc || name->text.size() < 3) continue;
        if (!checkpoint_files[i].ends_with(plume::concat("/", name->text.substr(1, name->text.size() - 2)))) continue;
        bytes->text = plume::concat(files[i]->size());
        crc->text = plume::concat(sum(*files[i]));
      }
  if (JsonNode* const own = member(*root, "\"checksum\"")) {
    try {
      own->text = plume::concat(sum(plume::dump(plume::Json::parse(manifest->spelled()))));
    } catch (const plume::Error&) {  // it is no JSON any more
    }
  }
  files[0] = root->spelled();
}

}  // namespace

}  // namespace formats_detail

const std::vector<Format>& formats() {
  using namespace formats_detail;
  using enum FileKind;
  static const std::vector<Format> all = {
      {"json", {"a.json"}, {json}, sound_json, use_json},
      {"safetensors", {"model.safetensors"}, {safetensors}, sound_safetensors, use_safetensors},
      {"safetensors_index",
       {"model.safetensors.index.json", "one.safetensors", "two.safetensors"},
       {json, safetensors, safetensors},
       sound_index,
       use_index},
      {"model", {"config.json", "model.safetensors"}, {json, safetensors}, sound_model, use_model},
      {"families", {"config.json", "model.safetensors", "generation_config.json"}, {json, safetensors, json}, sound_families, use_model},
      {"encoder_decoders",
       {"config.json", "model.safetensors", "generation_config.json"},
       {json, safetensors, json},
       sound_encoder_decoders,
       use_encoder_decoder},
      {"encoders",
       {"config.json", "model.safetensors", "modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"},
       {json, safetensors, json, json, json, safetensors},
       sound_encoders,
       use_encoder},
      {"heads", {"config.json", "model.safetensors", "generation_config.json"}, {json, safetensors, json}, sound_heads, use_head},
      {"gguf_model", {"model.gguf"}, {gguf}, sound_gguf_models, use_gguf_model},
      {"llama2c", {"model.bin"}, {llama2c}, sound_llama2c, use_llama2c},
      {"tokenizer_bin", {"tokenizer.bin"}, {tokenizer_bin}, sound_tokenizer_bin, use_tokenizer},
      {"sentencepiece", {"tokenizer.model", "tokenizer_config.json"}, {protobuf, json}, sound_sentencepiece, use_tokenizer},
      {"ice_text", {"ice_text.model", "tokenizer_config.json"}, {protobuf, json}, sound_ice_text, use_tokenizer},
      {"tokenizer_json", {"tokenizer.json", "tokenizer_config.json"}, {json, json}, sound_tokenizer_json, use_tokenizer_json},
      {"marian_tokenizer",
       {"vocab.json", "source.spm", "target.spm", "tokenizer_config.json"},
       {json, protobuf, protobuf, json},
       sound_marian_tokenizer,
       use_tokenizer},
      {"bert_vocabulary", {"vocab.txt", "tokenizer_config.json"}, {lines, json}, sound_bert_vocabulary, use_tokenizer},
      {"gguf", {"model.gguf"}, {gguf}, sound_gguf_tensors, use_gguf},
      {"gguf_parts", {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}, {gguf, gguf}, sound_gguf_parts, use_gguf_parts},
      {"gguf_vocabulary", {"tokenizer.gguf"}, {gguf}, sound_gguf, use_tokenizer},
      {"byte_bpe",
       {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"},
       {json, lines, json, json, json},
       sound_byte_bpe,
       use_tokenizer},
      {"simple_tokenizer", {"plume-tokenizer.json"}, {json}, sound_simple_tokenizer, use_tokenizer},
      {"chat_lines", {"chats.jsonl"}, {json_lines}, sound_chat_lines, use_chat_lines},
      {"chat_document", {"chats.json"}, {json}, sound_chat_document, use_chat_document},
      {"text", {"chats.txt"}, {lines}, sound_text, use_text, nullptr, 50, 99},
      {"chat_template", {"plume_chat.json"}, {json}, sound_chat_template, use_chat_template},
      {"pretrain_config", {"run.json"}, {json}, sound_pretrain_config, use_pretrain_config},
      {"metrics", {"metrics.jsonl"}, {json_lines}, sound_metrics, use_metrics, nullptr, 100, 100},
      {"adapter", {"adapter_config.json", "adapter_model.safetensors"}, {json, safetensors}, sound_adapter, use_adapter},
      {"pair_adapter", {"adapter_config.json", "adapter_model.safetensors"}, {json, safetensors}, sound_pair_adapter, use_pair_adapter},
      {"checkpoint",
       {checkpoint_files, checkpoint_files + 4},
       {json, json, safetensors, safetensors},
       sound_checkpoint,
       use_checkpoint,
       seal_checkpoint}};
  return all;
}

Files mutant(const Format& format, Dice& dice) {
  Files files = format.sound(dice);
  if (dice.chance(20)) return files;
  for (std::size_t changes = dice.between(1, 3); changes > 0; --changes) {
    const std::size_t i = dice.below(files.size());
    if (!files[i] || dice.chance(1)) {
      if (format.files.size() > 1) files[i] = files[dice.below(files.size())];
      continue;
    }
    const Files others = dice.chance(20) ? format.sound(dice) : Files(files.size());
    damage(format.kinds[i], *files[i], dice, others[i] ? std::string_view(*others[i]) : std::string_view());
  }
  if (format.seal != nullptr && dice.chance(90)) format.seal(files);
  return files;
}

Outcome outcome_of(const Format& format, const Workshop& place, const Files& files) {
  if (format.name == "metrics") place.forget();
  for (std::size_t i = 0; i < files.size(); ++i) place.write(format.files[i], files[i]);
  const auto check = [&](const plume::Error& error, bool named) {
    const std::string_view text = error.what();
    formats_detail::expect(named && text.find(place.path()) != text.npos, "a refusal that does not name the file");
    formats_detail::expect(
        text.size() < 40'000 && std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }),
        "a refusal with control bytes, or too long");
  };
  try {
    format.use(place.path());
    return Outcome::accepted;
  } catch (const plume::InputError& error) {
    check(error, error.where().path.starts_with(place.path()) && !error.reason().empty());
  } catch (const plume::IoError& error) {
    check(error, true);
  } catch (const plume::NumericError& error) {  // values of an adapter or a checkpoint are not finite
    check(error, format.name == "adapter" || format.name == "pair_adapter" || format.name == "checkpoint");
  } catch (const std::logic_error&) {
    throw;
  } catch (const std::exception& error) {
    throw std::logic_error(plume::concat("another exception: ", error.what()));
  }
  return Outcome::refused;
}

}  // namespace plume_test
