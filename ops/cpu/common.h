// What all operations share: types, access to tensors, and parts of images that threads take.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <tuple>
#include <type_traits>
#include <vector>

namespace ganformer {

using torch::stable::Tensor;

// bfloat16 as it lies in memory; computation is in float32.
struct BFloat16 {
  uint16_t bits;
};

template <typename Stored>
using Computed = std::conditional_t<std::is_same_v<Stored, BFloat16>, float, Stored>;

inline float widen(float value) { return value; }
inline double widen(double value) { return value; }

inline float widen(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

// The value as it is stored; bfloat16 is the nearest one, ties to even, and NaN stays NaN.
template <typename Stored>
inline Stored narrow(Computed<Stored> value) {
  if constexpr (std::is_same_v<Stored, BFloat16>) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
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

// The type that values of x are computed with.
inline torch::headeronly::ScalarType computed_type(const Tensor& x) {
  const auto stored = x.scalar_type();
  return stored == torch::headeronly::ScalarType::BFloat16 ? torch::headeronly::ScalarType::Float : stored;
}

constexpr int64_t PART = 1024;  // pixels whose sums are added up together; fixed, so that threads change no result

inline int64_t parts_of(int64_t pixels) { return (pixels + PART - 1) / PART; }

// Runs work(image, part, first, last) for parts of `size` of each image's rows, in as many threads as torch has.
template <typename Work>
void over_parts(int64_t images, int64_t rows, int64_t size, const Work& work) {
  const int64_t parts = (rows + size - 1) / size;
  torch::stable::parallel_for(0, images * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * size;
      work(i / parts, i % parts, first, std::min(first + size, rows));
    }
  });
}

}  // namespace ganformer
