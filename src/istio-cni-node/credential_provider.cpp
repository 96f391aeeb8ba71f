#include "istio-cni-node/credential_provider.hpp"

#include <optional>
#include <utility>

#include "base/environment.hpp"

namespace istio_cni_node {
namespace {

using Reading = base::Result<std::shared_ptr<const kube::Credential>>;
constexpr std::chrono::seconds reading_timeout{20};  // an exec plugin may be slow

bool differs(const Reading& a, const Reading& b) {
  if (a.ok() != b.ok()) return true;
  if (!a) return a.error().message != b.error().message;
  return a.value()->generation != b.value()->generation;
}

}  // namespace

struct CredentialReader::Impl {
  Impl(std::string configured_path, std::string root_path)
      : configured(std::move(configured_path)), root(std::move(root_path)) {}

  /// On the worker thread only, as everything above `last`.
  Reading read() {
    if (!source) {
      auto place = kube::find_credential(configured, root, base::environment);
      if (!place) return std::move(place).error();
      source.emplace(*std::move(place), base::environment);
    }
    if (rejected_generation != 0) source->rejected(std::exchange(rejected_generation, 0));
    return source->current(base::Deadline::after(reading_timeout));
  }

  const std::string configured;
  const std::string root;
  std::optional<kube::CredentialSource> source;
  std::uint64_t rejected_generation = 0;

  Reading last = base::Error{base::Errc::unavailable, "not read yet"};
  bool closed = false;
};

CredentialReader::CredentialReader(Worker& worker, std::string configured, std::string root)
    : impl_(std::make_shared<Impl>(std::move(configured), std::move(root))), worker_(worker) {}

CredentialReader::~CredentialReader() { impl_->closed = true; }

void CredentialReader::get(Done done) {
  worker_.run([this, impl = impl_, done = std::move(done)]() mutable -> Worker::Continuation {
    auto reading = impl->read();
    return [this, impl = std::move(impl), reading = std::move(reading), done = std::move(done)] {
      if (impl->closed) return;
      const bool changes = differs(impl->last, reading);
      impl->last = reading;
      if (changes && changed) changed();
      if (done) done(reading);
    };
  });
}

void CredentialReader::rejected(std::uint64_t generation) {
  worker_.run([impl = impl_, generation]() -> Worker::Continuation {
    impl->rejected_generation = generation;
    return nullptr;
  });
}

const Reading& CredentialReader::last() const { return impl_->last; }

}  // namespace istio_cni_node
