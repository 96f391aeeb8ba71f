// Api on the agent's client of the API server.
#pragma once

#include <chrono>

#include "kube/api.hpp"
#include "repair/api.hpp"

namespace repair {

class ApiAdapter : public Api {
 public:
  /// `client` must outlive this; once it is gone no callback runs any more.
  explicit ApiAdapter(kube::ApiClient& client,
                      std::chrono::milliseconds timeout = std::chrono::seconds(10))
      : client_(client), timeout_(timeout) {}

  void remove(const Target& target, Done done) override;
  void evict(const Target& target, Done done) override;
  void label(const Target& target, const std::string& key, const std::string& value,
             Done done) override;
  void post_event(const std::string& name_space, const std::string& event, Done done) override;
  void patch_event(const std::string& name_space, const std::string& name, const std::string& patch,
                   Done done) override;

 private:
  void send(kube::ApiRequest request, bool eviction, Done done);

  kube::ApiClient& client_;
  std::chrono::milliseconds timeout_;
};

}  // namespace repair
