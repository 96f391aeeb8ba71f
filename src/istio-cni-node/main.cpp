#include "istio-cni-node/commands.hpp"

int main(int argc, char** argv) {
  return istio_cni_node::dispatch(istio_cni_node::Arguments(argv + 1, argv + argc));
}
