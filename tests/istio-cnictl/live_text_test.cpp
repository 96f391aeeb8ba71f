#include "istio-cnictl/live_text.hpp"

#include <gtest/gtest.h>
#include <linux/netfilter.h>

#include "netfilter/xtables_rule.hpp"

namespace {

TEST(LiveText, ATableReadsLikeIptablesSave) {
  using redirect::Family;
  netfilter::XtTable table(Family::v4);
  netfilter::XtChain output;
  output.name = "OUTPUT";
  output.hook = NF_INET_LOCAL_OUT;
  output.policy = -NF_ACCEPT - 1;
  redirect::Rule rule{redirect::Table::nat,
                      redirect::Chain::output,
                      {redirect::MatchProtocol{redirect::Protocol::tcp}},
                      redirect::Jump{redirect::Chain::output_custom},
                      {},
                      {},
                      false};
  output.rules.push_back(*netfilter::encode_rule(rule, Family::v4));
  table.chains().push_back(output);
  table.add_chain("ISTIO_OUTPUT");
  EXPECT_EQ(istio_cnictl::table_text("nat", table),
            "*nat\n:OUTPUT ACCEPT\n:ISTIO_OUTPUT -\n-A OUTPUT -p tcp -j ISTIO_OUTPUT\nCOMMIT\n");
}

}  // namespace
