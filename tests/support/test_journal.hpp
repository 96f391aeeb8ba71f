// Stands in for journald: takes what the programs of a test log, and makes journal
// files of it, with the fields that journald would add.
#pragma once

#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "base/strings.hpp"

namespace test_support {

/// Gives the calling thread, and what it starts from then on, a /run of their own
/// with the journal's socket. Needs root.
class TestJournal {
 public:
  static constexpr const char* writer = "/lib/systemd/systemd-journal-remote";
  static bool possible() { return ::geteuid() == 0 && ::access(writer, X_OK) == 0; }

  /// `folder` gets the files.
  explicit TestJournal(std::string folder) : folder_(std::move(folder)) {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", "/run", "tmpfs", 0, "mode=0755") != 0)
      throw std::runtime_error("cannot make a /run of its own");
    std::filesystem::create_directories("/run/systemd/journal");
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string("/run/systemd/journal/socket").copy(address.sun_path, sizeof address.sun_path - 1);
    if (::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot listen in journald's place");
    reader_ = std::thread([this] { read(); });
  }
  ~TestJournal() {
    ended_ = true;
    reader_.join();
  }
  TestJournal(const TestJournal&) = delete;
  TestJournal& operator=(const TestJournal&) = delete;

  /// Makes the file anew once an entry has `text` in it; false when none comes.
  bool write(const std::string& text) {
    for (int i = 0; i < 1000; ++i) {
      if (holds(text)) return write_file();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

 private:
  void read() {
    std::vector<char> buffer(std::size_t{1} << 18);
    while (!ended_) {
      pollfd item{socket_.get(), POLLIN, 0};
      if (::poll(&item, 1, 20) <= 0) continue;
      const auto size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (size <= 0) continue;
      const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
      // the native protocol's fields are the export format's
      auto entry = base::cat("__REALTIME_TIMESTAMP=", now, "\n__MONOTONIC_TIMESTAMP=", now,
                             "\n_BOOT_ID=0123456789abcdef0123456789abcdef\n_UID=0\n"
                             "_TRANSPORT=journal\n",
                             std::string_view(buffer.data(), static_cast<std::size_t>(size)), '\n');
      const std::lock_guard lock(mutex_);
      entries_.push_back(std::move(entry));
    }
  }
  bool holds(const std::string& text) {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries_)
      if (entry.find(text) != std::string::npos) return true;
    return false;
  }
  bool write_file() {
    const auto text = folder_ + "/entries.export";
    const auto file = folder_ + "/test.journal";
    {
      std::ofstream out(text);
      const std::lock_guard lock(mutex_);
      for (const auto& entry : entries_) out << entry;
    }
    std::filesystem::remove(file);
    const auto command = base::cat(writer, " -o ", file, ' ', text, " >/dev/null 2>&1");
    const bool made = std::system(command.c_str()) == 0;
    std::filesystem::remove(text);
    return made;
  }

  std::string folder_;
  base::UniqueFd socket_;
  std::atomic<bool> ended_ = false;
  std::mutex mutex_;
  std::vector<std::string> entries_;
  std::thread reader_;
};

}  // namespace test_support
