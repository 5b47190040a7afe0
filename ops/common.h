// Types of values and access to tensors, for the operations of processors and of GPUs.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <tuple>
#include <type_traits>

#ifdef __CUDACC__
#define GANFORMER_DEVICE __device__
#else
#define GANFORMER_DEVICE
#endif

namespace ganformer {

using torch::stable::Tensor;

// bfloat16 as it lies in memory; computation is in float32.
struct BFloat16 {
  uint16_t bits;
};

template <typename Stored>
using Computed = std::conditional_t<std::is_same_v<Stored, BFloat16>, float, Stored>;

GANFORMER_DEVICE inline float widen(float value) { return value; }
GANFORMER_DEVICE inline double widen(double value) { return value; }

GANFORMER_DEVICE inline float widen(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  memcpy(&wide, &bits, sizeof wide);
  return wide;
}

// The value as it is stored; bfloat16 is the nearest one, ties to even, and NaN stays NaN.
template <typename Stored>
GANFORMER_DEVICE inline Stored narrow(Computed<Stored> value) {
  if constexpr (std::is_same_v<Stored, BFloat16>) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
    return {static_cast<uint16_t>(is_nan ? 0x7fc0 : rounded)};
  } else {
    return value;
  }
}

template <typename T>
T* data(const Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

template <typename T>
T* data(const std::optional<Tensor>& tensor) {
  return tensor ? static_cast<T*>(tensor->data_ptr()) : nullptr;
}

// Calls `work` with a value of the type that x is stored in.
template <typename Work>
void typed(const Tensor& x, const Work& work) {
  switch (x.scalar_type()) {
    case torch::headeronly::ScalarType::Float: return work(float());
    case torch::headeronly::ScalarType::Double: return work(double());
    case torch::headeronly::ScalarType::BFloat16: return work(BFloat16());
    default: STD_TORCH_CHECK(false, "compiled operations compute in float32, float64 and bfloat16 only");
  }
}

// Type that values of x are computed with.
inline torch::headeronly::ScalarType computed_type(const Tensor& x) {
  const auto stored = x.scalar_type();
  return stored == torch::headeronly::ScalarType::BFloat16 ? torch::headeronly::ScalarType::Float : stored;
}

}  // namespace ganformer
