// Blocks of threads, and what they share. A kernel is a structure whose operator () computes one block: each phase is
// a function of the number of a thread, and all threads end a phase before the next one begins. Between phases, values
// are kept in memory that the block shares, or in what each thread owns.
//
// A plain C++ compiler takes the kernels, too: for it, serial.h of the tests runs a block's threads one after another.
#pragma once

#include <algorithm>

#include "../common.h"

namespace ganformer {

constexpr int THREADS = 256;  // of a block

}  // namespace ganformer

#ifdef __CUDACC__

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#define GANFORMER_KEY CUDA  // dispatch key of the implementations

namespace ganformer {

class Block {
 public:
  int64_t index = blockIdx.x;

  template <typename Phase>
  __device__ void each(const Phase& phase) const {
    phase(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  template <typename Own>
  struct Each {
    Own own = {};
    __device__ Own& operator[](int) { return own; }
  };

  // A value of every thread, zero at first.
  template <typename Own>
  __device__ Each<Own> own() const {
    return {};
  }

  // The memory that the block shares.
  template <typename T>
  __device__ T* shared() const {
    extern __shared__ __align__(32) unsigned char space[];
    return reinterpret_cast<T*>(space);
  }
};

template <typename Kernel>
__global__ void __launch_bounds__(THREADS, 2) run(const Kernel kernel) {
  kernel(Block());
}

inline void check(cudaError_t error) { STD_TORCH_CHECK(error == cudaSuccess, "CUDA: ", cudaGetErrorString(error)); }

// Starts `blocks` blocks with `shared` bytes each, on the current stream of the device of x.
template <typename Kernel>
void launch(const Tensor& x, int64_t blocks, int64_t shared, const Kernel& kernel) {
  constexpr int64_t ALWAYS = 48 * 1024;  // bytes that need no request
  if (blocks == 0) return;
  STD_TORCH_CHECK(blocks < int64_t(1) << 31, "CUDA: ", blocks, " blocks are too many");
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  void* stream;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  if (shared > ALWAYS)
    check(cudaFuncSetAttribute(run<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)));
  run<<<static_cast<unsigned>(blocks), THREADS, shared, static_cast<cudaStream_t>(stream)>>>(kernel);
  check(cudaGetLastError());
}

}  // namespace ganformer

#else
#include "serial.h"
#endif

namespace ganformer {

// N values that are read and written at once.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
  T values[N];
};

template <int N, typename T>
GANFORMER_DEVICE inline Pack<T, N> load(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}

#ifdef __CUDACC__
// The type of `size` bytes that a thread reads or writes in one instruction.
template <int size>
using Word = std::conditional_t<
    size == 16, uint4,
    std::conditional_t<size == 8, uint2, std::conditional_t<size == 4, unsigned, unsigned short>>>;

// The same from global memory that no thread of the kernel writes: reads need not wait for writes before them.
template <int N, typename T>
__device__ inline Pack<T, N> fetch(const T* from) {
  using Whole = Word<sizeof(Pack<T, N>)>;
  const Whole whole = __ldg(reinterpret_cast<const Whole*>(from));
  Pack<T, N> values;
  static_assert(sizeof values == sizeof whole);
  memcpy(&values, &whole, sizeof whole);
  return values;
}

template <int N, typename T>
__device__ inline void store(T* to, const Pack<T, N>& values) {
  Word<sizeof(Pack<T, N>)> whole;
  static_assert(sizeof values == sizeof whole);
  memcpy(&whole, &values, sizeof whole);
  *reinterpret_cast<decltype(whole)*>(to) = whole;
}
#else
template <int N, typename T>
inline Pack<T, N> fetch(const T* from) {
  return load<N>(from);
}

template <int N, typename T>
inline void store(T* to, const Pack<T, N>& values) {
  *reinterpret_cast<Pack<T, N>*>(to) = values;
}
#endif

// Calls `work` with the number of channels that a thread reads at once: `most` if that divides them and all tensors
// begin at a multiple of `most` values of type T in memory, else 1. float64 is for checks, so always 1.
template <typename T, int most, typename Work>
void in_packs(int64_t channels, std::initializer_list<const void*> tensors, const Work& work) {
  if constexpr (!std::is_same_v<T, double>) {
    const auto fits = [&](const void* at) { return reinterpret_cast<uintptr_t>(at) % (most * sizeof(T)) == 0; };
    if (channels % most == 0 && std::all_of(tensors.begin(), tensors.end(), fits))
      return work(std::integral_constant<int, most>());
  }
  work(std::integral_constant<int, 1>());
}

// Threads of a block side by side along the channels, in `count` lanes (a power of two); the others take other pixels.
struct Lanes {
  int count = 1, shift = 0;
  int64_t tiles = 1;  // of `count` packs, that hold all channels

  // Lanes for this number of packs, at most `most`.
  static Lanes of(int64_t packs, int most = 32) {
    Lanes lanes;
    while (lanes.count < packs && lanes.count < most) lanes.count *= 2, ++lanes.shift;
    lanes.tiles = (packs + lanes.count - 1) / lanes.count;
    return lanes;
  }

  constexpr int lane(int thread) const { return thread & (count - 1); }
  constexpr int slot(int thread) const { return thread >> shift; }
  constexpr int slots() const { return THREADS >> shift; }
};

constexpr int64_t divided(int64_t count, int64_t size) { return (count + size - 1) / size; }  // rounded up

}  // namespace ganformer
