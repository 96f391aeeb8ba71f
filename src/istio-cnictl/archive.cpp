#include "istio-cnictl/archive.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "base/strings.hpp"

namespace istio_cnictl {
namespace {

struct WriteFreer {
  void operator()(archive* one) const { ::archive_write_free(one); }
};
struct EntryFreer {
  void operator()(archive_entry* one) const { ::archive_entry_free(one); }
};

la_ssize_t append(archive* /*unused*/, void* text, const void* data, std::size_t size) {
  static_cast<std::string*>(text)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

base::Error failure(archive* writer) {
  const char* text = ::archive_error_string(writer);
  return {base::Errc::io, base::cat("make the archive: ", text == nullptr ? "no memory" : text)};
}

}  // namespace

base::Result<std::string> make_archive(const std::vector<ArchiveFile>& files,
                                       std::chrono::system_clock::time_point time) {
  std::string out;
  const std::unique_ptr<archive, WriteFreer> writer(::archive_write_new());
  if (!writer || ::archive_write_add_filter_gzip(writer.get()) != ARCHIVE_OK ||
      ::archive_write_set_format_pax_restricted(writer.get()) != ARCHIVE_OK ||
      ::archive_write_open(writer.get(), &out, nullptr, append, nullptr) != ARCHIVE_OK)
    return failure(writer.get());
  for (const auto& file : files) {
    const std::unique_ptr<archive_entry, EntryFreer> entry(::archive_entry_new());
    if (!entry) return failure(writer.get());
    ::archive_entry_set_pathname(entry.get(), file.name.c_str());
    ::archive_entry_set_size(entry.get(), static_cast<la_int64_t>(file.content.size()));
    ::archive_entry_set_filetype(entry.get(), AE_IFREG);
    ::archive_entry_set_perm(entry.get(), 0600);
    ::archive_entry_set_mtime(entry.get(), std::chrono::system_clock::to_time_t(time), 0);
    if (::archive_write_header(writer.get(), entry.get()) != ARCHIVE_OK ||
        ::archive_write_data(writer.get(), file.content.data(), file.content.size()) !=
            static_cast<la_ssize_t>(file.content.size()))
      return failure(writer.get());
  }
  if (::archive_write_close(writer.get()) != ARCHIVE_OK) return failure(writer.get());
  return out;
}

}  // namespace istio_cnictl
