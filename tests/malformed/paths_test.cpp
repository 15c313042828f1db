// Names that stand in a file never lead out of its folder, and never to anything but a regular file.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <functional>

#include "malformed/formats.hpp"
#include "plume/formats/safetensors.hpp"
#include "plume/train/checkpoint.hpp"
#include "temporary_folder.hpp"

using namespace plume;
using namespace plume_test;

namespace {

const std::string index_name = "model.safetensors.index.json";

std::string shard(std::string_view tensor) {
  Dice dice(3);
  return safetensors_bytes({{std::string(tensor), "F32", {2}}}, dice);
}

// Reading throws Error for this file and field, with this word.
template <class Error>
void refused(const std::string& path, std::string_view field, std::string_view word, const std::function<void()>& read) {
  CAPTURE(word);
  try {
    read();
    FAIL_CHECK("accepted");
  } catch (const InputError& error) {
    CHECK(typeid(error) == typeid(Error));
    CHECK(error.where().path == path);
    CHECK(error.where().field == field);
    CHECK(error.where().line.has_value());
    CHECK_MESSAGE(error.reason().find(word) != std::string::npos, std::string(error.what()));
  } catch (const plume::Error& error) {
    FAIL_CHECK("another type of error: ", std::string(error.what()));
  }
}

}  // namespace

TEST_CASE("shards of an index") {
  const TemporaryFolder folder;
  folder.write("outside.safetensors", shard("a"));
  folder.write("elsewhere/a.safetensors", shard("a"));
  folder.write("model/a.safetensors", shard("a"));
  folder.write("model/inner/a.safetensors", shard("a"));
  std::filesystem::create_symlink("..", folder / "model/up");
  std::filesystem::create_symlink(folder / "elsewhere", folder / "model/away");
  std::filesystem::create_symlink("a.safetensors", folder / "model/near.safetensors");
  std::filesystem::create_symlink("../outside.safetensors", folder / "model/out.safetensors");
  std::filesystem::create_symlink("nowhere", folder / "model/dangling.safetensors");
  std::filesystem::create_directory(folder / "model/folder.safetensors");
  REQUIRE(::mkfifo((folder / "model/fifo.safetensors").c_str(), 0600) == 0);
  const auto read = [&](std::string_view name, Symlinks symlinks) {
    return read_safetensors(folder.write("model/" + index_name, concat(R"({"weight_map":{"a":")", name, "\"}}")), {.symlinks = symlinks});
  };
  const auto bad = [&](std::string_view name, std::string_view word, Symlinks symlinks = Symlinks::refuse) {
    CAPTURE(std::string(name));
    refused<FormatError>(folder / "model/" + index_name, "weight_map.a", word, [&] { read(name, symlinks); });
  };
  for (const Symlinks symlinks : {Symlinks::refuse, Symlinks::follow}) {
    CHECK_NOTHROW(read("a.safetensors", symlinks));
    CHECK_NOTHROW(read("inner/a.safetensors", symlinks));
    for (const char* name : {"../outside.safetensors", "inner/../../outside.safetensors", "./a.safetensors", "inner//a.safetensors",
                             "inner/..", "..", ".", "a.safetensors/"})
      bad(name, "leaves its folder", symlinks);
    bad("", "empty", symlinks);
    bad("/etc/passwd", "absolute", symlinks);
    bad("C:a.safetensors", "absolute", symlinks);
    bad("..\\\\outside.safetensors", "backslash", symlinks);
    bad(std::string(5000, 'a'), "too long", symlinks);
    for (const char* name : {"fifo.safetensors", "folder.safetensors", "dangling.safetensors", "absent.safetensors", "a.safetensors/b"})
      CHECK_THROWS_AS(read(name, symlinks), IoError);
  }
  for (const char* name : {"near.safetensors", "out.safetensors", "up/outside.safetensors", "away/a.safetensors"})
    bad(name, "symbolic link");
  CHECK_NOTHROW(read("near.safetensors", Symlinks::follow));
  for (const char* name : {"out.safetensors", "up/outside.safetensors", "away/a.safetensors"})
    bad(name, "out of its folder", Symlinks::follow);
}

TEST_CASE("a Hugging Face cache: links into its own blobs, and no others") {
  const TemporaryFolder cache;
  cache.write("blobs/0123", shard("a"));
  cache.write("blobs/deeper/0123", shard("a"));
  cache.write("secret", shard("a"));
  cache.write("other/blobs/0123", shard("a"));
  std::filesystem::create_directories(cache / "snapshots/main");
  const std::string index = cache.write("snapshots/main/" + index_name, R"({"weight_map":{"a":"a.safetensors"}})");
  const auto link = [&](const std::string& target) {
    std::filesystem::remove(cache / "snapshots/main/a.safetensors");
    std::filesystem::create_symlink(target, cache / "snapshots/main/a.safetensors");
  };
  link("../../blobs/0123");
  CHECK_NOTHROW(read_safetensors(index));
  for (const char* target : {"../../secret", "../../blobs/deeper/0123", "../../other/blobs/0123", "../../blobs/../secret"}) {
    link(target);
    refused<FormatError>(index, "weight_map.a", "symbolic link", [&] { read_safetensors(index); });
  }
}

TEST_CASE("files of a checkpoint's manifest") {
  const TemporaryFolder folder;
  Dice dice(1);
  const Format& format = formats().back();
  REQUIRE(format.name == "checkpoint");
  const Files sound = format.sound(dice);
  const std::string step = folder / "checkpoints/step-2";
  const auto place = [&](const Files& files) {
    for (std::size_t i = 0; i < files.size(); ++i) folder.write(std::string(format.files[i]), *files[i]);
  };
  place(sound);
  CHECK_NOTHROW(read_checkpoint(step));
  folder.write("checkpoints/outside.json", *sound[1]);
  const auto with = [&](std::string_view name) {  // one more entry, and right sums
    Files files = sound;
    std::string& manifest = *files[0];
    const std::size_t at = manifest.find("\"files\"");
    REQUIRE(at != std::string::npos);
    manifest.insert(manifest.find('[', at) + 1, concat(R"({"name":")", name, R"(","bytes":0,"crc32c":0},)"));
    format.seal(files);
    place(files);
  };
  const auto bad = [&](std::string_view name, std::string_view word) {
    CAPTURE(std::string(name));
    with(name);
    refused<FormatError>(step + "/manifest.json", "manifest.files[0].name", word, [&] { read_checkpoint(step); });
  };
  bad("../outside.json", "leaves its folder");
  bad("/etc/passwd", "absolute");
  bad("a\\u0000b", "NUL");
  std::filesystem::create_symlink("../outside.json", step + "/link.json");
  bad("link.json", "symbolic link");
  with("absent.json");
  CHECK_THROWS_AS(read_checkpoint(step), IoError);
  // A link in the place of a file with the same bytes.
  place(sound);
  std::filesystem::remove(step + "/state.json");
  std::filesystem::create_symlink("../outside.json", step + "/state.json");
  try {
    read_checkpoint(step);
    FAIL_CHECK("accepted");
  } catch (const FormatError& error) {
    CHECK(error.where().path == step + "/manifest.json");
    CHECK(error.reason().find("symbolic link") != std::string::npos);
  }
}

TEST_CASE("what an adapter, a model or a tokenizer calls itself is never opened") {
  Dice dice(1);
  const Workshop place;
  const auto try_format = [&](std::string_view name, const std::function<void(Files&)>& change) {
    for (const Format& format : formats()) {
      if (format.name != name) continue;
      Files files = format.sound(dice);
      change(files);
      REQUIRE(files[0]);
      CHECK(outcome_of(format, place, files) == Outcome::accepted);
    }
  };
  const std::string fifo = place.path() + "/fifo";  // opening it would hang
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto add = [&](std::string_view key) {
    return [&fifo, key](Files& files) { files[0]->insert(1, concat("\"", key, "\":\"", fifo, "\",")); };
  };
  try_format("adapter", add("base_model_name_or_path"));
  try_format("model", add("_name_or_path"));
  try_format("model", add("auto_map"));
  try_format("byte_bpe", [&](Files& files) {
    if (files[2]) files[2]->insert(1, concat("\"vocab_file\":\"", fifo, "\",\"merges_file\":\"../x\","));
  });
}
