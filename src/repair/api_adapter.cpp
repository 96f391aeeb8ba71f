#include "repair/api_adapter.hpp"

#include <memory>
#include <utility>

#include "repair/api_body.hpp"

namespace repair {

void ApiAdapter::send(kube::ApiRequest request, bool eviction, Done done) {
  const auto sent = std::make_shared<int>(0);
  request.sending = [sent] { ++*sent; };
  client_.request(
      std::move(request), base::Deadline::after(timeout_),
      [eviction, sent, done = std::move(done)](const base::Result<kube::Response>& answer) {
        done(reply_of(answer, eviction, *sent));
      });
}

void ApiAdapter::remove(const Target& target, Done done) {
  send(delete_request(target), false, std::move(done));
}

void ApiAdapter::evict(const Target& target, Done done) {
  send(evict_request(target), true, std::move(done));
}

void ApiAdapter::label(const Target& target, const std::string& key, const std::string& value,
                       Done done) {
  send(label_request(target, key, value), false, std::move(done));
}

void ApiAdapter::post_event(const std::string& name_space, const std::string& event, Done done) {
  send(post_event_request(name_space, event), false, std::move(done));
}

void ApiAdapter::patch_event(const std::string& name_space, const std::string& name,
                             const std::string& patch, Done done) {
  send(patch_event_request(name_space, name, patch), false, std::move(done));
}

}  // namespace repair
