#include "install/watcher.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/strings.hpp"

namespace install {
namespace {

using base::cat;

constexpr std::uint32_t event_mask = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM |
                                     IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                     IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::uint32_t appears_or_goes = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM;
constexpr int most_links = 40;

/// The files that base::write_atomically makes on its way, and base::Spare, which have
/// the kernel's name only: "#INODE".
bool is_temporary(std::string_view name) {
  if (name.starts_with('#')) return name.find_first_not_of("0123456789", 1) == name.npos;
  return name.starts_with('.') && name.find(".icn-") != std::string_view::npos;
}

/// One watched folder.
struct Node {
  std::string path;
  dev_t device = 0;
  ino_t inode = 0;
  bool whole = false;           ///< everything in it counts
  std::set<std::string> names;  ///< else: these only
};

std::deque<std::string> components(std::string_view path) {
  std::deque<std::string> out;
  for (auto part : base::split_nonempty(path, '/'))
    if (part != ".") out.emplace_back(part);
  return out;
}

std::string link_target(const std::string& path) {
  std::array<char, 4096> buffer{};
  const auto length = ::readlink(path.c_str(), buffer.data(), buffer.size());
  return length <= 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(length));
}

}  // namespace

struct Watcher::Impl {
  base::UniqueFd inotify;
  base::UniqueFd mounts_wake;   ///< in `epoll`; polling it from outside clears it
  base::UniqueFd mounts_check;  ///< asked in `take` alone, so nothing is missed
  base::UniqueFd epoll;
  std::vector<std::string> paths;
  std::vector<std::string> unwatched;
  std::map<int, Node> nodes;

  /// The watch of one folder; its node, or nullptr when there is none.
  Node* add(const std::string& folder, std::map<int, Node>& into, bool& full) {
    const int watch = ::inotify_add_watch(inotify.get(), folder.c_str(), event_mask);
    if (watch < 0) {
      // gone meanwhile: the folder above tells when it is back
      if (errno != ENOENT && errno != ENOTDIR) full = true;
      return nullptr;
    }
    auto& node = into[watch];
    struct stat info {};
    if (::stat(folder.c_str(), &info) == 0) {
      node.device = info.st_dev;
      node.inode = info.st_ino;
    }
    node.path = folder;
    return &node;
  }

  /// Watches every folder on the way, first the folder, then the look at what is
  /// in it. False when a watch was refused.
  bool follow(const std::string& path, std::map<int, Node>& into) {
    auto rest = components(path);
    std::string folder = "/";
    int links = 0;
    bool full = false;
    while (!rest.empty()) {
      const auto name = std::move(rest.front());
      rest.pop_front();
      if (name == "..") {
        folder.erase(std::max<std::size_t>(folder.rfind('/'), 1));
        continue;
      }
      if (auto* node = add(folder, into, full)) node->names.insert(name);
      const auto next = folder == "/" ? cat(folder, name) : cat(folder, "/", name);
      struct stat info {};
      if (::lstat(next.c_str(), &info) != 0) return !full;
      if (S_ISLNK(info.st_mode)) {
        if (++links > most_links) return !full;
        const auto target = link_target(next);
        if (target.starts_with('/')) folder = "/";
        auto parts = components(target);
        rest.insert(rest.begin(), parts.begin(), parts.end());
        continue;
      }
      if (!S_ISDIR(info.st_mode)) return !full;
      folder = next;
    }
    if (auto* node = add(folder, into, full)) node->whole = true;
    return !full;
  }

  void set_up() {
    std::map<int, Node> fresh;
    unwatched.clear();
    for (const auto& path : paths)
      if (!follow(path, fresh)) unwatched.push_back(path);
    for (const auto& [watch, node] : nodes)
      if (!fresh.contains(watch)) ::inotify_rm_watch(inotify.get(), watch);
    nodes = std::move(fresh);
  }

  /// Since the last call. Without the table: always, to be safe.
  [[nodiscard]] bool mounts_changed() const {
    if (!mounts_check.valid()) return true;
    pollfd state{mounts_check.get(), POLLPRI, 0};
    return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLPRI | POLLERR)) != 0;
  }

  /// Something else stands at a watched path than what is watched.
  [[nodiscard]] bool displaced() const {
    for (const auto& [watch, node] : nodes) {
      struct stat info {};
      if (::stat(node.path.c_str(), &info) != 0 || info.st_dev != node.device ||
          info.st_ino != node.inode)
        return true;
    }
    return false;
  }

  struct Seen {
    bool relevant = false;
    bool lost = false;
    bool moved = false;  ///< the watches are to be set up again
  };

  void look_at(const inotify_event& event, std::string_view name, Seen& seen) const {
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      seen.lost = true;
      return;
    }
    const auto at = nodes.find(event.wd);
    if (at == nodes.end()) return;  // given up meanwhile
    const auto& node = at->second;
    if ((event.mask & (IN_IGNORED | IN_UNMOUNT)) != 0) seen.lost = true;
    if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) seen.moved = seen.relevant = true;
    if (name.empty()) {
      if (node.whole) seen.relevant = true;
      return;
    }
    if (node.names.contains(std::string(name))) {
      seen.relevant = true;
      if ((event.mask & appears_or_goes) != 0) seen.moved = true;
    } else if (node.whole && !is_temporary(name)) {
      seen.relevant = true;
    }
  }

  Seen drain() {
    Seen seen;
    alignas(inotify_event) std::array<char, 16384> buffer{};
    for (;;) {
      const auto got = ::read(inotify.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return seen;
      for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        const char* name = buffer.data() + at + sizeof event;
        look_at(event, event.len == 0 ? std::string_view() : std::string_view(name), seen);
        at += sizeof event + event.len;
      }
    }
  }
};

Watcher::Watcher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Watcher::Watcher(Watcher&&) noexcept = default;
Watcher& Watcher::operator=(Watcher&&) noexcept = default;
Watcher::~Watcher() = default;

base::Result<Watcher> Watcher::make() {
  auto impl = std::make_unique<Impl>();
  impl->inotify.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!impl->inotify.valid()) {
    auto error = base::system_error("inotify", errno);
    if (error.sys == EMFILE) error.message.append("; raise fs.inotify.max_user_instances");
    return error;
  }
  impl->epoll.reset(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event interest{};
  interest.events = EPOLLIN;
  if (!impl->epoll.valid() ||
      ::epoll_ctl(impl->epoll.get(), EPOLL_CTL_ADD, impl->inotify.get(), &interest) != 0)
    return base::system_error("inotify: epoll", errno);
  // without it only mounts go unnoticed until something else happens
  for (auto* mounts : {&impl->mounts_wake, &impl->mounts_check})
    mounts->reset(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  interest.events = EPOLLPRI | EPOLLERR;
  if (impl->mounts_wake.valid())
    (void)::epoll_ctl(impl->epoll.get(), EPOLL_CTL_ADD, impl->mounts_wake.get(), &interest);
  return Watcher(std::move(impl));
}

void Watcher::watch(const std::vector<std::string>& paths) {
  impl_->paths = paths;
  impl_->set_up();
}

int Watcher::fd() const { return impl_->epoll.get(); }

Watcher::Events Watcher::take() {
  std::array<epoll_event, 2> ready{};
  (void)::epoll_wait(impl_->epoll.get(), ready.data(), ready.size(), 0);  // clears a mount's event
  const auto seen = impl_->drain();
  const bool mounted = impl_->mounts_changed() && impl_->displaced();
  if (seen.lost || seen.moved || mounted || !impl_->unwatched.empty()) impl_->set_up();
  Events events;
  events.degraded = seen.lost || mounted;
  events.relevant = seen.relevant || events.degraded;
  return events;
}

const std::vector<std::string>& Watcher::unwatched() const { return impl_->unwatched; }

}  // namespace install
