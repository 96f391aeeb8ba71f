#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/file.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "repair/find_netns.hpp"

namespace repair {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t max_files = 8192;

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string text_of(const Json& object, const char* key) {
  const auto* value = member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

void take_argument(CachedResult& result, std::string_view key, std::string value) {
  if (key == "K8S_POD_UID")
    result.pod_uid = std::move(value);
  else if (key == "K8S_POD_NAMESPACE")
    result.pod_namespace = std::move(value);
  else if (key == "K8S_POD_NAME")
    result.pod_name = std::move(value);
}

/// "10.9.0.2/24", "10.9.0.2".
void take_address(CachedResult& result, std::string_view text) {
  if (auto ip = redirect::Ip::parse(text.substr(0, text.find('/')))) result.ips.push_back(*ip);
}

/// Result of CNI 0.3 and later ("ips"), or before ("ip4", "ip6").
void take_addresses(CachedResult& result, const Json& json) {
  if (const auto* ips = member(json, "ips"); ips != nullptr && ips->is_array())
    for (const auto& one : *ips) take_address(result, text_of(one, "address"));
  for (const char* family : {"ip4", "ip6"})
    if (const auto* one = member(json, family)) take_address(result, text_of(*one, "ip"));
}

}  // namespace

base::Result<CachedResult> parse_cached_result(std::string_view json, std::string_view name) {
  auto parsed = base::parse_json(json, name);
  if (!parsed) return std::move(parsed).error();
  CachedResult result;
  try {
    result.netns = text_of(*parsed, "netns");
    if (const auto* args = member(*parsed, "cniArgs"); args != nullptr && args->is_array())
      for (const auto& pair : *args)
        if (pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string())
          take_argument(result, pair[0].get_ref<const std::string&>(), pair[1].get<std::string>());
    // the oldest form is the result itself
    const auto* inner = member(*parsed, "result");
    take_addresses(result, inner != nullptr ? *inner : *parsed);
  } catch (const std::exception& error) {
    return base::Error{base::Errc::invalid_input,
                       base::cat(name, ": ", std::string_view(error.what()))};
  }
  return result;
}

bool speaks_of(const CachedResult& result, const pod::Pod& pod,
               const std::vector<redirect::Ip>& ips) {
  if (!result.pod_uid.empty()) return result.pod_uid == pod.uid;
  if (!result.pod_name.empty() &&
      (result.pod_name != pod.name || result.pod_namespace != pod.name_space))
    return false;
  return std::any_of(ips.begin(), ips.end(), [&](const redirect::Ip& ip) {
    return std::find(result.ips.begin(), result.ips.end(), ip) != result.ips.end();
  });
}

std::vector<std::string> cached_netns_paths(const std::string& folder, const pod::Pod& pod,
                                            const std::vector<redirect::Ip>& ips) {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  std::error_code error;
  std::size_t files = 0;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (++files > max_files) break;
    auto text = base::read_file(entry->path().string());
    if (!text) continue;
    auto result = parse_cached_result(*text, entry->path().string());
    if (!result || result->netns.empty() || !speaks_of(*result, pod, ips)) continue;
    std::error_code unknown;
    const auto time = entry->last_write_time(unknown);
    found.emplace_back(unknown ? fs::file_time_type{} : time, std::move(result->netns));
  }
  std::sort(found.begin(), found.end(), std::greater<>());
  std::vector<std::string> paths;
  for (auto& [time, path] : found)
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(std::move(path));
  return paths;
}

}  // namespace repair
