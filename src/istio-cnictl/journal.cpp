#include "istio-cnictl/journal.hpp"

#include <systemd/sd-journal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "base/strings.hpp"

namespace istio_cnictl {
namespace {

using base::cat;
using base::Error;

constexpr std::array<const char*, 12> wanted_fields{
    "POD_NAMESPACE", "POD_NAME",       "POD_UID",         "CONTAINER_ID",
    "NETNS",         "CNI_COMMAND",    "DECISION",        "BACKEND",
    "ERROR_CODE",    "BACKEND_REASON", "ISTIO_CNI_READY", "ISTIO_CNI_IN_LIST"};
constexpr std::size_t field_limit = 8192;

struct Closer {
  void operator()(sd_journal* journal) const { ::sd_journal_close(journal); }
};
using Handle = std::unique_ptr<sd_journal, Closer>;

std::string field_of(sd_journal* journal, const char* name) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (::sd_journal_get_data(journal, name, &data, &size) < 0) return {};
  std::string_view text(static_cast<const char*>(data), size);
  text.remove_prefix(std::min(text.size(), std::string_view(name).size() + 1));
  return std::string(text.substr(0, field_limit));
}

JournalEntry entry_of(sd_journal* journal) {
  JournalEntry entry;
  std::uint64_t micros = 0;
  if (::sd_journal_get_realtime_usec(journal, &micros) >= 0)
    entry.at = std::chrono::system_clock::time_point(
        std::chrono::microseconds(static_cast<std::int64_t>(micros)));
  entry.identifier = field_of(journal, "SYSLOG_IDENTIFIER");
  entry.message = field_of(journal, "MESSAGE");
  if (auto level = base::parse_unsigned(field_of(journal, "PRIORITY"), 7))
    entry.priority = static_cast<int>(*level);
  for (const char* name : wanted_fields)
    if (auto value = field_of(journal, name); !value.empty())
      entry.fields.emplace(name, std::move(value));
  return entry;
}

/// A query: terms joined by OR, each of matches that all hold.
using Matches = std::vector<std::string>;

class SystemJournal final : public Journal {
 public:
  explicit SystemJournal(std::string dir) : dir_(std::move(dir)) {}

  base::Result<std::vector<JournalEntry>> of_pod(const std::string& name_space,
                                                 const std::string& name, const std::string& uid,
                                                 const std::string& container_id,
                                                 std::size_t most) override {
    std::vector<Matches> terms{{cat("POD_NAMESPACE=", name_space), cat("POD_NAME=", name)}};
    if (!uid.empty()) terms.push_back({cat("POD_UID=", uid)});
    if (!container_id.empty()) terms.push_back({cat("CONTAINER_ID=", container_id)});
    return query(terms, most);
  }

  base::Result<std::vector<JournalEntry>> adds(std::size_t most) override {
    return query({{"SYSLOG_IDENTIFIER=istio-cni", "CNI_COMMAND=ADD"}}, most);
  }

  base::Result<std::vector<JournalEntry>> readiness(std::size_t most) override {
    return query({{"ISTIO_CNI_READY=0", "ISTIO_CNI_READY=1"}}, most);
  }

  base::Result<std::vector<JournalEntry>> all(std::size_t most) override {
    return query({{"SYSLOG_IDENTIFIER=istio-cni", "SYSLOG_IDENTIFIER=istio-cni-node"},
                  {"_SYSTEMD_UNIT=istio-cni-node.service"},
                  {"UNIT=istio-cni-node.service"}},
                 most);
  }

 private:
  [[nodiscard]] base::Result<Handle> open() const {
    sd_journal* raw = nullptr;
    const int status = dir_.empty() ? ::sd_journal_open(&raw, SD_JOURNAL_LOCAL_ONLY)
                                    : ::sd_journal_open_directory(&raw, dir_.c_str(), 0);
    if (status < 0) return base::system_error(cat("open the journal ", dir_), -status);
    return Handle(raw);
  }

  [[nodiscard]] base::Result<std::vector<JournalEntry>> query(const std::vector<Matches>& terms,
                                                              std::size_t most) const {
    auto opened = open();
    if (!opened) return std::move(opened).error();
    auto* journal = opened->get();
    (void)::sd_journal_set_data_threshold(journal, field_limit + 64);
    int status = 0;
    for (const auto& term : terms) {
      for (const auto& match : term)
        if (status >= 0) status = ::sd_journal_add_match(journal, match.data(), match.size());
      if (status >= 0) status = ::sd_journal_add_match(journal, "_UID=0", 0);
      if (status >= 0) status = ::sd_journal_add_disjunction(journal);
    }
    if (status >= 0) status = ::sd_journal_seek_tail(journal);
    std::vector<JournalEntry> entries;
    while (status >= 0 && entries.size() < most) {
      status = ::sd_journal_previous(journal);
      if (status <= 0) break;
      entries.push_back(entry_of(journal));
    }
    if (status < 0) return base::system_error(cat("read the journal ", dir_), -status);
    if (entries.empty() && dir_.empty() && !readable(journal))
      return Error{base::Errc::refused, "there is no journal that this user may read"};
    std::reverse(entries.begin(), entries.end());
    return entries;
  }

  /// Nothing found, or nothing to look into?
  static bool readable(sd_journal* journal) {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    return ::sd_journal_get_cutoff_realtime_usec(journal, &from, &to) > 0;
  }

  std::string dir_;
};

}  // namespace

std::unique_ptr<Journal> make_journal(std::string dir) {
  return std::make_unique<SystemJournal>(std::move(dir));
}

}  // namespace istio_cnictl
