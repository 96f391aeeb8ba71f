// Memory that the agent needed for a moment goes back to the system.
#pragma once

namespace istio_cni_node {

/// Free heap.
void give_back_heap();

/// Code that ran once (start, TLS handshakes) and would stay mapped: what is used
/// again comes back from the page cache, at a microsecond a page.
void give_back_code();

}  // namespace istio_cni_node
