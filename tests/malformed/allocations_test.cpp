// No single allocation is larger than the file justifies, whatever numbers stand in it.
#include "malformed/allocations.hpp"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "malformed/formats.hpp"
#include "malformed/refused.hpp"

using namespace plume_test;

#if defined(__GLIBC__) && !defined(PLUME_TEST_SANITIZED)
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) {
  note_allocation(bytes);
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  note_allocation(count * bytes);
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, size_t bytes) {
  note_allocation(bytes);
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  note_allocation(bytes);
  return __libc_memalign(alignment, bytes);
}
void* mmap(void* address, size_t length, int protection, int flags, int file, off_t offset) {
  note_allocation(length);
  static const auto system = reinterpret_cast<void* (*)(void*, size_t, int, int, int, off_t)>(::dlsym(RTLD_NEXT, "mmap"));
  return system(address, length, protection, flags, file, offset);
}
}

TEST_CASE("the watch sees operator new, malloc and mmap") {
  const AllocationWatch watch;
  CHECK(watch.largest() == 0);
  ::operator delete(::operator new(1000));
  CHECK(watch.largest() >= 1000);
  ::operator delete (::operator new (2000, std::align_val_t{64}), std::align_val_t{64});
  CHECK(watch.largest() >= 2000);
  ::munmap(::mmap(nullptr, 40960, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 40960);
  CHECK(watch.largest() >= 40960);
}
#endif

namespace {

// Refused, by an error of the library's that names the file, with no allocation beyond `most`.
void refuses(std::string_view format_name, const Files& files, std::size_t most, std::string_view word) {
  const Workshop place;
  CAPTURE(format_name);
  CAPTURE(word);
  for (const Format& format : formats()) {
    if (format.name != format_name) continue;
    for (std::size_t i = 0; i < files.size(); ++i) place.write(format.files[i], files[i]);
    const AllocationWatch watch;
    try {
      format.use(place.path());
      FAIL_CHECK("accepted");
    } catch (const plume::InputError& error) {
      CHECK(error.where().path.starts_with(place.path()));
      CHECK_MESSAGE(error.reason().find(word) != std::string::npos, std::string(error.what()));
    }
    CHECK(watch.largest() <= most);
    return;
  }
  FAIL("no such format");
}
std::size_t beyond(const std::string& file) { return file.size() + largest_allocation_beyond_file; }
std::string repeated(std::string_view part, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += part;
  return text;
}

}  // namespace

TEST_CASE("a small file that claims much gets little") {
  constexpr std::int32_t top = 0x7fffffff;
  for (const std::array<std::int32_t, 7>& header : {std::array<std::int32_t, 7>{top - 1, top, 10'000, 1, 1, 16'777'216, 16'777'216},
                                                    {1 << 20, 1 << 20, 10'000, 1 << 19, 1, -16'777'216, 16'777'216}}) {
    std::string bytes(reinterpret_cast<const char*>(header.data()), sizeof header);
    refuses("llama2c", {bytes}, 1 << 20, "");
  }
  const auto one = [](std::string_view shape, std::string_view offsets) {
    const std::string header = plume::concat(R"({"w":{"dtype":"F32","shape":)", shape, R"(,"data_offsets":)", offsets, "}}");
    std::string bytes;
    put(bytes, static_cast<std::uint64_t>(header.size()));
    return bytes + header;
  };
  refuses("safetensors", {one("[1099511627776]", "[0,4398046511104]")}, 1 << 20, "past the data");
  refuses("safetensors", {one("[4611686018427387904]", "[0,0]")}, 1 << 20, "overflow");
  std::string bytes;
  put(bytes, ~std::uint64_t{0} >> 1);
  refuses("safetensors", {bytes + "{}"}, 1 << 20, "follow");
  Dice dice(1);
  std::string tokens = *sound_tokenizer_bin(dice)[0];
  std::memset(tokens.data(), 0xff, 4);
  put(tokens, 0.0f);
  put(tokens, std::uint32_t{0xfffffff0});
  refuses("tokenizer_bin", {tokens}, 1 << 20, "bytes left");
  Files model = sound_llama(dice);
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string config = *model[0];
    return Files{config.replace(config.find(from), from.size(), to), model[1]};
  };
  refuses("model", with("\"vocab_size\":7", "\"vocab_size\":16777216"), 1 << 20, "shape");
  refuses("model", with("\"hidden_size\":8", "\"hidden_size\":1048576"), 1 << 20, "shape");
  refuses("model", with("\"num_hidden_layers\":", "\"num_hidden_layers\":999"), largest_allocation_beyond_file, "missing");
  refuses("model", with("\"max_position_embeddings\":16", "\"max_position_embeddings\":1000000000000"), 1 << 20, "max_context");
}

TEST_CASE("JSON of as many values as fit: refused where no file of the kind needs them") {
  // Each element takes two bytes of the file and about a hundred in memory.
  const std::string dense = "[" + repeated("0,", 4u << 20) + "0]";
  Dice dice(1);
  const Files model = sound_llama(dice), adapter = sound_adapter(dice), checkpoint = formats().back().sound(dice);
  refuses("json", {dense}, beyond(dense), "max_json_values");
  refuses("model", {"{\"x\":" + dense + "}", model[1]}, beyond(dense), "max_json_values");
  refuses("adapter", {"{\"x\":" + dense + "}", adapter[1]}, beyond(dense), "max_json_values");
  refuses("checkpoint", {dense, checkpoint[1], checkpoint[2], checkpoint[3]}, beyond(dense), "max_json_values");
  refuses("chat_lines", {dense}, beyond(dense), "max_json_values");
  refuses("chat_template", {dense}, beyond(dense), "max_json_values");
  std::string members = "{\"k\":0";
  for (int i = 0; i < 700'000; ++i) members += plume::concat(",\"", i, "\":0");
  refuses("model", {members + "}", model[1]}, beyond(members), "max_json_values");

  // Tables that are long by nature may have a value for eight bytes.
  const std::size_t table = 24 * dense.size();
  std::string file;
  put(file, static_cast<std::uint64_t>(dense.size() + 6));
  refuses("safetensors", {file + "{\"x\":" + dense + "}"}, table, "max_json_values");
  refuses("safetensors_index", {dense, model[1], model[1]}, table, "max_json_values");
  refuses("byte_bpe", {dense, "", {}, {}, {}}, table, "max_json_values");
  refuses("simple_tokenizer", {dense}, table, "max_json_values");
  refuses("chat_document", {dense}, table, "max_json_values");
}

TEST_CASE("long files of little meaning are refused in little memory") {
  constexpr std::size_t size = std::size_t{8} << 20;
  Dice dice(1);
  const Files model = sound_llama(dice);
  for (const char filling : {' ', '\n', '{', '[', '"', '\\', '0', '-', '\0', '\xff'}) {
    CAPTURE(static_cast<int>(filling));
    const std::string text(size, filling);
    for (const char* format : {"chat_lines", "chat_document", "simple_tokenizer", "chat_template"})
      refuses(format, {text}, beyond(text), "");
    refuses("model", {text, model[1]}, beyond(text), "");
    refuses("byte_bpe", {text, "", {}, {}, {}}, beyond(text), "");
    refuses("tokenizer_bin", {text}, beyond(text), "");
    refuses("llama2c", {text}, beyond(text), "");
    refuses("safetensors", {text}, beyond(text), "");
  }
}
