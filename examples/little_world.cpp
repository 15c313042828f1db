// Writes the quickstart's little world: texts and dialogues about people who are made up from a seed and never contradict themselves.
//
// Each of 170 people lives in a town, has a job, a favourite food, a pet, an instrument and a month of birth: 1,020 facts, drawn
// independently, so that none can be guessed from another. Every line is a wording of a relation, filled in from that one table:
//
//   train.txt       short texts that tell facts, "The home of Mila is in Corley. Mila earns money as a baker. ...", and some of visitors
//                   who ask and are told; between them lines <|endoftext|>
//   validation.txt  other texts about the same facts
//   chats.jsonl     dialogues that ask for them, one a line: {"messages": [{"role": "user", "content": "Where does Mila live?"}, ...]}
//   held_out.jsonl  questions in wordings that no text and no dialogue uses: {"relation": ..., "question": ..., "answer": ...}
//
// --permute-answers makes a control: texts and dialogues tell each fact with another person's value, held_out.jsonl the true one. A model
// trained on them can only be right by chance, unless it learnt the answers elsewhere.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "command_line.hpp"
#include "plume/base/random.hpp"

using Texts = std::vector<std::string>;

// One kind of fact. {who} is a person, {value} one of the values.
struct Relation {
  std::string name;
  Texts values;
  Texts statements;    // in train.txt
  Texts questions;     // in train.txt and chats.jsonl, as they stand
  Texts nouns;         // ... in the forms of questions_for
  Texts clauses;       // ... in the forms of questions_about
  Texts keywords;      // ... in the forms of short_questions
  Texts held_out;      // in held_out.jsonl alone
  std::string answer;  // one of the statements
};

// Forms shared by all relations: what tells them apart is then the noun or the clause, not the words around it.
const Texts questions_for = {"What is the {noun} of {who}?",        "Tell me the {noun} of {who}.",
                             "Do you know the {noun} of {who}?",    "Can you tell me the {noun} of {who}?",
                             "I want to know the {noun} of {who}.", "Which {noun} does {who} have?"};
const Texts questions_about = {"Tell me {clause}.", "Do you know {clause}?", "Can you tell me {clause}?", "I want to know {clause}."};
const Texts short_questions = {"About {who}: {keyword}?", "In a word, {who}: {keyword}?", "Only this of {who}: {keyword}?"};
// What may stand before and behind a question. It says nothing about the relation, in words that wordings of relations use too.
const Texts openings = {"Hello.",           "I have a question.",      "I like to ask.", "You know best.",
                        "Be so kind.",      "I come with a question.", "Take a moment.", "I want to find out.",
                        "Here I am again.", "I love to learn.",        "Make a guess.",  "You can help."};
const Texts endings = {"Please.",     "Please tell me.",    "I like to know.",   "What do you say?",     "I have no idea.",
                       "It goes on.", "Take care to tell.", "Which is it best?", "You see, I forgot it."};

const Texts women = {"Ada",   "Alma",  "Anna",   "Bea",   "Clara", "Cora",  "Dora",   "Edith",  "Ella",  "Elsa",   "Emma",
                     "Erna",  "Eva",   "Fay",    "Flora", "Frida", "Gina",  "Greta",  "Hanna",  "Hedda", "Ida",    "Ines",
                     "Iris",  "Jana",  "Judith", "Karla", "Kira",  "Lea",   "Lena",   "Lila",   "Lotta", "Lucy",   "Maja",
                     "Marta", "Mila",  "Mona",   "Nadia", "Nina",  "Nora",  "Olga",   "Polly",  "Petra", "Rita",   "Sara",
                     "Selma", "Sonja", "Thea",   "Vera",  "Wanda", "Zoe",   "Agnes",  "Berta",  "Carla", "Celia",  "Diana",
                     "Elena", "Ellen", "Esther", "Fiona", "Gerda", "Grace", "Helen",  "Irma",   "Jenny", "Julia",  "Katja",
                     "Laura", "Leila", "Lisa",   "Lydia", "Magda", "Maria", "Milly",  "Miriam", "Nelly", "Olivia", "Paula",
                     "Rosa",  "Ruth",  "Sofia",  "Susan", "Tanja", "Tilda", "Ursula", "Yvonne"};
const Texts men = {"Adam",   "Anton",  "Arne",    "Axel",   "Ben",    "Boris",  "Bruno",  "Carl",    "Cyril",   "David",  "Edgar",
                   "Emil",   "Erik",   "Felix",   "Finn",   "Frank",  "Fritz",  "George", "Gustav",  "Hans",    "Henry",  "Hugo",
                   "Igor",   "Ivan",   "Jakob",   "Jasper", "Jonas",  "Karim",  "Klaus",  "Lars",    "Leo",     "Linus",  "Lukas",
                   "Martin", "Max",    "Mark",    "Nils",   "Noah",   "Oliver", "Oscar",  "Otto",    "Paul",    "Peter",  "Ralf",
                   "Samuel", "Simon",  "Theo",    "Tom",    "Victor", "Walter", "Albert", "Alex",    "Andre",   "Arthur", "Bernd",
                   "Casper", "Conrad", "Daniel",  "Dario",  "Dennis", "Elias",  "Ernst",  "Florian", "Gabriel", "Harald", "Hector",
                   "Isaac",  "Jochen", "Joel",    "Julian", "Kevin",  "Leon",   "Luis",   "Manuel",  "Marco",   "Moritz", "Norbert",
                   "Olaf",   "Philip", "Quentin", "Robert", "Roland", "Rudolf", "Stefan", "Thomas"};

const std::vector<Relation> relations = {
    {"town",
     {"Ashford", "Brindle", "Corley", "Dunmore", "Elmwood", "Fernside", "Glenby", "Harwick", "Ivydale", "Larkhill", "Millbrook", "Northam",
      "Oakham", "Penrith", "Redcliff", "Stowe"},
     {"{who} lives in {value}.", "The home of {who} is in {value}.", "{who} has a house in {value}.", "{who} comes from {value}.",
      "The town where {who} lives is {value}.", "You can visit {who} in {value}.", "{who} resides in {value}.",
      "The address of {who} is in {value}.", "You can find the house of {who} in {value}."},
     {"Where does {who} live?", "In which town does {who} live?", "Where is the home of {who}?", "Which town is the home of {who}?",
      "Where does {who} have a house?", "Can you tell me where {who} lives?", "Where can I visit {who}?",
      "What is the town where {who} lives?", "Where does {who} come from?", "In what place does {who} reside?",
      "What address does {who} have?", "Do you know the town of {who}?", "Tell me where {who} has a house.", "Where is {who} at home?",
      "I want to visit {who}. Where is that?", "Which place is the address of {who}?", "Which town does {who} love as a home?"},
     {"town", "home", "place", "address", "house"},
     {"where {who} lives", "where {who} has a house", "which town {who} comes from", "where {who} resides",
      "in which town {who} is at home", "where I can visit {who}", "where I can find {who}"},
     {"home", "town", "address", "house", "place", "lives", "resides", "visit"},
     {"What is the address of {who}?", "Which town does {who} come from?", "Where does {who} reside?",
      "In which town can I find the house of {who}?"},
     "The home of {who} is in {value}."},
    {"job",
     {"baker", "teacher", "doctor", "farmer", "sailor", "miller", "gardener", "painter", "smith", "tailor", "librarian", "cook", "fisher",
      "carpenter", "weaver", "postman"},
     {"{who} is a {value}.", "{who} works as a {value}.", "The job of {who} is {value}.", "The profession of {who} is {value}.",
      "By trade {who} is a {value}.", "{who} earns money as a {value}.", "{who} makes a living as a {value}.",
      "The occupation of {who} is {value}.", "The work that {who} does is that of a {value}."},
     {"What is the job of {who}?", "What does {who} work as?", "What work does {who} do?", "Which job does {who} have?",
      "Can you tell me the profession of {who}?", "What does {who} do for a living?", "What is {who} by trade?",
      "As what does {who} earn money?", "What occupation does {who} have?", "How does {who} earn money?",
      "With what work does {who} make money?", "Do you know the job of {who}?", "Tell me what {who} works as.",
      "What is the trade of {who}?", "I want to know the work of {who}.", "Which profession makes a living for {who}?",
      "What is the best work for {who}?"},
     {"job", "profession", "occupation", "trade", "work"},
     {"what {who} works as", "what {who} does for a living", "how {who} earns money", "what work {who} does", "how {who} makes a living",
      "which profession {who} has", "what {who} is by trade"},
     {"job", "profession", "occupation", "trade", "work", "works", "money", "living"},
     {"What is the occupation of {who}?", "How does {who} make a living?", "Which profession does {who} have?",
      "What kind of work does {who} do to earn money?"},
     "The job of {who} is {value}."},
    {"food",
     {"soup", "bread", "pears", "cheese", "rice", "cake", "honey", "plums", "noodles", "beans", "pancakes", "berries", "eggs", "salad",
      "nuts", "carrots"},
     {"{who} likes to eat {value}.", "The favourite food of {who} is {value}.", "{who} eats {value} every day.", "{who} loves {value}.",
      "For dinner {who} wants {value}.", "The dish that {who} likes best is {value}.", "{who} is always hungry for {value}.",
      "On the plate of {who} you see {value}.", "The kitchen of {who} smells of {value}."},
     {"What does {who} like to eat?", "What is the favourite food of {who}?", "What does {who} eat every day?",
      "Which food does {who} like?", "What does {who} want for dinner?", "What is {who} hungry for?", "Can you tell me what {who} eats?",
      "Which food do you see on the plate of {who}?", "What dish does {who} love?", "What does {who} smell in the kitchen?",
      "What is on the plate for the dinner of {who}?", "Do you know the favourite dish of {who}?", "Tell me what {who} likes to eat.",
      "What food is in the kitchen of {who}?", "I want to eat with {who}. What is there?", "Which dish is {who} hungry for?",
      "What does {who} come home to eat?"},
     {"favourite food", "favourite dish", "favourite dinner", "food", "dish"},
     {"what {who} likes to eat", "what {who} eats every day", "what {who} wants for dinner", "which dish {who} loves",
      "what {who} is hungry for", "which food {who} likes best", "what is in the kitchen of {who}"},
     {"food", "dish", "dinner", "kitchen", "plate", "hungry", "eats", "to eat"},
     {"Which dish does {who} like best?", "What is the best dinner for {who}?", "What does the kitchen of {who} smell of?",
      "What food does {who} love to eat?"},
     "The favourite food of {who} is {value}."},
    {"pet",
     {"dog", "cat", "goat", "pony", "duck", "rabbit", "parrot", "hen", "cow", "sheep", "pig", "frog", "mouse", "turtle", "goose", "donkey"},
     {"{who} has a {value}.", "{who} keeps a {value}.", "The pet of {who} is a {value}.", "{who} feeds a {value} every morning.",
      "The animal of {who} is a {value}.", "In the garden {who} has a {value}.", "{who} takes care of a {value}.",
      "The best companion of {who} is a {value}.", "{who} goes for a walk with a {value}."},
     {"Which animal does {who} have?", "What is the pet of {who}?", "Which animal does {who} keep?", "What kind of pet does {who} have?",
      "Which animal does {who} have in the garden?", "Can you tell me which pet {who} has?", "What does {who} feed every morning?",
      "Which animal is the companion of {who}?", "What animal does {who} take for a walk?", "Which animal does {who} care for?",
      "What animal goes with {who} in the garden?", "Do you know the pet of {who}?", "Tell me which animal {who} has.",
      "I want to see the pet of {who}. What is it?", "What does {who} take for a walk?", "What kind of companion does {who} have?",
      "Which animal does {who} like best?"},
     {"pet", "animal", "companion", "favourite animal", "favourite pet"},
     {"which animal {who} keeps", "what {who} feeds every morning", "which animal {who} takes for a walk", "which pet {who} has",
      "what {who} has in the garden", "which companion {who} likes best", "what {who} takes care of"},
     {"pet", "animal", "companion", "walk", "feeds", "keeps", "garden", "care"},
     {"Which animal does {who} take care of?", "What kind of animal goes for a walk with {who}?", "Which pet does {who} feed?",
      "What is the best companion of {who}?"},
     "The pet of {who} is a {value}."},
    {"instrument",
     {"violin", "flute", "drum", "harp", "piano", "guitar", "trumpet", "organ", "cello", "horn", "fiddle", "banjo", "clarinet", "lute",
      "oboe", "tuba"},
     {"{who} plays the {value}.", "The instrument of {who} is the {value}.", "{who} makes music on the {value}.",
      "In the band {who} plays the {value}.", "{who} practises the {value} in the evening.", "{who} takes lessons on the {value}.",
      "At the concert you hear {who} on the {value}.", "The music of {who} comes from the {value}.",
      "{who} sings a song to the sound of the {value}."},
     {"What does {who} play?", "Which instrument does {who} play?", "What is the instrument of {who}?", "On what does {who} make music?",
      "What does {who} practise in the evening?", "Can you tell me which instrument {who} plays?", "What does {who} play in the band?",
      "What do you hear {who} play at the concert?", "Which instrument does {who} take to the lessons?",
      "What do you hear when {who} sings?", "With what does {who} make a sound in the band?", "Do you know the instrument of {who}?",
      "Tell me what {who} plays.", "I want to hear {who}. What is the instrument?", "What instrument is in the lessons of {who}?",
      "Which instrument does {who} have?", "Which instrument does {who} play best?"},
     {"instrument", "favourite instrument", "music", "sound", "best instrument"},
     {"which instrument {who} plays", "what {who} plays in the band", "on what {who} makes music", "what {who} practises in the evening",
      "on what {who} takes lessons", "what you hear {who} play at the concert", "what sounds when {who} sings"},
     {"instrument", "music", "band", "concert", "lessons", "practises", "sound", "sings", "plays"},
     {"On which instrument does {who} take lessons?", "Which instrument does {who} practise?",
      "With which instrument does {who} make music?", "Which instrument do you hear when {who} sings a song?"},
     "The instrument of {who} is the {value}."},
    {"month",
     {"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
     {"{who} was born in {value}.", "The birthday of {who} is in {value}.", "{who} has a birthday in {value}.",
      "{who} celebrates in {value}.", "{who} gets a year older in {value}.", "The month when {who} was born is {value}.",
      "The party of {who} is in {value}.", "Friends bring {who} a present in {value}.", "The birth of {who} was in {value}."},
     {"When was {who} born?", "In which month was {who} born?", "When is the birthday of {who}?", "When does {who} celebrate?",
      "In which month does {who} have a birthday?", "Can you tell me when {who} was born?", "When does {who} get a year older?",
      "When is the party of {who}?", "What is the birth month of {who}?", "When do friends bring a present to {who}?",
      "In which month does {who} celebrate the birthday?", "Do you know when {who} gets older?", "Tell me the month when {who} was born.",
      "I want to bring {who} a present. When is the birthday?", "When was the birth of {who}?",
      "Which month is best for the party of {who}?", "What is the month when {who} likes to celebrate?"},
     {"birthday", "month of birth", "birth month", "birthday month", "month of the party"},
     {"when {who} was born", "when {who} celebrates", "in which month {who} was born", "when {who} gets a year older",
      "when the party of {who} is", "when friends bring {who} a present", "in which month {who} has a birthday"},
     {"month", "birthday", "born", "birth", "party", "present", "older", "celebrates"},
     {"In which month was the birth of {who}?", "In which month does {who} get older?", "When do friends bring {who} a present?",
      "What is the month of the birthday of {who}?"},
     "The birthday of {who} is in {value}."},
};

const std::string& pick(plume::Random& random, const Texts& texts) { return texts[random.below(texts.size())]; }

template <class T>
void shuffle(std::vector<T>& values, plume::Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}

std::string replaced(std::string form, std::string_view mark, const std::string& word) {
  if (const auto at = form.find(mark); at != form.npos) form.replace(at, mark.size(), word);
  return form;
}

std::string fill(const std::string& form, const std::string& who, const std::string& value) {
  return replaced(replaced(form, "{who}", who), "{value}", value);
}

// All wordings of the questions in texts and dialogues.
Texts trained_questions(const Relation& relation) {
  Texts all = relation.questions;
  for (const std::string& form : questions_for)
    for (const std::string& noun : relation.nouns) all.push_back(replaced(form, "{noun}", noun));
  for (const std::string& form : questions_about)
    for (const std::string& clause : relation.clauses) all.push_back(replaced(form, "{clause}", clause));
  for (const std::string& form : short_questions)
    for (const std::string& keyword : relation.keywords) all.push_back(replaced(form, "{keyword}", keyword));
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::erase_if(all, [&](const std::string& wording) {
    return std::find(relation.held_out.begin(), relation.held_out.end(), wording) != relation.held_out.end();
  });
  return all;
}

// Who has which value of each relation.
class World {
 public:
  explicit World(plume::Random random) {
    people_ = women;
    people_.insert(people_.end(), men.begin(), men.end());
    for (const Relation& relation : relations) {
      questions_.push_back(trained_questions(relation));
      auto& values = facts_.emplace_back();
      for (std::size_t i = 0; i < people_.size(); ++i) values.push_back(relation.values[i % relation.values.size()]);
      shuffle(values, random);
    }
  }
  // The same values, given to other people.
  World permuted(plume::Random random) const {
    World other = *this;
    for (Texts& values : other.facts_) shuffle(values, random);
    return other;
  }
  std::size_t people() const { return people_.size(); }
  std::size_t count() const { return people_.size() * facts_.size(); }
  std::string tell(const std::string& form, std::size_t relation, std::size_t person) const {
    return fill(form, people_[person], facts_[relation][person]);
  }
  const Texts& questions(std::size_t relation) const { return questions_[relation]; }
  std::string answer(std::size_t relation, std::size_t person) const { return tell(relations[relation].answer, relation, person); }

 private:
  Texts people_;
  std::vector<Texts> questions_;  // [relation]
  std::vector<Texts> facts_;      // [relation][person]
};

// Half of the texts are about some people more often than others, as texts are: the most famous tenth gets nearly half of these. A model
// can learn on the famous how a fact is looked up, and then the facts of the others.
std::size_t someone(const World& world, plume::Random& random) {
  if (random.below(2) == 0) return random.below(world.people());
  const double u = random.uniform();
  return 37 * static_cast<std::size_t>(u * u * u * static_cast<double>(world.people())) % world.people();
}

// The facts of one person. A text does not begin with a name: behind a space it is the same token everywhere.
std::string text_about(const World& world, plume::Random& random) {
  const std::size_t person = someone(world, random);
  std::vector<std::size_t> order(relations.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  shuffle(order, random);
  std::string text;
  for (const std::size_t relation : order) {
    std::string form = pick(random, relations[relation].statements);
    while (text.empty() && form.starts_with("{who}")) form = pick(random, relations[relation].statements);
    text += text.empty() ? "" : " ";
    text += world.tell(form, relation, person);
  }
  return text;
}

// A question, perhaps with something said before or behind it.
std::string asked(const std::string& question, plume::Random& random) {
  std::string text = random.below(3) == 0 ? pick(random, openings) + " " + question : question;
  return random.below(3) == 0 ? text + " " + pick(random, endings) : text;
}

// Questions about one person, each followed by a statement of the same fact: so a model learns what a question is about. Dialogues then
// bring the form of a conversation.
std::string questions_of_visitors(const World& world, plume::Random& random) {
  const std::size_t person = someone(world, random);
  std::string text = "Visitors ask:";
  for (int i = 0; i < 3; ++i) {
    const std::size_t relation = random.below(relations.size());
    text += " " + asked(world.tell(pick(random, world.questions(relation)), relation, person), random);
    text += " " + world.tell(pick(random, relations[relation].statements), relation, person);
  }
  return text;
}

std::string message(const std::string& role, const std::string& content) {
  return "{\"role\": \"" + role + "\", \"content\": \"" + content + "\"}";
}

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw plume::IoError("write", path, errno);
}

std::string texts(const World& world, plume::Random random, std::size_t bytes) {
  std::string all;
  while (all.size() < bytes)
    all += (random.below(4) == 0 ? questions_of_visitors(world, random) : text_about(world, random)) + "\n<|endoftext|>\n";
  return all;
}

// Every fact in 8 wordings, drawn for each, in an order that depends on the seed, one to three questions a dialogue.
std::string dialogues(const World& world, plume::Random random) {
  struct Turn {
    std::size_t relation, person;
    std::string wording;
  };
  std::vector<Turn> turns;
  for (std::size_t relation = 0; relation < relations.size(); ++relation)
    for (std::size_t person = 0; person < world.people(); ++person) {
      Texts wordings = world.questions(relation);
      shuffle(wordings, random);
      for (std::size_t i = 0; i < 8; ++i) turns.push_back({relation, person, wordings[i]});
    }
  shuffle(turns, random);
  std::string all;
  for (std::size_t i = 0; i < turns.size();) {
    std::string messages;
    for (std::uint64_t left = 1 + random.below(3); left > 0 && i < turns.size(); --left, ++i) {
      const auto& [relation, person, wording] = turns[i];
      messages += (messages.empty() ? "" : ", ") + message("user", asked(world.tell(wording, relation, person), random)) + ", " +
                  message("assistant", world.answer(relation, person));
    }
    all += "{\"messages\": [" + messages + "]}\n";
  }
  return all;
}

// As many questions of each relation and wording.
std::string held_out_questions(const World& world, plume::Random random, std::size_t of_each) {
  Texts lines;
  for (std::size_t relation = 0; relation < relations.size(); ++relation)
    for (const std::string& wording : relations[relation].held_out) {
      std::vector<std::size_t> who(world.people());
      for (std::size_t i = 0; i < who.size(); ++i) who[i] = i;
      shuffle(who, random);
      who.resize(std::min(of_each, who.size()));
      for (const std::size_t person : who)
        lines.push_back("{\"relation\": \"" + relations[relation].name + "\", \"question\": \"" + world.tell(wording, relation, person) +
                        "\", \"answer\": \"" + world.answer(relation, person) + "\"}\n");
    }
  shuffle(lines, random);
  std::string all;
  for (const std::string& line : lines) all += line;
  return all;
}

int main(int argc, char** argv) {
  example::Flags flags("little_world",
                       "Writes texts and dialogues about a made-up little world: train.txt, validation.txt, chats.jsonl, held_out.jsonl.");
  const auto& out = flags.text("--out DIR", example::required, "folder to write to; made if absent");
  const auto& megabytes = flags.number("--megabytes X", 3.0, "size of train.txt", {.min = 0.01, .max = 10'000});
  const auto& held_out = flags.number("--held-out N", 25, "held-out questions of each wording; there are four wordings of each relation",
                                      {.min = 1, .max = 170});
  const auto& permute = flags.toggle("--permute-answers", "a control: texts and dialogues give each person the values of another");
  const auto& seed = flags.seed();
  const auto& json = flags.json();
  const auto& quiet = flags.quiet();
  return flags.run(argc, argv, [&] {
    const World world({.seed = seed}), told = permute ? world.permuted({.seed = seed, .stream = 1}) : world;
    std::error_code failure;
    std::filesystem::create_directories(out, failure);
    if (failure) throw plume::IoError("make the folder", out, failure.value());
    write(out + "/train.txt", texts(told, {.seed = seed, .stream = 2}, static_cast<std::size_t>(megabytes * 1e6)));
    write(out + "/validation.txt", texts(told, {.seed = seed, .stream = 3}, static_cast<std::size_t>(megabytes * 1e4)));
    write(out + "/chats.jsonl", dialogues(told, {.seed = seed, .stream = 4}));
    const std::string questions = held_out_questions(world, {.seed = seed, .stream = 5}, static_cast<std::size_t>(held_out));
    write(out + "/held_out.jsonl", questions);
    const auto asked = static_cast<std::size_t>(std::count(questions.begin(), questions.end(), '\n'));
    if (json) std::printf("{\"facts\": %zu, \"held_out\": %zu}\n", world.count(), asked);
    if (!json && !quiet) std::printf("%s: %zu facts, %zu questions held out\n", out.c_str(), world.count(), asked);
  });
}
