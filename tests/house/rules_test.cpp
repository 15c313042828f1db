// The rules of the house, read from the source files: who may include whom, what library headers may not do, sizes, macros.
// Each rule is a function from a file to complaints; each test first shows the rule a file that breaks it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct File {
  std::string path = {};  // from the top of the project: "include/plume/base/error.hpp"
  std::string text = {};
};
using Complaints = std::vector<std::string>;

std::vector<File> files_under(const std::vector<std::string>& folders, const std::set<std::string>& extensions) {
  const fs::path top = fs::path(PLUME_TEST_SOURCE_DIR).parent_path();
  std::vector<File> files;
  for (const std::string& folder : folders) {
    if (!fs::exists(top / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(top / folder)) {
      if (!entry.is_regular_file() || !extensions.count(entry.path().extension().string())) continue;
      std::ifstream stream(entry.path(), std::ios::binary);
      files.push_back({fs::relative(entry.path(), top).generic_string(), {std::istreambuf_iterator<char>(stream), {}}});
    }
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}
std::vector<File> public_headers() { return files_under({"include"}, {".hpp", ".h", ".cuh", ".inl"}); }

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) out.push_back(line);
  return out;
}

// The text without comments and without the insides of string and character literals; lines stay where they are. Include lines are kept
// whole.
std::string code_of(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const bool line_start = i == 0 || text[i - 1] == '\n';
    const auto starts = [&](std::string_view word) { return text.compare(i, word.size(), word) == 0; };
    if (line_start && starts("#include")) {
      for (; i < text.size() && text[i] != '\n'; ++i) out.push_back(text[i]);
    } else if (starts("//")) {
      while (i < text.size() && text[i] != '\n') ++i;
    } else if (starts("/*")) {
      for (; i < text.size() && !starts("*/"); ++i)
        if (text[i] == '\n') out.push_back('\n');
      i = std::min(i + 2, text.size());
    } else if (starts("R\"")) {
      const std::size_t open = text.find('(', i);
      const std::string close = ")" + text.substr(i + 2, open - i - 2) + "\"";
      const std::size_t end = std::min(text.find(close, open), text.size() - close.size()) + close.size();
      out += "\"" +
             std::string(
                 static_cast<std::size_t>(std::count(text.begin() + static_cast<long>(i), text.begin() + static_cast<long>(end), '\n')),
                 '\n') +
             "\"";
      i = end;
    } else if (text[i] == '"' || (text[i] == '\'' && (i == 0 || !std::isalnum(static_cast<unsigned char>(text[i - 1]))))) {
      const char quote = text[i++];
      out.push_back(quote);
      while (i < text.size() && text[i] != quote && text[i] != '\n') i += text[i] == '\\' ? 2u : 1u;
      out.push_back(quote);
      i = std::min(i + 1, text.size());
    } else {
      out.push_back(text[i++]);
    }
  }
  return out;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Whether `word` stands in the code as a name of its own (static_assert is not assert); followed by '(' when it ends with one.
bool has_word(const std::string& code, const std::string& word) {
  for (std::size_t at = code.find(word); at != std::string::npos; at = code.find(word, at + 1)) {
    const bool begins = at == 0 || !is_word(word.front()) || !is_word(code[at - 1]);
    const bool ends = at + word.size() == code.size() || !is_word(word.back()) || !is_word(code[at + word.size()]);
    if (begins && ends) return true;
  }
  return false;
}

// "plume/base/error.hpp" -> "base"; a file right under plume/ -> ""
std::string room_of(const std::string& path_under_plume) {
  const std::size_t slash = path_under_plume.find('/');
  return slash == std::string::npos ? "" : path_under_plume.substr(0, slash);
}
std::string under_plume(const std::string& path) { return path.rfind("include/plume/", 0) == 0 ? path.substr(14) : path; }
bool inside(const std::string& path, const std::string& folder) { return under_plume(path).rfind(folder, 0) == 0; }

int floor_of(const std::string& room) {
  static const std::map<std::string, int> floors = {
      {"base", 0},     {"tensor", 1},    {"testing", 1}, {"kernels", 2},  {"autograd", 3}, {"ops", 4},    {"modules", 5},
      {"formats", 5},  {"tokenizer", 5}, {"models", 6},  {"optim", 6},    {"data", 6},     {"comm", 6},   {"peft", 7},
      {"generate", 7}, {"train", 8},     {"align", 9},   {"evaluate", 9}, {"retrieve", 9}, {"serve", 10}, {"", 99}};
  const auto found = floors.find(room);
  return found == floors.end() ? -1 : found->second;
}

Complaints upward_includes(const File& file) {
  Complaints out;
  const std::string from = room_of(under_plume(file.path));
  if (floor_of(from) < 0) out.push_back(file.path + ": room " + from + " has no floor");
  for (const std::string& line : lines(code_of(file.text))) {
    for (const std::string open : {"#include \"plume/", "#include <plume/"}) {
      if (line.rfind(open, 0) != 0) continue;
      const std::string to = room_of(line.substr(open.size()));
      if (floor_of(to) < 0) out.push_back(file.path + ": " + line + ": room " + to + " has no floor");
      if (from != to && floor_of(to) >= floor_of(from))
        out.push_back(file.path + ": " + line + ": room " + to + " is not below " + (from.empty() ? "the top" : from));
    }
  }
  return out;
}

Complaints forbidden_words(const File& file) {
  Complaints out;
  const std::string code = code_of(file.text);
  for (const std::string word : {"abort(",
                                 "exit(",
                                 "_exit(",
                                 "quick_exit(",
                                 "terminate(",
                                 "assert(",
                                 "printf(",
                                 "fprintf(",
                                 "puts(",
                                 "fputs(",
                                 "putchar(",
                                 "std::cout",
                                 "std::cerr",
                                 "std::clog",
                                 "std::regex",
                                 "std::stable_sort",  // warns, with clang 19 on libstdc++ 12
                                 "std::stable_partition",
                                 "std::inplace_merge",
                                 "<regex>",
                                 "<iostream>",
                                 "<cassert>",
                                 "<assert.h>",
                                 "omp_set_num_threads",
                                 "setNbThreads",
                                 "setlocale(",
                                 "std::locale::global",
                                 "signal(",
                                 "sigaction(",
                                 "rand(",
                                 "srand(",
                                 "setenv(",
                                 "putenv(",
                                 "chdir(",
                                 "umask(",
                                 "fesetround("})
    if (has_word(code, word)) out.push_back(file.path + ": " + word);
  if (!inside(file.path, "kernels/parallel/") && (has_word(code, "#pragma omp") || has_word(code, "_Pragma")))
    out.push_back(file.path + ": OpenMP pragma outside kernels/parallel/");
  for (const std::string& line : lines(code))
    if (line.rfind("using namespace", 0) == 0) out.push_back(file.path + ": " + line + " outside a function");  // inside one it is indented
  if (!inside(file.path, "kernels/") && under_plume(file.path) != "tensor/eigen.hpp")
    for (const std::string& line : lines(code))
      if (line.rfind("#include", 0) == 0 && (line.find("Eigen/") != std::string::npos || line.find("xsimd/") != std::string::npos))
        out.push_back(file.path + ": " + line + " outside kernels/ and tensor/eigen.hpp");
  return out;
}

// Kernels that are included once per instruction-set level, and what includes them so, have no guard; they say so in their first line.
bool is_included_again(const File& file) {
  return file.path.ends_with(".inl.hpp") || file.path == "include/plume/kernels/simd/for_each_level.hpp";
}

Complaints shape(const File& file) {
  Complaints out;
  if (is_included_again(file) == (file.text.rfind("#pragma once\n", 0) == 0))
    out.push_back(file.path + (is_included_again(file) ? ": has #pragma once" : ": does not begin with #pragma once"));
  if (file.path.ends_with(".inl.hpp") && file.text.rfind("// Included once per level", 0) != 0)
    out.push_back(file.path + ": does not begin with \"Included once per level\"");
  const std::string code = code_of(file.text);
  for (const std::string& line : lines(code))
    if (line.rfind("namespace plume", 0) == 0 && line.rfind("namespace plume::inline PLUME_ABI", 0) != 0)
      out.push_back(file.path + ": " + line + ": write namespace plume::inline PLUME_ABI");
  return out;
}

// Macros that a header leaves behind: names it defines and does not undefine.
std::set<std::string> macros(const File& file) {
  std::set<std::string> names;
  for (const std::string& line : lines(code_of(file.text))) {
    std::istringstream words(line);
    std::string directive, name;
    words >> directive >> name;
    name = name.substr(0, name.find('('));
    if (directive == "#define") names.insert(name);
    if (directive == "#undef") names.erase(name);
  }
  return names;
}

Complaints foreign_paths(const File& file) {
  Complaints out;
  for (const std::string folder : {"/wor"
                                   "k/",
                                   "/hom"
                                   "e/",
                                   "/roo"
                                   "t/",
                                   "/User"
                                   "s/"})
    for (std::size_t at = file.text.find(folder); at != std::string::npos; at = file.text.find(folder, at + 1))
      if (at == 0 || !(is_word(file.text[at - 1]) || file.text[at - 1] == '.' || file.text[at - 1] == '}')) {
        out.push_back(file.path + ": absolute path " + folder);
        break;
      }
  return out;
}

std::string text_of(const std::string& path) {
  std::ifstream stream(fs::path(PLUME_TEST_SOURCE_DIR).parent_path() / path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A number as C++ or as prose writes it: "100'000'000", "1u << 19", "16,384", "16 MiB".
std::uint64_t value_of(const std::string& text) {
  std::string digits;
  std::size_t at = 0;
  for (; at < text.size() && (std::isdigit(static_cast<unsigned char>(text[at])) || text[at] == ',' || text[at] == '\''); ++at)
    if (std::isdigit(static_cast<unsigned char>(text[at]))) digits += text[at];
  const std::string rest = text.substr(at);
  const std::uint64_t number = std::stoull(digits);
  if (rest.rfind("u << ", 0) == 0) return number << std::stoi(rest.substr(5));
  int shift = 10;
  for (const std::string unit : {" KiB", " MiB", " GiB"}) {
    if (rest.rfind(unit, 0) == 0) return number << shift;
    shift += 10;
  }
  return number;
}

std::size_t line_count(const File& file) { return static_cast<std::size_t>(std::count(file.text.begin(), file.text.end(), '\n')); }

std::string joined(const Complaints& complaints) {
  std::string out;
  for (const std::string& complaint : complaints) out += "\n  " + complaint;
  return out;
}
template <class Rule>
void check_all(const std::vector<File>& files, Rule rule) {
  REQUIRE(files.size() > 0);
  Complaints all;
  for (const File& file : files)
    for (const std::string& complaint : rule(file)) all.push_back(complaint);
  CHECK_MESSAGE(all.empty(), joined(all));
}

}  // namespace

TEST_CASE("rooms include only rooms on lower floors") {
  CHECK(upward_includes({"include/plume/base/a.hpp", "#include \"plume/tensor/b.hpp\"\n"}).size() == 1);
  CHECK(upward_includes({"include/plume/formats/a.hpp", "#include \"plume/modules/b.hpp\"\n"}).size() == 1);  // one floor
  CHECK(upward_includes({"include/plume/ops/a.hpp", "#include \"plume/plume.hpp\"\n"}).size() == 1);
  CHECK(upward_includes({"include/plume/cellar/a.hpp", ""}).size() == 1);
  CHECK(upward_includes({"include/plume/ops/a.hpp", "#include \"plume/base/b.hpp\"\n#include \"plume/ops/c.hpp\"\n"}).empty());
  check_all(public_headers(), upward_includes);
}

TEST_CASE(
    "library headers neither print nor end the program nor change what is the host's, and keep OpenMP, Eigen and xsimd in their rooms") {
  const std::string path = "include/plume/ops/a.hpp";
  for (const std::string bad :
       {"void f() { abort(); }", "assert(x);", "std::exit(1);", "std::stable_sort(a, b);", "std::cout << 1;", "std::fprintf(stderr, x);", "#include <regex>\n",
        "#pragma omp parallel for\n", "#include <Eigen/Core>\n", "#include <xsimd/xsimd.hpp>\n", "using namespace std;",
        "std::setlocale(LC_ALL, x);", "std::srand(1);", "::signal(SIGINT, f);"})
    CHECK_MESSAGE(forbidden_words({path, bad}).size() == 1, bad);
  for (const std::string good : {"static_assert(true);", "// abort()\n", "/* exit( */", "auto s = \"printf(\";", "std::snprintf(b, 3, c);",
                                 "int n = 100'000; char c = '\"';", "my_exit(3);"})
    CHECK_MESSAGE(forbidden_words({path, good}).empty(), good);
  CHECK(forbidden_words({"include/plume/kernels/parallel/a.hpp", "#pragma omp parallel\n"}).empty());
  CHECK(forbidden_words({"include/plume/tensor/eigen.hpp", "#include <Eigen/Core>\n"}).empty());
  check_all(public_headers(), forbidden_words);
}

TEST_CASE("headers begin with #pragma once and live in the versioned namespace") {
  CHECK(shape({"a.hpp", "namespace plume {\n}\n"}).size() == 2);
  CHECK(shape({"a.hpp", "#pragma once\nnamespace plume::inline PLUME_ABI::kernels {\n}\n"}).empty());
  check_all(public_headers(), shape);
}

TEST_CASE("at most 8 public macros, all in base/config.hpp and base/version.hpp, all PLUME_") {
  CHECK(macros({"a.hpp", "#define A 1\n#define B(x) x\n#undef A\n"}) == std::set<std::string>{"B"});
  std::set<std::string> all;
  for (const File& file : public_headers()) {
    for (const std::string& name : macros(file)) {
      CHECK_MESSAGE((file.path == "include/plume/base/config.hpp" || file.path == "include/plume/base/version.hpp"),
                    file.path << " defines " << name);
      CHECK_MESSAGE(name.rfind("PLUME_", 0) == 0, file.path << " defines " << name);
      all.insert(name);
    }
  }
  CHECK(all.size() <= 8);
}

TEST_CASE("the inline namespace names the version and the configuration") {
  std::string prefix;
  for (const File& file : files_under({"include/plume/base"}, {".hpp"}))
    if (file.path.ends_with("/version.hpp")) {
      const auto number = [&](const std::string& name) {
        const std::size_t at = file.text.find("#define " + name + " ");
        REQUIRE(at != std::string::npos);
        return std::to_string(std::stoi(file.text.substr(at + name.size() + 9)));
      };
      prefix = "#define PLUME_ABI v" + number("PLUME_VERSION_MAJOR") + "_" + number("PLUME_VERSION_MINOR") + "_";
    }
  for (const File& file : files_under({"include/plume/base"}, {".hpp"}))
    if (file.path.ends_with("/config.hpp")) {
      std::set<std::string> names;
      for (const std::string& line : lines(file.text))
        if (line.rfind("#define PLUME_ABI ", 0) == 0) names.insert(line);
      CHECK(names == std::set<std::string>{prefix + "openmp", prefix + "threads"});
    }
}

TEST_CASE("SECURITY.md's table of limits is that of plume/base/limits.hpp, and each of them is used") {
  CHECK(value_of("100'000'000") == 100'000'000);
  CHECK(value_of("16u << 20") == 16u << 20);
  CHECK(value_of("16,777,216 tokens") == 16'777'216);
  CHECK(value_of("128 MiB") == 128u << 20);
  CHECK_THROWS(value_of("many"));
  std::map<std::string, std::uint64_t> fields, promised;
  std::string others;
  for (const File& file : public_headers()) {
    if (file.path != "include/plume/base/limits.hpp") {
      others += file.text;
      continue;
    }
    for (const std::string& line : lines(code_of(file.text))) {
      const std::size_t name = line.find("std::uint64_t "), equal = line.find(" = ");
      if (name != std::string::npos && equal != std::string::npos)
        fields[line.substr(name + 14, equal - name - 14)] = value_of(line.substr(equal + 3));
    }
  }
  for (const std::string& line : lines(text_of("SECURITY.md"))) {
    if (line.rfind("| `max_", 0) != 0) continue;
    const std::size_t end = line.find('`', 3), value = line.find("| ", end);
    REQUIRE(value != std::string::npos);
    promised[line.substr(3, end - 3)] = value_of(line.substr(value + 2));
  }
  CHECK(fields.size() >= 15);
  for (const auto& entry : fields) {
    const std::string& field = entry.first;
    CHECK_MESSAGE(promised.count(field), "SECURITY.md does not list " << field);
    if (promised.count(field))
      CHECK_MESSAGE(promised[field] == entry.second, field << " is " << entry.second << ", SECURITY.md says " << promised[field]);
    CHECK_MESSAGE(has_word(others, field), field << " limits nothing");
  }
  for (const auto& entry : promised) CHECK_MESSAGE(fields.count(entry.first), "SECURITY.md lists " << entry.first << ", which is no limit");
}

TEST_CASE("files have at most 500 lines and name no place on one machine") {
  CHECK(foreign_paths({"a.hpp", std::string("x = \"/hom") + "e/someone\""}).size() == 1);
  CHECK(foreign_paths({"a.hpp",
                       "\"path/to/wor"
                       "k/a\" ../shared ${x}/wor"
                       "k/"})
            .empty());
  const std::vector<File> sources =
      files_under({"include", "examples", "tests", "bench", "cmake"}, {".hpp", ".cpp", ".cmake", ".sh", ".txt", ".in", ".py", ".md"});
  check_all(sources, foreign_paths);
  for (const File& file : sources) {
    const fs::path path = file.path;
    if (path.extension() != ".txt" && path.extension() != ".md")
      CHECK_MESSAGE(line_count(file) <= 500, file.path << " has " << line_count(file) << " lines");
  }
}
