#include "install/record.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/atomic_file.hpp"
#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"

namespace install {
namespace {

using base::cat;
using base::Errc;
using base::Error;
using Json = nlohmann::ordered_json;

constexpr std::string_view record_name = "record.json";
constexpr std::string_view last_good_prefix = "last-good.";
constexpr int record_version = 1;

Error damaged(std::string_view problem) {
  return Error{Errc::invalid_input, cat("record of the installation: ", problem)};
}

/// Reads members of one object, and remembers the first that was wrong.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {
    if (!object.is_object()) problem_ = "not an object";
  }

  std::string text(const char* key) {
    const auto* value = find(key);
    if (value == nullptr || !value->is_string()) return fail(key), std::string();
    return value->get<std::string>();
  }
  std::vector<std::string> texts(const char* key) {
    std::vector<std::string> out;
    for (const auto& item : items(key)) {
      if (!item.is_string()) return fail(key), out;
      out.push_back(item.get<std::string>());
    }
    return out;
  }
  std::vector<std::string> file_names(const char* key) {
    auto names = texts(key);
    for (const auto& name : names)
      if (name.empty() || name.find('/') != std::string::npos) fail(key);
    return names;
  }
  const Json& items(const char* key) {
    static const Json none = Json::array();
    const auto* value = find(key);
    if (value == nullptr || !value->is_array()) return fail(key), none;
    return *value;
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  const Json* find(const char* key) {
    if (!object_.is_object()) return nullptr;
    const auto at = object_.find(key);
    return at == object_.end() ? nullptr : &*at;
  }
  void fail(const char* key) {
    if (problem_.empty()) problem_ = cat("unexpected ", key);
  }

  const Json& object_;
  std::string problem_;
};

std::string hex(std::uint64_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out(16, '0');
  for (auto at = out.rbegin(); at != out.rend(); ++at, value >>= 4) *at = digits[value & 15];
  return out;
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

bool Identity::operator==(const Identity& other) const {
  return device == other.device && inode == other.inode && size == other.size &&
         mode == other.mode && same_time(modified, other.modified) &&
         same_time(changed, other.changed);
}

Identity identity_of(const struct stat& info) {
  return Identity{info.st_dev, info.st_ino, info.st_size, info.st_mode, info.st_mtim, info.st_ctim};
}

std::optional<Identity> identity_at(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return identity_of(info);
}

bool contains(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

void add_once(std::vector<std::string>& list, std::string_view name) {
  if (!contains(list, name)) list.emplace_back(name);
}

Place& Record::place(const std::string& conf_dir) {
  for (auto& place : places)
    if (place.conf_dir == conf_dir) return place;
  return places.emplace_back(Place{conf_dir, {}, {}});
}

const Place* Record::find_place(const std::string& conf_dir) const {
  for (const auto& place : places)
    if (place.conf_dir == conf_dir) return &place;
  return nullptr;
}

const Binary* Record::find_binary(const std::string& path) const {
  for (const auto& binary : binaries)
    if (binary.path == path) return &binary;
  return nullptr;
}

void Record::drop_empty_places(const std::string& kept) {
  std::erase_if(places, [&kept](const Place& place) {
    return place.conf_dir != kept && place.edited.empty() && place.own.empty();
  });
}

std::string to_json(const Record& record) {
  Json json = Json::object();
  json["version"] = record_version;
  json["chosenBy"] = record.chosen_by;
  json["target"] = record.target;
  json["places"] = Json::array();
  for (const auto& place : record.places) {
    Json item = Json::object();
    item["confDir"] = place.conf_dir;
    item["edited"] = place.edited;
    item["own"] = place.own;
    json["places"].push_back(std::move(item));
  }
  json["kubeconfigs"] = record.kubeconfigs;
  json["binaries"] = Json::array();
  for (const auto& binary : record.binaries) {
    Json item = Json::object();
    item["path"] = binary.path;
    item["fingerprints"] = binary.fingerprints;
    json["binaries"].push_back(std::move(item));
  }
  json["createdDirs"] = record.created_dirs;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

base::Result<Record> parse_record(std::string_view text) {
  auto json = base::parse_json(text, "record of the installation");
  if (!json) return std::move(json).error();
  Reader top(*json);
  if (!top.problem().empty()) return damaged(top.problem());
  const auto version = json->find("version");
  if (version == json->end() || *version != record_version)
    return damaged("not of a version that is known here");
  Record record;
  record.chosen_by = top.text("chosenBy");
  record.target = top.text("target");
  record.kubeconfigs = top.texts("kubeconfigs");
  record.created_dirs = top.texts("createdDirs");
  for (const auto& item : top.items("places")) {
    Reader reader(item);
    record.places.push_back(
        {reader.text("confDir"), reader.file_names("edited"), reader.file_names("own")});
    if (!reader.problem().empty()) return damaged(cat("a place: ", reader.problem()));
  }
  for (const auto& item : top.items("binaries")) {
    Reader reader(item);
    record.binaries.push_back({reader.text("path"), reader.texts("fingerprints")});
    if (!reader.problem().empty()) return damaged(cat("a binary: ", reader.problem()));
  }
  if (!top.problem().empty()) return damaged(top.problem());
  return record;
}

Store::Store(std::string state_dir) : dir_(std::move(state_dir)) {}

std::string Store::path(std::string_view name) const { return cat(dir_, "/", name); }

base::Result<Store::Found> Store::load(std::string& damage) {
  const auto file = path(record_name);
  const auto identity = identity_at(file);
  if (identity && identity == identity_) return Found::good;
  auto text = base::read_file(file);
  if (!text && text.error().code == Errc::not_found) {
    // what is known from before is true still: it is to be written again
    identity_.reset();
    saved_.reset();
    return Found::missing;
  }
  if (!text && text.error().code != Errc::invalid_input) return std::move(text).error();
  auto record = text ? parse_record(*text) : base::Result<Record>(text.error());
  if (!record) {
    damage = record.error().message;
    identity_.reset();
    saved_.reset();
    return Found::damaged;
  }
  record_ = std::move(*record);
  saved_ = std::move(*text);
  identity_ = identity;
  return Found::good;
}

base::Status Store::save(Record record) {
  if (saved_ && record == record_) return base::success();
  auto text = to_json(record);
  if (saved_ != text) {
    if (auto missing = missing_folders(dir_, 2); missing) {
      for (const auto& folder : *missing)
        if (auto status = make_folder(folder, 0700); !status) return status;
    } else {
      return std::move(missing).error();
    }
    auto written = base::write_atomically(path(record_name), text, {0600, true});
    if (!written) return std::move(written).error().wrap("record of the installation");
    identity_ = identity_at(path(record_name));
    saved_ = std::move(text);
  }
  record_ = std::move(record);
  return base::success();
}

base::Status Store::remove() {
  if (auto status = forget_last_good(); !status) return status;
  auto removed = base::remove_file(path(record_name));
  if (!removed) return std::move(removed).error();
  record_ = {};
  saved_.reset();
  identity_.reset();
  return base::success();
}

const std::optional<std::string>& Store::last_good(const std::string& file) {
  auto at = last_good_.find(file);
  if (at == last_good_.end()) {
    auto text = base::read_file(path(cat(last_good_prefix, file)));
    at = last_good_.emplace(file, text ? std::optional(std::move(*text)) : std::nullopt).first;
  }
  return at->second;
}

base::Status Store::keep_last_good(const std::string& file, const std::string& content) {
  if (auto status = forget_all_but(file); !status) return status;
  if (last_good(file) == content) return base::success();
  auto written = base::write_atomically(path(cat(last_good_prefix, file)), content, {0600, true});
  if (!written) return std::move(written).error();
  last_good_[file] = content;
  return base::success();
}

base::Status Store::forget_last_good() {
  swept_ = false;
  return forget_all_but("");
}

base::Status Store::forget_all_but(const std::string& file) {
  const bool others = std::any_of(last_good_.begin(), last_good_.end(), [&file](const auto& known) {
    return known.first != file && known.second.has_value();
  });
  if (swept_ && !others) return base::success();
  std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(dir_.c_str()), ::closedir);
  std::vector<std::string> left_over;
  const auto kept = cat(last_good_prefix, file);
  while (folder != nullptr) {
    const auto* entry = ::readdir(folder.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name.starts_with(last_good_prefix) && name != kept) left_over.emplace_back(name);
  }
  for (const auto& name : left_over)
    if (auto removed = base::remove_file(path(name)); !removed) return std::move(removed).error();
  std::erase_if(last_good_, [&file](const auto& known) { return known.first != file; });
  swept_ = true;
  return base::success();
}

base::Result<std::string> fingerprint(const std::string& path,
                                      const std::vector<std::string>& known) {
  base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    auto error = base::system_error(cat("open ", path), errno);
    if (error.sys == ENOENT || error.sys == ENOTDIR) error.code = Errc::not_found;
    return error;
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return base::system_error(cat("examine ", path), errno);
  if (!S_ISREG(info.st_mode))
    return Error{Errc::invalid_input, cat(path, " is not a regular file; move it away")};
  const auto sized = cat(info.st_size, "-");
  if (!known.empty() && std::none_of(known.begin(), known.end(), [&](const std::string& one) {
        return one.starts_with(sized);
      }))
    return sized;
  std::uint64_t hash = 0xcbf29ce484222325;
  std::uint64_t size = 0;
  std::vector<unsigned char> buffer(std::size_t{64} * 1024);
  for (;;) {
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::system_error(cat("read ", path), errno);
    if (got == 0) break;
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i)
      hash = (hash ^ buffer[i]) * 0x100000001b3;
    size += static_cast<std::uint64_t>(got);
  }
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  return cat(size, "-", hex(hash));
}

base::Result<std::vector<std::string>> missing_folders(const std::string& path, int levels) {
  std::vector<std::string> missing;
  std::string current = path;
  while (current.size() > 1 && current.ends_with('/')) current.pop_back();
  struct stat info {};
  while (::stat(current.c_str(), &info) != 0) {
    if (errno != ENOENT) return base::system_error(cat("examine ", current), errno);
    const auto slash = current.rfind('/');
    if (static_cast<int>(missing.size()) == levels || slash == std::string::npos || slash == 0)
      return Error{Errc::not_found, cat("the folder ", path,
                                        " does not exist, nor does the one above it; create it, or "
                                        "configure another")};
    missing.insert(missing.begin(), current);
    current.erase(slash);
  }
  if (!S_ISDIR(info.st_mode))
    return Error{Errc::invalid_input, cat(current, " is not a folder; configure another path")};
  return missing;
}

base::Status make_folder(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0)
    return errno == EEXIST
               ? base::success()
               : base::Status(base::system_error(cat("create the folder ", path), errno));
  // whatever the umask is
  if (::chmod(path.c_str(), mode) != 0)
    return base::system_error(cat("set the mode of ", path), errno);
  return base::success();
}

}  // namespace install
