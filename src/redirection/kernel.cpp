#include "netns/routes.hpp"
#include "redirection/program.hpp"

namespace redirection {
namespace {

class RealKernel final : public Kernel {
 public:
  base::Result<bool> legacy_rules_present() override { return netfilter::legacy_rules_present(); }
  base::Status probe_nftables() override { return netfilter::probe_nftables(); }
  netfilter::Backend& nftables() override {
    if (!nftables_) nftables_ = netfilter::make_nftables();
    return *nftables_;
  }
  netfilter::Backend& iptables() override {
    if (!iptables_) iptables_ = netfilter::make_iptables();
    return *iptables_;
  }
  base::Status apply_routes(const redirect::Ruleset& ruleset) override {
    return netns::apply_routes(ruleset);
  }
  base::Result<std::vector<std::string>> compare_routes(const redirect::Ruleset& ruleset) override {
    return netns::compare_routes(ruleset);
  }

 private:
  std::unique_ptr<netfilter::Backend> nftables_;
  std::unique_ptr<netfilter::Backend> iptables_;
};

}  // namespace

std::unique_ptr<Kernel> make_kernel() { return std::make_unique<RealKernel>(); }

}  // namespace redirection
