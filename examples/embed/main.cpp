// plume inside a program: a model answers in a worker thread and can be cancelled; then a block of our own is trained.
//
//   embed path/to/model "Once upon a time"
#include <atomic>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <thread>

#include "own_block.hpp"

// Runs a model in a worker thread, shows the text as it is written, and cancels the answer once `enough` bytes of it were shown.
static void answer(const plume::Model& model, const std::string& prompt, std::size_t enough) {
  plume::StopSource cancel;
  plume::Generated result;
  std::exception_ptr failure;
  std::atomic<std::size_t> shown = 0;
  std::atomic<bool> done = false;
  std::thread worker([&] {
    try {
      result = plume::generate(model, prompt, {.max_tokens = 10000, .sampling = {.seed = 1}, .cancel = cancel.token()},
                               [&](std::string_view piece) {
                                 std::cout << piece << std::flush;
                                 shown += piece.size();
                               });
    } catch (...) {
      failure = std::current_exception();  // nothing of plume ends the program: errors are exceptions
    }
    done = true;
  });
  while (!done && shown < enough) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  cancel.request();  // takes effect within a layer
  worker.join();
  if (failure) std::rethrow_exception(failure);
  std::cout << "\n[" << result.ids.size() << " tokens, ended by " << plume::name_of(result.finish_reason) << "]\n";
}

// Trains the model of own_block.hpp to say a sentence, and lets it say it.
static void train_own_block() {
  const std::string sentence = "a block of your own trains like any other. ";
  const plume::Tokenizer bytes = plume::byte_tokenizer();
  const std::vector<plume::TokenId> text = bytes.encode(sentence + sentence + sentence);
  const std::span inputs(text.begin(), text.end() - 1), targets(text.begin() + 1, text.end());

  ByteModel model = ByteModel::described(32, 2);
  plume::initialise(model, /*seed=*/1);
  plume::AdamW optimizer(model, {.learning_rate = 5e-3});
  for (int step = 0; step <= 150; ++step) {
    plume::Tape tape;
    const plume::Tensor loss = model.loss(inputs, targets);
    optimizer.step(tape.backward(loss));
    if (step % 50 == 0) std::cout << "step " << step << "  loss " << loss.item() << "\n";
  }

  std::vector<plume::TokenId> said = bytes.encode("a block");
  while (said.size() < sentence.size()) {
    plume::Pass pass;
    const plume::Tensor hidden = model.hidden(said, pass);
    const plume::Tensor logits = plume::linear(hidden.rows(hidden.rows() - 1, hidden.rows()), model.embedding.weight);
    said.push_back(plume::Sampler({.temperature = 0}).sample(logits.span<float>(), said));
  }
  std::cout << bytes.decode(said) << "\n";
}

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: embed MODEL PROMPT\n";
    return 2;
  }
  const plume::Model model = plume::load(argv[1]);
  answer(model, argv[2], 100);
  train_own_block();
} catch (const plume::Error& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
