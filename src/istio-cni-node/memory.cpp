#include "istio-cni-node/memory.hpp"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace istio_cni_node {
namespace {

int give_back_object(dl_phdr_info* object, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    // Code only: never written to, so the file has it all. The vdso is no file.
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 ||
        (segment.p_flags & PF_W) != 0 || segment.p_filesz < page)
      continue;
    const auto begin = (object->dlpi_addr + segment.p_vaddr + page - 1) & ~(page - 1);
    const auto end = (object->dlpi_addr + segment.p_vaddr + segment.p_filesz) & ~(page - 1);
    if (end > begin) (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void give_back_heap() { (void)::malloc_trim(0); }

void give_back_code() { (void)::dl_iterate_phdr(give_back_object, nullptr); }

}  // namespace istio_cni_node
