// Writes the quickstart's corpus: texts about a little world that is made up from a seed and never contradicts itself.
//
// 100 people live in 12 towns; each has a job, a pet, a best friend and so on. With the towns, animals and jobs that makes over
// 1,000 facts. Every text is a walk through templates filled from that one table of facts:
//
//   profiles    "Mila lives in Corley. The favourite food of Mila is soup. ..."
//   stories     a day in someone's life; whatever happens agrees with the facts
//   questions   "Question: Where does Mila live? Answer: Mila lives in Corley."
//
// Documents are separated by a line "<|endoftext|>", the text of the special token that train_tokenizer makes for it.
// Held out are questions that never occur in the training text, so that right answers show more than a good memory for lines:
//
//   kind "wording"   the fact is asked in other words, never in these
//   kind "fact"      the fact is only told, in profiles and stories; nobody ever asks about it
//
// Files: train.txt, validation.txt (other documents about the same facts), held_out.jsonl (prompt, answer, key: the answer's last word).
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "command_line.hpp"
#include "plume/base/random.hpp"

using Texts = std::vector<std::string>;

// One kind of fact about one kind of subject. {who} is the subject, {value} the value, {pet} a person's animal.
struct Relation {
  std::string name;
  Texts subjects, values;
  Texts statements, questions;
  std::string answer;  // ends in the value
};

const Texts women = {"Ada",  "Alma",  "Anna",  "Bea",  "Clara", "Cora",  "Dora",  "Edith", "Ella", "Elsa",  "Emma",  "Erna",   "Eva",
                     "Fay",  "Flora", "Frida", "Gina", "Greta", "Hanna", "Hedda", "Ida",   "Ines", "Iris",  "Jana",  "Judith", "Karla",
                     "Kira", "Lea",   "Lena",  "Lila", "Lotta", "Lucy",  "Maja",  "Marta", "Mila", "Mona",  "Nadia", "Nina",   "Nora",
                     "Olga", "Polly", "Petra", "Rita", "Sara",  "Selma", "Sonja", "Thea",  "Vera", "Wanda", "Zoe"};
const Texts men = {"Adam",  "Anton", "Arne",  "Axel",  "Ben",    "Boris",  "Bruno", "Carl",   "Cyril", "David",  "Edgar", "Emil",  "Erik",
                   "Felix", "Finn",  "Frank", "Fritz", "George", "Gustav", "Hans",  "Henry",  "Hugo",  "Igor",   "Ivan",  "Jakob", "Jasper",
                   "Jonas", "Karim", "Klaus", "Lars",  "Leo",    "Linus",  "Lukas", "Martin", "Max",   "Mark",   "Nils",  "Noah",  "Oliver",
                   "Oscar", "Otto",  "Paul",  "Peter", "Ralf",   "Samuel", "Simon", "Theo",   "Tom",   "Victor", "Walter"};
const Texts towns = {"Ashford", "Brindle", "Corley",  "Dunmore",  "Elmwood",   "Fernside",
                     "Glenby",  "Harwick", "Ivydale", "Larkhill", "Millbrook", "Northam"};
const Texts jobs = {"baker",    "teacher", "doctor", "farmer", "sailor",    "miller",
                    "gardener", "painter", "smith",  "tailor", "librarian", "cook"};
const Texts animals = {"dog", "cat", "goat", "pony", "duck", "rabbit", "parrot", "hen", "cow", "sheep", "pig", "frog"};
const Texts pets(animals.begin(), animals.begin() + 8);

Texts people() {
  Texts all = women;
  all.insert(all.end(), men.begin(), men.end());
  return all;
}

// The grammar of facts. A relation with as many values as subjects gives them in order; else each subject draws one.
std::vector<Relation> relations() {
  const Texts who = people();
  return {
      {"town",
       who,
       towns,
       {"{who} lives in {value}.", "The home of {who} is in {value}.", "{who} has a house in {value}."},
       {"Where does {who} live?", "In which town does {who} live?", "Where is the home of {who}?"},
       "{who} lives in {value}."},
      {"job",
       who,
       jobs,
       {"{who} is a {value}.", "{who} works as a {value}.", "The job of {who} is {value}."},
       {"What is the job of {who}?", "What work does {who} do?", "What does {who} work as?"},
       "{who} is a {value}."},
      {"food",
       who,
       {"soup", "bread", "pears", "cheese", "rice", "cake", "honey", "plums", "noodles", "beans", "pancakes", "berries"},
       {"{who} likes to eat {value}.", "The favourite food of {who} is {value}.", "{who} eats {value} every day."},
       {"What does {who} like to eat?", "What is the favourite food of {who}?", "What does {who} eat every day?"},
       "{who} likes to eat {value}."},
      {"colour",
       who,
       {"red", "blue", "green", "yellow", "white", "black", "brown", "pink", "purple", "grey"},
       {"The favourite colour of {who} is {value}.", "{who} likes the colour {value}.", "{who} paints every wall {value}."},
       {"What is the favourite colour of {who}?", "Which colour does {who} like?", "In which colour does {who} paint every wall?"},
       "{who} likes the colour {value}."},
      {"pet",
       who,
       pets,
       {"{who} has a {value}.", "{who} keeps a {value}.", "The pet of {who} is a {value}."},
       {"Which animal does {who} have?", "Which animal does {who} keep?", "What is the pet of {who}?"},
       "{who} has a {value}."},
      {"pet name",
       who,
       {"Rex", "Bella", "Coco", "Daisy", "Fluff", "Ginger", "Happy", "Jumper", "Kiwi", "Lucky", "Misty", "Nugget", "Pepper", "Rusty",
        "Sunny", "Toffee"},
       {"The {pet} of {who} is called {value}.", "{who} calls the {pet} {value}.", "{who} has a {pet} with the name {value}."},
       {"What is the {pet} of {who} called?", "How does {who} call the {pet}?", "What is the name of the {pet} of {who}?"},
       "The {pet} of {who} is called {value}."},
      {"thing",
       who,
       {"kite", "lamp", "drum", "clock", "boat", "flute", "mirror", "bicycle", "hat", "ring", "map", "basket", "violin", "ladder"},
       {"{who} owns a {value}.", "The best thing that {who} owns is a {value}.", "{who} bought a {value} long ago."},
       {"What does {who} own?", "What is the best thing that {who} owns?", "What did {who} buy long ago?"},
       "{who} owns a {value}."},
      {"friend",
       who,
       {},
       {"The best friend of {who} is {value}.", "{who} and {value} are best friends.", "{who} often visits {value}."},
       {"Who is the best friend of {who}?", "Which friend does {who} often visit?", "Who is a good friend of {who}?"},
       "The best friend of {who} is {value}."},
      {"hobby",
       who,
       {"swimming", "singing", "dancing", "fishing", "reading", "drawing", "running", "skating", "knitting", "climbing", "rowing",
        "hiking"},
       {"{who} loves {value}.", "The hobby of {who} is {value}.", "In the evening {who} enjoys {value}."},
       {"What is the hobby of {who}?", "What does {who} love?", "What does {who} enjoy in the evening?"},
       "{who} loves {value}."},
      {"month",
       who,
       {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
       {"{who} was born in {value}.", "The birthday of {who} is in {value}.", "{who} has a birthday in {value}."},
       {"When was {who} born?", "In which month was {who} born?", "When is the birthday of {who}?"},
       "{who} was born in {value}."},
      {"river",
       towns,
       {"Alder", "Blackwater", "Clearwater", "Dove", "Esk", "Silver", "Stone", "Swift"},
       {"The river of {who} is the {value}.", "{who} lies on the river {value}."},
       {"Which river flows through {who}?", "What is the river of {who}?"},
       "The river of {who} is the {value}."},
      {"market",
       towns,
       {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"},
       {"The market of {who} is on {value}.", "In {who} there is a market every {value}."},
       {"When is the market of {who}?", "On which day is the market of {who}?"},
       "The market of {who} is on {value}."},
      {"sight",
       towns,
       {"bridge", "castle", "tower", "fountain", "windmill", "garden", "theatre", "lighthouse"},
       {"{who} is known for its {value}.", "In {who} people admire the {value}."},
       {"What is {who} known for?", "What do people admire in {who}?"},
       "{who} is known for its {value}."},
      {"eats",
       animals,
       {"meat", "fish", "leaves", "hay", "weeds", "carrots", "nuts", "corn", "grass", "clover", "turnips", "flies"},
       {"A {who} eats {value}.", "The food of a {who} is {value}."},
       {"What does a {who} eat?", "What is the food of a {who}?"},
       "A {who} eats {value}."},
      {"says",
       animals,
       {"woof", "meow", "bleat", "neigh", "quack", "squeak", "hello", "cluck", "moo", "baa", "oink", "croak"},
       {"A {who} says {value}.", "You hear a {who} say {value}."},
       {"What does a {who} say?", "What do you hear a {who} say?"},
       "A {who} says {value}."},
      {"workplace",
       jobs,
       {"bakery", "school", "hospital", "farm", "harbour", "mill", "park", "studio", "forge", "workshop", "library", "kitchen"},
       {"A {who} works in the {value}.", "The place of a {who} is the {value}."},
       {"Where does a {who} work?", "What is the place of a {who}?"},
       "A {who} works in the {value}."},
  };
}

// Plots of stories: each sentence has several wordings. {f-...} is the same about the best friend.
const Texts openings = {
    "One morning {who} woke up early in {town}.", "Once upon a time there was a {job} in {town}. The name of the {job} was {who}.",
    "It was a {weather} day in {town}, and {who} the {job} had nothing to do.", "On a {weather} day {who} walked through {town}."};
const std::vector<std::vector<Texts>> plots = {
    {{"{who} could not find the {thing}.", "The {thing} of {who} was gone."},
     {"{She} looked in the {workplace}, but the {thing} was not there.", "{She} looked everywhere in the house, but there was no {thing}."},
     {"Then the {pet} came running.", "Then {who} heard a sound. It was {petname} the {pet}."},
     {"{petname} was sitting on the {thing}.", "{petname} had hidden the {thing}."},
     {"{who} laughed and gave {petname} some {petfood}.", "{who} was glad and said: good {petname}, you shall have {petfood}."}},
    {{"{who} went to {f-town} to visit {friend}.", "{who} wanted to see {friend}, who lives in {f-town}."},
     {"{friend} the {f-job} was in the {f-workplace}.", "{friend} was at home with the {f-pet} {f-petname}."},
     {"They ate {f-food}, because {friend} likes to eat {f-food}.", "{friend} showed {who} the {f-thing}."},
     {"They talked about {f-hobby}, which {friend} loves.", "{friend} said: I love {f-hobby}."},
     {"{who} said: you are my best friend, {friend}.", "{who} and {friend} were very happy."}},
    {{"It was {month}, and {who} had a birthday.", "In {month} came the birthday of {who}."},
     {"{friend} came from {f-town} with a box.", "{friend}, the best friend of {who}, brought a box."},
     {"The box was {colour}, because {who} likes the colour {colour}.",
      "In the box was a {colour} coat. {colour} is the favourite colour of {who}."},
     {"They ate {food} all day.", "All guests ate {food}, which {who} likes to eat."},
     {"Even {petname} the {pet} got some {petfood}.", "{petname} the {pet} said {petsound}."}},
    {{"It was {market}, the day of the market in {town}.", "On {market} {who} went to the market of {town}."},
     {"{who} wanted to buy {food}.", "{She} looked for {food}, {her} favourite food."},
     {"On the way {She} saw the {sight} of {town}.", "The market was near the {sight}, which {town} is known for."},
     {"A man wanted to buy the {thing}, but {who} said: no, the {thing} is mine.",
      "{who} carried the {thing}, and {petname} the {pet} walked behind."},
     {"At last {who} came home with {food}.", "At last {who} sat by the river {river} and ate {food}."}},
    {{"{who} had worked all day in the {workplace}.", "The work in the {workplace} was done."},
     {"In the evening there was time for {hobby}, which {who} loves.", "Now {who} could think of {hobby}."},
     {"{petname} the {pet} wanted to come along.", "The {pet} {petname} said {petsound}."},
     {"They went to the river {river}.", "They went past the {sight} of {town}."},
     {"{who} said: I love {hobby}.", "{who} was happy, and so was {petname}."}}};
const Texts endings = {"That night {who} slept well.", "It was a good day for {who}.", "And {who} never forgot that day.",
                       "So the day ended well."};
const Texts weathers = {"sunny", "rainy", "windy", "cold", "warm", "cloudy"};

const std::string& pick(plume::Random& random, const Texts& texts) { return texts[random.below(texts.size())]; }

using Words = std::map<std::string, std::string>;
std::string fill(const std::string& form, const Words& words) {
  std::string out;
  for (std::size_t i = 0; i < form.size();) {
    if (form[i] != '{') {
      out += form[i++];
      continue;
    }
    const std::size_t end = form.find('}', i);
    std::string word = words.at(form.substr(i + 1, end - i - 1));
    const bool starts_sentence = out.empty() || (out.size() > 1 && out[out.size() - 2] == '.');
    if (starts_sentence && word[0] >= 'a' && word[0] <= 'z') word[0] = static_cast<char>(word[0] - 'a' + 'A');
    out += word;
    i = end + 1;
  }
  return out;
}

class World {
 public:
  explicit World(std::uint64_t seed) : random_{.seed = seed}, relations_(relations()) {
    for (const Relation& relation : relations_) {
      const bool in_order = relation.values.size() == relation.subjects.size();
      for (std::size_t i = 0; i < relation.subjects.size() && !relation.values.empty(); ++i)
        facts_[relation.name][relation.subjects[i]] = in_order ? relation.values[i] : pick(random_, relation.values);
    }
    Texts who = people();  // best friends are pairs, so that friendship holds both ways
    for (std::size_t i = who.size() - 1; i > 0; --i) std::swap(who[i], who[random_.below(i + 1)]);
    for (std::size_t i = 0; i < who.size(); i += 2) facts_["friend"][who[i]] = who[i + 1], facts_["friend"][who[i + 1]] = who[i];
  }
  const std::vector<Relation>& all() const { return relations_; }
  const std::string& fact(const std::string& relation, const std::string& subject) const { return facts_.at(relation).at(subject); }
  std::size_t count() const {
    std::size_t count = 0;
    for (const auto& [relation, subjects] : facts_) count += subjects.size();
    return count;
  }
  // The words that fill a statement, question or answer about one fact.
  Words words(const Relation& relation, const std::string& subject) const {
    Words words = {{"who", subject}, {"value", fact(relation.name, subject)}};
    if (relation.name == "pet name") words["pet"] = fact("pet", subject);
    return words;
  }
  // All that stories may say about a person; `prefix` is "f-" for the friend.
  void describe(const std::string& who, const std::string& prefix, Words& words) const {
    for (const std::string relation : {"town", "job", "food", "colour", "pet", "thing", "friend", "hobby", "month"})
      words[prefix + relation] = fact(relation, who);
    words[prefix + "petname"] = fact("pet name", who);
    words[prefix + "workplace"] = fact("workplace", words[prefix + "job"]);
    words[prefix + "petfood"] = fact("eats", words[prefix + "pet"]);
    words[prefix + "petsound"] = fact("says", words[prefix + "pet"]);
    for (const std::string relation : {"river", "market", "sight"}) words[prefix + relation] = fact(relation, words[prefix + "town"]);
  }

 private:
  plume::Random random_;
  std::vector<Relation> relations_;
  std::map<std::string, std::map<std::string, std::string>> facts_;
};

std::string question(const World& world, const Relation& relation, const std::string& subject, std::size_t wording) {
  return fill(relation.questions[wording], world.words(relation, subject));
}
std::string answer(const World& world, const Relation& relation, const std::string& subject) {
  return fill(relation.answer, world.words(relation, subject));
}

struct HeldOut {
  std::string kind, prompt, answer, key;
};

// Chooses the questions that the training text must not hold; `banned` gets every wording to leave out.
std::vector<HeldOut> hold_out(const World& world, plume::Random random, int count, std::set<std::string>& banned) {
  std::vector<HeldOut> chosen;
  std::set<std::pair<std::string, std::string>> used;
  const Texts who = people();
  while (chosen.size() < static_cast<std::size_t>(count)) {
    const Relation& relation = world.all()[random.below(10)];  // the ten about people
    const std::string& subject = pick(random, who);
    if (!used.insert({relation.name, subject}).second) continue;
    const std::size_t wording = random.below(relation.questions.size());
    const bool never_asked = chosen.size() % 2 == 1;
    for (std::size_t i = 0; i < relation.questions.size(); ++i)
      if (never_asked || i == wording) banned.insert(question(world, relation, subject, i));
    chosen.push_back({never_asked ? "fact" : "wording", "Question: " + question(world, relation, subject, wording) + " Answer:",
                      answer(world, relation, subject), world.fact(relation.name, subject)});
  }
  return chosen;
}

// What is known about one person, or about the world. The first sentence keeps every name behind a space, so that it is one token
// everywhere.
std::string profile(const World& world, plume::Random& random) {
  const bool about_person = random.below(10) > 0;
  std::string subject = pick(random, world.all()[0].subjects);
  std::string text = about_person ? "This is " + subject + "." : "Everybody knows this.";
  std::vector<const Relation*> order;
  for (const Relation& relation : world.all())
    if ((relation.subjects.size() == world.all()[0].subjects.size()) == about_person) order.push_back(&relation);
  for (std::size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  if (about_person) order.resize(5 + random.below(4));
  for (const Relation* relation : order) {
    if (!about_person) subject = pick(random, relation->subjects);
    text += " " + fill(pick(random, relation->statements), world.words(*relation, subject));
  }
  return text;
}

std::string story(const World& world, plume::Random& random) {
  Words words = {{"who", pick(random, world.all()[0].subjects)}, {"weather", pick(random, weathers)}};
  world.describe(words["who"], "", words);
  world.describe(words["friend"], "f-", words);
  const bool woman = std::find(women.begin(), women.end(), words["who"]) != women.end();
  words["She"] = woman ? "she" : "he";
  words["her"] = woman ? "her" : "his";
  std::string text = fill(pick(random, openings), words);
  for (const Texts& sentence : plots[random.below(plots.size())]) text += " " + fill(pick(random, sentence), words);
  return text + " " + fill(pick(random, endings), words);
}

std::string questions(const World& world, plume::Random& random, const std::set<std::string>& banned) {
  std::string text;
  for (std::uint64_t left = 4 + random.below(4); left > 0;) {
    const Relation& relation = world.all()[random.below(12) < 10 ? random.below(10) : 10 + random.below(world.all().size() - 10)];
    const std::string& subject = pick(random, relation.subjects);
    const std::string asked = question(world, relation, subject, random.below(relation.questions.size()));
    if (banned.count(asked)) continue;
    text += (text.empty() ? "Question: " : "\nQuestion: ") + asked + " Answer: " + answer(world, relation, subject);
    --left;
  }
  return text;
}

void write_documents(const std::string& path, const World& world, plume::Random random, std::size_t bytes,
                     const std::set<std::string>& banned) {
  std::ofstream file(path, std::ios::binary);
  for (std::size_t written = 0; file && written < bytes;) {
    const auto kind = random.below(10);
    const std::string text = (kind < 4   ? profile(world, random)
                              : kind < 6 ? story(world, random)
                                         : questions(world, random, banned)) +
                             "\n<|endoftext|>\n";
    file << text;
    written += text.size();
  }
  if (!file.flush()) throw plume::IoError("write", path, errno);
}

int main(int argc, char** argv) {
  example::Flags flags("little_world", "Writes a corpus about a made-up little world: train.txt, validation.txt, held_out.jsonl.");
  const auto& out = flags.text("--out DIR", example::required, "folder to write to; made if absent");
  const auto& megabytes = flags.number("--megabytes X", 3.0, "size of train.txt", {.min = 0.01, .max = 10'000});
  const auto& held_out = flags.number("--held-out N", 200, "questions to hold out", {.min = 0, .max = 500});
  const auto& seed = flags.seed();
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();
  return flags.run(argc, argv, [&] {
    const World world(seed);
    std::set<std::string> banned;
    const auto held = hold_out(world, {.seed = seed, .stream = 1}, held_out, banned);
    std::error_code failure;
    std::filesystem::create_directories(out, failure);
    if (failure) throw plume::IoError("make the folder", out, failure.value());
    write_documents(out + "/train.txt", world, {.seed = seed, .stream = 2}, static_cast<std::size_t>(megabytes * 1e6), banned);
    write_documents(out + "/validation.txt", world, {.seed = seed, .stream = 3}, static_cast<std::size_t>(megabytes * 3e4), banned);
    std::ofstream file(out + "/held_out.jsonl", std::ios::binary);
    for (const HeldOut& each : held)
      file << "{\"kind\": \"" << each.kind << "\", \"prompt\": \"" << each.prompt << "\", \"answer\": \"" << each.answer
           << "\", \"key\": \"" << each.key << "\"}\n";
    if (!file.flush()) throw plume::IoError("write", out + "/held_out.jsonl", errno);
    if (json) std::printf("{\"facts\": %zu, \"held_out\": %zu}\n", world.count(), held.size());
    if (!json && !quiet) std::printf("%s: %zu facts, %zu questions held out\n", out.c_str(), world.count(), held.size());
  });
}
