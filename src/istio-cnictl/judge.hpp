// Finds the verdict: the first case that holds, in the order in which they hide
// each other. Internal to verdict*.cpp, which have the cases.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "istio-cnictl/verdict.hpp"

namespace istio_cnictl {

class Judge {
 public:
  explicit Judge(const Facts& facts) : facts_(facts), adds_(adds_of(facts)) {}
  Verdict run();

 private:
  // --- verdict.cpp: the order, and pods that need no rules or cannot be judged
  void decide();
  void decide_without_pod();
  void decide_skipped();

  // --- verdict_start.cpp: pods that do not start
  void decide_failed(const Add& add);
  void decide_not_started();

  // --- verdict_traffic.cpp: pods that run, and whether traffic is redirected
  [[nodiscard]] bool is_repeated() const;
  void decide_repeated();
  void decide_by_rules(const LiveState& state);
  void decide_race();
  void decide_by_probe();
  void decide_not_arrived(const ProbeResult& result);
  void decide_unseen();
  void tell_broken_rules(Finding finding, std::string sentence);
  void tell_prospect();

  // --- the facts, as the cases ask for them
  [[nodiscard]] const pod::Pod& pod() const { return facts_.pod->pod; }
  [[nodiscard]] const Add* last_add() const { return adds_.empty() ? nullptr : &adds_.back(); }
  [[nodiscard]] bool redirected_once() const;
  /// A container of it has run.
  [[nodiscard]] bool started() const;
  /// The agent's, of this very pod; null: there is none.
  [[nodiscard]] const agent::PodEntry* entry() const;
  [[nodiscard]] std::string held_reason() const {
    return entry() == nullptr ? std::string() : entry()->held_reason;
  }
  [[nodiscard]] const LiveState* live() const {
    return facts_.live && *facts_.live ? &**facts_.live : nullptr;
  }
  /// Why the plugin would not run for the next pod; "" when it would.
  [[nodiscard]] std::string not_installed_now() const;
  /// Deletions of pods of this name, as Events tell.
  [[nodiscard]] std::size_t deletions() const;
  /// What was done about it: as the agent says, or the disk when it does not answer.
  [[nodiscard]] std::optional<agent::PodEntry::Repair> deed() const;
  [[nodiscard]] bool owner_is_blocked() const;

  // --- the words
  void say(Finding finding, std::string sentence, std::vector<std::string> next = {});
  void add_agent_command();
  [[nodiscard]] std::string kubectl(std::string_view verb_and_kind,
                                    std::string_view flags = {}) const;
  [[nodiscard]] std::string ours(std::string_view command) const;

  const Facts& facts_;
  std::vector<Add> adds_;
  Verdict verdict_;
};

/// Is `text` one of these?
bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words);

}  // namespace istio_cnictl
