// Small products of a block of pixels with a few components, in registers. Compilers translate the vector types to
// whatever the processor has (AVX-512, AVX2, NEON).
#pragma once

#include <algorithm>
#include <vector>

#include "parts.h"

namespace ganformer {

constexpr int BLOCK = 16;  // pixels that are handled together

// Vector of N values of T that may lie at any multiple of T's size.
template <typename T, int N>
struct Lanes {
  typedef T type __attribute__((vector_size(N * sizeof(T)), aligned(alignof(T)), may_alias));
};

template <typename T, int N>
inline typename Lanes<T, N>::type load(const T* from) {
  return *reinterpret_cast<const typename Lanes<T, N>::type*>(from);
}

template <typename T, int N>
inline void store(T* to, typename Lanes<T, N>::type value) {
  *reinterpret_cast<typename Lanes<T, N>::type*>(to) = value;
}

template <typename T, int N>
inline typename Lanes<T, N>::type all(T value) {
  return value - typename Lanes<T, N>::type{};
}

// N stored values as they are computed with.
template <int N, typename S>
inline typename Lanes<Computed<S>, N>::type take(const S* from) {
  if constexpr (std::is_same_v<S, BFloat16>) {
    using Bits = typename Lanes<uint32_t, N>::type;
    const Bits bits = __builtin_convertvector((load<uint16_t, N>(reinterpret_cast<const uint16_t*>(from))), Bits) << 16;
    return reinterpret_cast<const typename Lanes<float, N>::type&>(bits);
  } else {
    return load<S, N>(from);
  }
}

// Stores N computed values.
template <int N, typename S>
inline void give(S* to, typename Lanes<Computed<S>, N>::type value) {
  if constexpr (std::is_same_v<S, BFloat16>) {
    using Bits = typename Lanes<uint32_t, N>::type;
    const Bits bits = reinterpret_cast<const Bits&>(value);
    const Bits rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const Bits nan = all<uint32_t, N>(0x7fc0);
    const Bits chosen = (bits & 0x7fffffff) > 0x7f800000 ? nan : rounded;  // as `narrow`
    store<uint16_t, N>(reinterpret_cast<uint16_t*>(to), __builtin_convertvector(chosen, typename Lanes<uint16_t, N>::type));
  } else {
    store<S, N>(to, value);
  }
}

// exp(x) for x <= 0, as the softmax needs it: relative error below 2e-7, 0 below -87.
inline float exponential(float exponent) {
  const float x = std::max(exponent, -87.0f);
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return exponent < -87.0f ? 0.0f : p * power;
}

inline double exponential(double x) { return std::exp(x); }

// Rows of `pixels` x `channels` values to compute with: the stored ones, or bfloat16 widened into `space`.
template <typename Stored>
inline const Computed<Stored>* opened(const Stored* rows, Computed<Stored>* space, int64_t count) {
  if constexpr (std::is_same_v<Stored, BFloat16>) {
    for (int64_t i = 0; i < count; ++i) space[i] = widen(rows[i]);
    return space;
  } else {
    return rows;
  }
}

// sums[p][k] = sum_c x[p][c] * keys[c][k] for PIXELS rows of x, `channels` apart, and N columns of keys, `width` apart.
template <int PIXELS, int N, typename T>
inline void dots_tile(const T* x, const T* keys, T* sums, int64_t channels, int64_t width) {
  using V = typename Lanes<T, N>::type;
  V total[PIXELS] = {};
  for (int64_t c = 0; c < channels; ++c) {
    const V key = load<T, N>(keys + c * width);
#pragma GCC unroll 16
    for (int p = 0; p < PIXELS; ++p) total[p] += x[p * channels + c] * key;
  }
  for (int p = 0; p < PIXELS; ++p) store<T, N>(sums + p * width, total[p]);
}

// sums [BLOCK, width] = x [pixels, channels] times keys [channels, width]; width is a multiple of 4.
template <typename T>
inline void dots(const T* x, const T* keys, T* sums, int64_t pixels, int64_t channels, int64_t width) {
  int64_t k = 0;
  auto columns = [&](auto lanes) {
    constexpr int N = decltype(lanes)::value;
    for (; k + N <= width; k += N) {
      int64_t p = 0;
      for (; p + 16 <= pixels; p += 16)
        dots_tile<16, N>(x + p * channels, keys + k, sums + p * width + k, channels, width);
      for (; p < pixels; ++p) dots_tile<1, N>(x + p * channels, keys + k, sums + p * width + k, channels, width);
    }
  };
  columns(std::integral_constant<int, 64 / sizeof(T)>());
  columns(std::integral_constant<int, 32 / sizeof(T)>());
  columns(std::integral_constant<int, 4>());
}

// out[r][c] += sum_i weights[r * NEXT_ROW + i * NEXT] * x[i][c] for ROWS x (WIDE * N) values.
template <int ROWS, int WIDE, int N, int NEXT_ROW, int NEXT, typename T>
inline void product_tile(const T* weights, const T* x, T* out, int64_t count, int64_t channels) {
  using V = typename Lanes<T, N>::type;
  V total[ROWS][WIDE];
  for (int r = 0; r < ROWS; ++r)
    for (int w = 0; w < WIDE; ++w) total[r][w] = load<T, N>(out + r * channels + w * N);
  for (int64_t i = 0; i < count; ++i) {
    V value[WIDE];
    for (int w = 0; w < WIDE; ++w) value[w] = load<T, N>(x + i * channels + w * N);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
      for (int w = 0; w < WIDE; ++w) total[r][w] += weights[r * NEXT_ROW + i * NEXT] * value[w];
  }
  for (int r = 0; r < ROWS; ++r)
    for (int w = 0; w < WIDE; ++w) store<T, N>(out + r * channels + w * N, total[r][w]);
}

// Calls `part(lanes, wide, c)` for pieces of wide * lanes channels that together are all of them.
template <typename T, typename Part>
inline void pieces(int64_t channels, const Part& part) {
  int64_t c = 0;
  constexpr int FULL = 64 / sizeof(T);
  for (; c + 4 * FULL <= channels; c += 4 * FULL)
    part(std::integral_constant<int, FULL>(), std::integral_constant<int, 4>(), c);
  for (; c + FULL <= channels; c += FULL)
    part(std::integral_constant<int, FULL>(), std::integral_constant<int, 1>(), c);
  for (; c + 4 <= channels; c += 4) part(std::integral_constant<int, 4>(), std::integral_constant<int, 1>(), c);
  for (; c < channels; ++c) part(std::integral_constant<int, 1>(), std::integral_constant<int, 1>(), c);
}

// out [rows, channels] += weights [rows, count] times x [count, channels]; weights lie as `product_tile` has them.
template <int NEXT_ROW, int NEXT, typename T>
inline void product(const T* weights, const T* x, T* out, int64_t rows, int64_t count, int64_t channels) {
  pieces<T>(channels, [&](auto lanes, auto wide, int64_t c) {
    constexpr int N = decltype(lanes)::value, WIDE = decltype(wide)::value, ROWS = WIDE == 4 ? 4 : 8;
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS)
      product_tile<ROWS, WIDE, N, NEXT_ROW, NEXT>(weights + r * NEXT_ROW, x + c, out + r * channels + c, count, channels);
    for (; r < rows; ++r)
      product_tile<1, WIDE, N, NEXT_ROW, NEXT>(weights + r * NEXT_ROW, x + c, out + r * channels + c, count, channels);
  });
}

// out [pixels, channels] += weights [count, BLOCK] transposed times values [count, channels].
template <typename T>
inline void expand(const T* weights, const T* values, T* out, int64_t pixels, int64_t count, int64_t channels) {
  product<1, BLOCK>(weights, values, out, pixels, count, channels);
}

// out [count, channels] += weights [count, BLOCK] times x [pixels, channels].
template <typename T>
inline void reduce(const T* weights, const T* x, T* out, int64_t pixels, int64_t count, int64_t channels) {
  product<BLOCK, 1>(weights, x, out, count, pixels, channels);
}

}  // namespace ganformer
