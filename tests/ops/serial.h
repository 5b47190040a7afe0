// Blocks whose threads run one after another on the processor, phase by phase: launch.h takes them where the compiler
// is no CUDA compiler. GANFORMER_SERIAL_ORDER=backwards runs blocks and threads from the last to the first; results are
// the same unless threads of one phase depend on each other.
#pragma once

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <vector>

#define GANFORMER_KEY PrivateUse1  // no device of PyTorch's own

namespace ganformer {

class Block {
 public:
  int64_t index;

  Block(int64_t index, unsigned char* space, bool is_backwards)
      : index(index), space_(space), is_backwards_(is_backwards) {}

  template <typename Phase>
  void each(const Phase& phase) const {
    for (int i = 0; i < THREADS; ++i) phase(is_backwards_ ? THREADS - 1 - i : i);
  }

  template <typename Own>
  struct Each {
    std::vector<Own> all = std::vector<Own>(THREADS);
    Own& operator[](int thread) { return all[thread]; }
  };

  template <typename Own>
  Each<Own> own() const {
    return {};
  }

  template <typename T>
  T* shared() const {
    return reinterpret_cast<T*>(space_);
  }

 private:
  unsigned char* space_;
  bool is_backwards_;
};

// Every block begins with shared memory of NaN, and must leave what lies behind it as it is.
template <typename Kernel>
void launch(const Tensor&, int64_t blocks, int64_t shared, const Kernel& kernel) {
  constexpr int64_t FENCE = 4096, ALIGNMENT = 32, MOST = 64 * 1024;  // MOST: what compute capability 7.5 has
  STD_TORCH_CHECK(shared <= MOST, shared, " bytes of shared memory are too many");
  const char* order = std::getenv("GANFORMER_SERIAL_ORDER");
  const bool is_backwards = order && !std::strcmp(order, "backwards");
  std::vector<unsigned char> memory(shared + FENCE + ALIGNMENT);
  unsigned char* const space = memory.data() + (ALIGNMENT - reinterpret_cast<uintptr_t>(memory.data()) % ALIGNMENT);
  for (int64_t i = 0; i < blocks; ++i) {
    std::memset(space, 0xff, shared);
    std::memset(space + shared, 0xa5, FENCE - ALIGNMENT);
    kernel(Block(is_backwards ? blocks - 1 - i : i, space, is_backwards));
    for (int64_t at = shared; at < shared + FENCE - ALIGNMENT; ++at)
      STD_TORCH_CHECK(space[at] == 0xa5, "a block writes behind its ", shared, " bytes of shared memory");
  }
}

}  // namespace ganformer
