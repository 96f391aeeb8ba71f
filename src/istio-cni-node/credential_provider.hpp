// The agent's credential, read on the worker thread and handed out on the loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "istio-cni-node/worker.hpp"
#include "kube/api.hpp"
#include "kube/credentials.hpp"

namespace istio_cni_node {

class CredentialReader : public kube::CredentialProvider {
 public:
  /// `configured` and `root` as of kube::find_credential. The place is looked
  /// for again with every reading until there is one.
  CredentialReader(Worker& worker, std::string configured, std::string root);
  ~CredentialReader() override;

  void get(Done done) override;
  void rejected(std::uint64_t generation) override;

  /// Called after a reading that differs from the one before: a new generation,
  /// or a first error after success.
  std::function<void()> changed;

  /// The last reading; Errc::unavailable before the first.
  [[nodiscard]] const base::Result<std::shared_ptr<const kube::Credential>>& last() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
  Worker& worker_;
};

}  // namespace istio_cni_node
