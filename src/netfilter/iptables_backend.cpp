// The legacy iptables backend: reads a table, works out what it should hold,
// and swaps it in one call if that differs.
#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "base/strings.hpp"
#include "netfilter/backend.hpp"
#include "netfilter/xtables_rule.hpp"
#include "netfilter/xtables_socket.hpp"
#include "netfilter/xtables_table.hpp"

namespace netfilter {
namespace {

using base::Errc;
using base::Error;
using redirect::Family;
using redirect::Ruleset;
using redirect::Table;

constexpr std::array<Table, 3> used_tables = {Table::mangle, Table::nat, Table::raw};
constexpr std::array<Family, 2> all_families = {Family::v4, Family::v6};
constexpr std::string_view our_prefix = "ISTIO_";
/// Against another writer of the same table; each of its commits costs us one.
constexpr int max_attempts = 10;

bool is_ours(std::string_view chain) { return chain.starts_with(our_prefix); }

/// "nat" or "ipv6 nat"; IPv4 goes without saying.
std::string table_label(Family family, Table table) {
  return base::cat(family == Family::v6 ? "ipv6 " : "", redirect::iptables_name(table));
}

struct ExpectedRule {
  XtRule rule;
  bool insert = false;  ///< goes before the rules of others
};

struct ExpectedChain {
  std::string name;
  bool builtin = false;
  std::vector<ExpectedRule> rules;
};

using ExpectedTable = std::vector<ExpectedChain>;

base::Result<ExpectedTable> expected_table(const Ruleset& ruleset, Table table, Family family) {
  ExpectedTable out;
  for (const redirect::ChainRules& chain : redirect::resolve(ruleset, table, family)) {
    ExpectedChain expected;
    expected.name = redirect::iptables_name(chain.chain);
    expected.builtin = redirect::is_builtin(chain.chain);
    bool front = true;  // an insert that lands behind an appended rule counts as appended
    for (const redirect::Rule* rule : chain.rules) {
      auto encoded = encode_rule(*rule, family);
      if (!encoded) {
        return std::move(encoded).error().wrap(base::cat(
            table_label(family, table), " ", expected.name, " rule ", expected.rules.size() + 1));
      }
      front = front && rule->insert_at.has_value();
      expected.rules.push_back({std::move(*encoded), front});
    }
    out.push_back(std::move(expected));
  }
  return out;
}

const ExpectedChain* find_chain(const ExpectedTable& table, std::string_view name) {
  auto it = std::find_if(table.begin(), table.end(),
                         [&](const ExpectedChain& chain) { return chain.name == name; });
  return it == table.end() ? nullptr : &*it;
}

/// A rule in a built-in chain is ours when it jumps to one of our chains or when
/// we would write the very same one. `known` may be nullptr.
bool is_our_rule(const XtRule& rule, const ExpectedChain* known, Family family) {
  if (rule.flow == XtRule::Flow::jump && is_ours(rule.chain)) return true;
  return known != nullptr &&
         std::any_of(known->rules.begin(), known->rules.end(), [&](const ExpectedRule& expected) {
           return same_rule(expected.rule, rule, family);
         });
}

/// Takes all that is ours out of `table`. Jumps from the chains of others to one
/// of our chains stay only if `keep` has that chain.
void strip(XtTable& table, const ExpectedTable& known, const ExpectedTable& keep) {
  std::erase_if(table.chains(), [](const XtChain& chain) { return is_ours(chain.name); });
  for (XtChain& chain : table.chains()) {
    const ExpectedChain* expected = chain.hook ? find_chain(known, chain.name) : nullptr;
    std::erase_if(chain.rules, [&](const XtRule& rule) {
      if (chain.hook) return is_our_rule(rule, expected, table.family());
      return rule.flow == XtRule::Flow::jump && is_ours(rule.chain) &&
             find_chain(keep, rule.chain) == nullptr;
    });
  }
}

base::Status insert(XtTable& table, const ExpectedTable& wanted) {
  for (const ExpectedChain& chain : wanted) {
    if (!chain.builtin) table.add_chain(chain.name);
  }
  for (const ExpectedChain& chain : wanted) {
    XtChain* target = table.find(chain.name);
    if (target == nullptr) {
      return Error{Errc::unsupported, base::cat("table has no chain ", chain.name)};
    }
    std::size_t front = 0;
    for (const ExpectedRule& expected : chain.rules) {
      if (expected.insert) {
        target->rules.insert(target->rules.begin() + static_cast<std::ptrdiff_t>(front++),
                             expected.rule);
      } else {
        target->rules.push_back(expected.rule);
      }
    }
  }
  return base::success();
}

struct Difference {
  std::vector<std::string> lines;
  bool anything_of_ours = false;
};

void compare_chain(Difference& out, const std::string& label, std::vector<const XtRule*> found,
                   const std::vector<ExpectedRule>& wanted, Family family) {
  // Equal heads and tails say nothing; what is left in between differs.
  std::size_t head = 0;
  while (head < found.size() && head < wanted.size() &&
         same_rule(*found[head], wanted[head].rule, family)) {
    ++head;
  }
  std::size_t found_end = found.size();
  std::size_t wanted_end = wanted.size();
  while (found_end > head && wanted_end > head &&
         same_rule(*found[found_end - 1], wanted[wanted_end - 1].rule, family)) {
    --found_end;
    --wanted_end;
  }
  for (std::size_t i = head; i < std::max(found_end, wanted_end); ++i) {
    const std::string where = base::cat(label, " rule ", i + 1, ": ");
    if (i >= found_end) {
      out.lines.push_back(
          base::cat(where, "expected ", describe_rule(wanted[i].rule, family), ", found none"));
    } else if (i >= wanted_end) {
      out.lines.push_back(base::cat(where, "unexpected ", describe_rule(*found[i], family)));
    } else if (!same_rule(*found[i], wanted[i].rule, family)) {
      const std::string expected_text = describe_rule(wanted[i].rule, family);
      const std::string found_text = describe_rule(*found[i], family);
      out.lines.push_back(base::cat(where, "expected ", expected_text, ", found ", found_text,
                                    expected_text == found_text ? " with other details" : ""));
    }
  }
}

/// Our share of `table` against `wanted`. In a built-in chain only the order of
/// our own rules counts, not where others put theirs in between.
Difference compare_table(const XtTable& table, const ExpectedTable& known,
                         const ExpectedTable& wanted, const std::string& label) {
  Difference out;
  const Family family = table.family();
  for (const XtChain& chain : table.chains()) {
    if (!chain.hook && !is_ours(chain.name)) continue;
    const ExpectedChain* expected = find_chain(wanted, chain.name);
    std::vector<const XtRule*> found;
    for (const XtRule& rule : chain.rules) {
      if (!chain.hook || is_our_rule(rule, find_chain(known, chain.name), family)) {
        found.push_back(&rule);
      }
    }
    if (!chain.hook || !found.empty()) out.anything_of_ours = true;
    const std::string chain_label = base::cat(label, " ", chain.name);
    if (!chain.hook && expected == nullptr) {
      out.lines.push_back(base::cat(chain_label, ": unexpected chain"));
      continue;
    }
    static const std::vector<ExpectedRule> none;
    compare_chain(out, chain_label, std::move(found), expected ? expected->rules : none, family);
  }
  for (const ExpectedChain& chain : wanted) {
    if (table.find(chain.name) == nullptr) {
      out.lines.push_back(base::cat(label, " ", chain.name, ": chain is missing"));
    }
  }
  return out;
}

/// One table of one family and what it should hold.
struct Job {
  Family family;
  Table table;
  ExpectedTable known;   ///< by which our rules in built-in chains are recognised
  ExpectedTable wanted;  ///< empty: nothing of ours
  bool exists = false;

  [[nodiscard]] std::string_view name() const { return redirect::iptables_name(table); }
  [[nodiscard]] std::string label() const { return table_label(family, table); }
};

/// All tables of both families, those that neither exist nor are wanted left out.
base::Result<std::vector<Job>> make_jobs(const Ruleset& ruleset, bool want_rules) {
  // Our rules are recognised in IPv6 tables even when none are wanted there.
  Ruleset both = ruleset;
  both.ipv6 = true;
  std::vector<Job> jobs;
  for (Family family : all_families) {
    auto existing = existing_xtables(family);
    if (!existing) return std::move(existing).error();
    const bool wanted = want_rules && (family == Family::v4 || ruleset.ipv6);
    for (Table table : used_tables) {
      Job job{family, table, {}, {}, false};
      job.exists = std::find(existing->begin(), existing->end(), job.name()) != existing->end();
      if (!job.exists && !wanted) continue;
      auto expected = expected_table(both, table, family);
      if (!expected) return std::move(expected).error();
      job.known = std::move(*expected);
      if (wanted) job.wanted = job.known;
      if (job.exists || !job.wanted.empty()) jobs.push_back(std::move(job));
    }
  }
  return jobs;
}

struct Snapshot {
  XtBlob blob;
  XtTable table;
};

void wait_for_other_writer(int attempt) {
  std::this_thread::sleep_for(std::chrono::milliseconds(attempt));
}

/// Reads a table; a change in the middle of it is waited out.
base::Result<Snapshot> read_table(const XtSocket& socket, const Job& job) {
  for (int attempt = 1;; ++attempt) {
    auto blob = socket.read(job.name());
    if (blob) {
      auto table = XtTable::parse(job.family, *blob);
      if (!table) return std::move(table).error().wrap(job.label());
      return Snapshot{std::move(*blob), std::move(*table)};
    }
    if (blob.error().code != Errc::unavailable || attempt == max_attempts) {
      return std::move(blob).error().wrap(job.label());
    }
    wait_for_other_writer(attempt);
  }
}

/// Names the extension that made the kernel refuse the table, if that was it.
Error explain(const XtSocket& socket, const Job& job, Error error) {
  std::set<XtExtensionId> used;
  for (const ExpectedChain& chain : job.wanted) {
    for (const ExpectedRule& expected : chain.rules) {
      for (XtExtensionId& id : extensions_of(expected.rule, job.family)) used.insert(std::move(id));
    }
  }
  for (const XtExtensionId& id : used) {
    auto ok = socket.check(id);
    if (!ok && ok.error().code == Errc::unsupported) return std::move(ok).error();
  }
  return error;
}

/// Makes the table what the job wants; writes nothing if it is so already.
base::Status run(const XtSocket& socket, const Job& job) {
  for (int attempt = 1;; ++attempt) {
    auto snapshot = read_table(socket, job);
    if (!snapshot) return std::move(snapshot).error();
    XtTable& table = snapshot->table;
    if (compare_table(table, job.known, job.wanted, "").lines.empty()) return base::success();
    strip(table, job.known, job.wanted);
    if (auto ok = insert(table, job.wanted); !ok) return std::move(ok).error().wrap(job.label());
    auto image = table.serialise();
    if (!image) return std::move(image).error().wrap(job.label());
    auto done = socket.replace(job.name(), snapshot->blob, *image);
    if (done) return done;
    if (done.error().code != Errc::unavailable || attempt == max_attempts) {
      return explain(socket, job, std::move(done).error()).wrap(job.label());
    }
    wait_for_other_writer(attempt);
  }
}

/// The sockets of one call, opened when first needed.
class Sockets {
 public:
  base::Result<const XtSocket*> get(Family family) {
    auto& slot = sockets_[family == Family::v4 ? 0 : 1];
    if (!slot) {
      auto opened = XtSocket::open(family);
      if (!opened) return std::move(opened).error();
      slot.emplace(std::move(*opened));
    }
    return &*slot;
  }

 private:
  std::array<std::optional<XtSocket>, 2> sockets_;
};

base::Status run_all(const std::vector<Job>& jobs) {
  Sockets sockets;
  // All tables are there, or nothing is written.
  for (const Job& job : jobs) {
    auto socket = sockets.get(job.family);
    if (!socket) return std::move(socket).error();
    if (job.exists) continue;
    if (auto read = read_table(**socket, job); !read) return std::move(read).error();
  }
  for (const Job& job : jobs) {
    auto socket = sockets.get(job.family);
    if (!socket) return std::move(socket).error();
    if (auto ok = run(**socket, job); !ok) return ok;
  }
  return base::success();
}

class IptablesBackend final : public Backend {
 public:
  [[nodiscard]] std::string_view name() const override { return "iptables"; }

  [[nodiscard]] base::Status apply(const Ruleset& ruleset) override {
    return change(ruleset, true, "apply iptables rules");
  }

  [[nodiscard]] base::Status remove(const Ruleset& ruleset) override {
    return change(ruleset, false, "remove iptables rules");
  }

  [[nodiscard]] base::Result<Comparison> compare(const Ruleset& ruleset) override {
    constexpr std::string_view what = "compare iptables rules";
    auto jobs = make_jobs(ruleset, true);
    if (!jobs) return std::move(jobs).error().wrap(what);
    Comparison out;
    out.absent = true;
    Sockets sockets;
    for (const Job& job : *jobs) {
      if (!job.exists) {
        out.differences.push_back(base::cat(job.label(), ": table is missing"));
        continue;
      }
      auto socket = sockets.get(job.family);
      if (!socket) return std::move(socket).error().wrap(what);
      auto snapshot = read_table(**socket, job);
      if (!snapshot) return std::move(snapshot).error().wrap(what);
      Difference found = compare_table(snapshot->table, job.known, job.wanted, job.label());
      if (found.anything_of_ours) out.absent = false;
      std::move(found.lines.begin(), found.lines.end(), std::back_inserter(out.differences));
    }
    return out;
  }

 private:
  static base::Status change(const Ruleset& ruleset, bool want_rules, std::string_view what) {
    auto jobs = make_jobs(ruleset, want_rules);
    if (!jobs) return std::move(jobs).error().wrap(what);
    if (auto ok = run_all(*jobs); !ok) return std::move(ok).error().wrap(what);
    return base::success();
  }
};

}  // namespace

std::unique_ptr<Backend> make_iptables() { return std::make_unique<IptablesBackend>(); }

base::Result<bool> legacy_rules_present() {
  for (Family family : all_families) {
    auto names = existing_xtables(family);
    if (!names) return std::move(names).error();
    if (names->empty()) continue;
    auto socket = XtSocket::open(family);
    if (!socket) return std::move(socket).error();
    for (const std::string& name : *names) {
      auto blob = socket->read(name);
      if (!blob) {
        // It is being changed at this moment: somebody uses it.
        if (blob.error().code == Errc::unavailable) return true;
        return std::move(blob).error().wrap(name);
      }
      // Policies and the closing entry are always there.
      const auto policies = static_cast<std::uint32_t>(std::popcount(blob->valid_hooks));
      if (blob->num_entries > policies + 1) return true;
    }
  }
  return false;
}

base::Status probe_iptables() {
  constexpr std::string_view what = "probe legacy iptables";
  auto socket = XtSocket::open(Family::v4);
  if (!socket) return std::move(socket).error().wrap(what);
  // What every ruleset needs; the table stays, empty, as iptables leaves it too.
  if (auto table = socket->read(redirect::iptables_name(Table::nat)); !table) {
    if (table.error().code != Errc::unavailable) return std::move(table).error().wrap(what);
  }
  if (auto ok = socket->check({"REDIRECT", 0, true, "xt_REDIRECT"}); !ok) {
    return std::move(ok).error().wrap(what);
  }
  if (auto ok = socket->check({"owner", 1, false, "xt_owner"}); !ok) {
    return std::move(ok).error().wrap(what);
  }
  return base::success();
}

}  // namespace netfilter
