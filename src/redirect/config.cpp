#include "redirect/config.hpp"

#include "base/strings.hpp"

namespace redirect {
namespace {

template <typename T>
base::Result<std::vector<T>> parse_list(std::string_view text, bool trim_elements) {
  std::vector<T> items;
  if (text.empty()) return items;
  for (auto part : base::split(text, ',')) {
    auto item = T::parse(trim_elements ? base::trim(part) : part);
    if (!item) return item.error();
    items.push_back(*std::move(item));
  }
  return items;
}

template <typename T>
base::Result<Selection<T>> select(std::string_view text,
                                  base::Result<std::vector<T>> (*parse)(std::string_view)) {
  if (text == "*") return Selection<T>{true, {}};
  auto items = parse(text);
  if (!items) return items.error();
  return Selection<T>{false, *std::move(items)};
}

}  // namespace

base::Result<std::vector<Port>> parse_ports(std::string_view text) {
  return parse_list<Port>(base::trim(text), true);
}
base::Result<Selection<Port>> parse_port_selection(std::string_view text) {
  return select<Port>(base::trim(text), parse_ports);
}
base::Result<std::vector<Cidr>> parse_cidrs(std::string_view text) {
  return parse_list<Cidr>(text, false);
}
base::Result<Selection<Cidr>> parse_cidr_selection(std::string_view text) {
  return select<Cidr>(text, parse_cidrs);
}
base::Result<std::vector<IfName>> parse_interfaces(std::string_view text) {
  return parse_list<IfName>(text, true);
}
base::Result<std::vector<Owner>> parse_owners(std::string_view text) {
  return parse_list<Owner>(text, true);
}
base::Result<Selection<Owner>> parse_owner_selection(std::string_view text) {
  return select<Owner>(text, parse_owners);
}

void set_dns_servers(Config& config, std::string_view resolv_conf) {
  for (auto line : base::split(resolv_conf, '\n')) {
    line = base::trim(line);
    constexpr std::string_view keyword = "nameserver";
    if (!line.starts_with(keyword)) continue;
    auto text = base::trim(line.substr(keyword.size()));
    text = text.substr(0, text.find_first_of(" \t"));
    auto ip = Ip::parse(text);
    if (!ip) continue;
    auto& servers = ip->family == Family::v4 ? config.dns_servers_v4 : config.dns_servers_v6;
    servers.push_back(DnsServer{*ip, std::string(text)});
  }
}

}  // namespace redirect
