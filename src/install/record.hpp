// What was installed where, kept in the state folder, so that removal undoes
// exactly that.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace install {

/// Tells one state of a file from another without reading it.
struct Identity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = -1;
  mode_t mode = 0;
  timespec modified{};
  timespec changed{};

  bool operator==(const Identity& other) const;
};
Identity identity_of(const struct stat& info);
/// Links followed; nullopt where there is no such file.
std::optional<Identity> identity_at(const std::string& path);

/// Files of one configuration folder, by name.
struct Place {
  std::string conf_dir;
  std::vector<std::string> edited;  ///< files of others that got our entry
  std::vector<std::string> own;     ///< files that we made

  bool operator==(const Place&) const = default;
};

/// A plugin binary that we copied. It is ours as long as its fingerprint is one
/// of these: two while an upgrade is under way.
struct Binary {
  std::string path;
  std::vector<std::string> fingerprints;

  bool operator==(const Binary&) const = default;
};

struct Record {
  std::string chosen_by;  ///< the settings that led to `target`
  std::string target;     ///< the file the present installation is in, "" for none
  std::vector<Place> places;
  std::vector<std::string> kubeconfigs;
  std::vector<Binary> binaries;
  std::vector<std::string> created_dirs;  ///< parents first

  bool operator==(const Record&) const = default;

  /// Added when missing.
  Place& place(const std::string& conf_dir);
  [[nodiscard]] const Place* find_place(const std::string& conf_dir) const;
  [[nodiscard]] const Binary* find_binary(const std::string& path) const;
  /// The one of `kept` stays: it is looked at before a plugin is removed.
  void drop_empty_places(const std::string& kept);
};

std::string to_json(const Record& record);
/// Errc::invalid_input when it is damaged, or names a file outside its folder.
base::Result<Record> parse_record(std::string_view text);

bool contains(const std::vector<std::string>& list, std::string_view name);
void add_once(std::vector<std::string>& list, std::string_view name);

/// The state folder: record.json, and "last-good.FILE", the content that our
/// target had after the last pass that found it right.
class Store {
 public:
  explicit Store(std::string state_dir);

  enum class Found { missing, good, damaged };
  /// Reads the record unless it is the one that is known already. `damage` says
  /// what is wrong with a damaged one. Errors: it cannot be read.
  base::Result<Found> load(std::string& damage);
  [[nodiscard]] const Record& record() const { return record_; }

  /// Writes it unless it is what the file holds.
  base::Status save(Record record);
  /// The record and all copies; the record last.
  base::Status remove();

  [[nodiscard]] const std::optional<std::string>& last_good(const std::string& file);
  /// Keeps this as the one copy.
  base::Status keep_last_good(const std::string& file, const std::string& content);
  base::Status forget_last_good();

 private:
  [[nodiscard]] std::string path(std::string_view name) const;
  base::Status forget_all_but(const std::string& file);

  std::string dir_;
  Record record_;
  std::optional<std::string> saved_;  ///< the text in the file
  std::optional<Identity> identity_;
  std::map<std::string, std::optional<std::string>> last_good_;
  bool swept_ = false;  ///< left-over copies were looked for
};

/// Size and a checksum (FNV-1a, 64 bits) of a file: tells our copy from that of
/// another agent, which is an accident and not an attack. Drops the pages it
/// read. A file of a size that none of `known` has is not read (another agent's may have
/// 100 MB), and its fingerprint is then equal to no other. Errc::not_found when there is none.
base::Result<std::string> fingerprint(const std::string& path,
                                      const std::vector<std::string>& known = {});

/// Folders of `path`, parents first, that are missing; at most `levels`.
/// Errc::not_found when more are.
base::Result<std::vector<std::string>> missing_folders(const std::string& path, int levels);
base::Status make_folder(const std::string& path, mode_t mode);

}  // namespace install
