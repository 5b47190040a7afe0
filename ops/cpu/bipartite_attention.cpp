// Attention between an image and a few components, one pass over the image forward and one backward. The equations are
// those of the PyTorch definition in ../bipartite_attention.py, whose names are used here.
//
// B images, n pixels, C channels, K = heads x components rows of keys, values and weights.

#include "vectors.h"

namespace ganformer {
namespace {

constexpr double EPSILON = 1e-8;

int64_t padded(int64_t count) { return (count + 3) / 4 * 4; }

// Keys [K, C] as columns [C, padded K], zero behind the last.
template <typename T>
std::vector<T> columns(const T* keys, int64_t count, int64_t channels) {
  const int64_t width = padded(count);
  std::vector<T> turned(channels * width, T(0));
  for (int64_t k = 0; k < count; ++k)
    for (int64_t c = 0; c < channels; ++c) turned[c * width + k] = keys[k * channels + c];
  return turned;
}

// rows[k][p] = sums[p][k] for a block of pixels, 0 behind the last.
template <typename T>
void turn(const T* sums, T* rows, int64_t pixels, int64_t count) {
  const int64_t width = padded(count);
  for (int64_t k = 0; k < count; ++k)
    for (int64_t p = 0; p < BLOCK; ++p) rows[k * BLOCK + p] = p < pixels ? sums[p * width + k] : T(0);
}

// rows[k][p] from [K, n] at the first pixel of a block, 0 behind the last.
template <typename T>
void fetch(const T* from, T* rows, int64_t pixels, int64_t count, int64_t n) {
  for (int64_t k = 0; k < count; ++k)
    for (int64_t p = 0; p < BLOCK; ++p) rows[k * BLOCK + p] = p < pixels ? from[k * n + p] : T(0);
}

template <typename T>
void put(const T* rows, T* to, int64_t pixels, int64_t count, int64_t n) {
  for (int64_t k = 0; k < count; ++k) std::copy_n(rows + k * BLOCK, pixels, to + k * n);
}

// Softmax of rows[k][p] over the components of every head.
template <typename T>
void softmax(T* rows, int64_t count, int64_t heads) {
  const int64_t components = count / heads;
  for (int64_t h = 0; h < heads; ++h) {
    T* head = rows + h * components * BLOCK;
    T most[BLOCK], total[BLOCK] = {};
    std::copy_n(head, BLOCK, most);
    for (int64_t k = 1; k < components; ++k)
      for (int p = 0; p < BLOCK; ++p) most[p] = std::max(most[p], head[k * BLOCK + p]);
    for (int64_t k = 0; k < components; ++k)
      for (int p = 0; p < BLOCK; ++p) {
        head[k * BLOCK + p] = exponential(head[k * BLOCK + p] - most[p]);
        total[p] += head[k * BLOCK + p];
      }
    for (int p = 0; p < BLOCK; ++p) total[p] = 1 / total[p];
    for (int64_t k = 0; k < components; ++k)
      for (int p = 0; p < BLOCK; ++p) head[k * BLOCK + p] *= total[p];
  }
}

template <typename S>
void attend_typed(const Tensor& x, const Tensor& keys, const Tensor& places, const std::optional<Tensor>& factor,
                  const Tensor& values, const Tensor& gain, int64_t heads, bool normalise, const Tensor& y,
                  const Tensor& weights, const Tensor& scale) {
  using T = Computed<S>;
  const int64_t B = x.size(0), n = x.size(1), C = x.size(2), K = keys.size(1), width = padded(K);
  T* const keys_at = data<T>(keys);
  S* const x_at = data<S>(x);
  T* const places_at = data<T>(places);
  T* const weights_at = data<T>(weights);
  T* const factor_at = data<T>(factor);
  T* const gain_at = data<T>(gain);
  T* const values_at = data<T>(values);
  T* const scale_at = data<T>(scale);
  S* const y_at = data<S>(y);
  over_parts(B, n, PART, [&](int64_t b, int64_t, int64_t first, int64_t last) {
    const std::vector<T> turned = columns(keys_at + b * K * C, K, C);
    std::vector<T> space(BLOCK * C), factors(BLOCK * C), sums(BLOCK * width), rows(BLOCK * K), thinned(BLOCK * K);
    for (int64_t start = first; start < last; start += BLOCK) {
      const int64_t P = std::min<int64_t>(BLOCK, last - start);
      const T* pixels = opened(x_at + (b * n + start) * C, space.data(), P * C);
      fetch(places_at + b * K * n + start, rows.data(), P, K, n);
      dots(pixels, turned.data(), sums.data(), P, C, width);
      for (int64_t k = 0; k < K; ++k)
        for (int64_t p = 0; p < P; ++p) rows[k * BLOCK + p] += sums[p * width + k];
      softmax(rows.data(), K, heads);
      put(rows.data(), weights_at + b * K * n + start, P, K, n);
      const T* attended = rows.data();
      if (factor_at) {
        fetch(factor_at + b * K * n + start, thinned.data(), P, K, n);
#pragma omp simd
        for (int64_t i = 0; i < K * BLOCK; ++i) thinned[i] *= rows[i];
        attended = thinned.data();
      }
      for (int64_t p = 0; p < P; ++p) std::copy_n(gain_at, C, factors.data() + p * C);
      expand(attended, values_at + b * K * C, factors.data(), P, K, C);
      for (int64_t p = 0; p < P; ++p) {
        const T *from = pixels + p * C, *times = factors.data() + p * C;
        T root = 1;
        if (normalise) {
          T square = 0;
#pragma omp simd reduction(+ : square)
          for (int64_t c = 0; c < C; ++c) square += from[c] * from[c];
          root = 1 / std::sqrt(square / C + T(EPSILON));
        }
        scale_at[b * n + start + p] = root;
        S* to = y_at + (b * n + start + p) * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) to[c] = narrow<S>(from[c] * root * times[c]);
      }
    }
  });
}

template <typename S>
void attend_backward_typed(const Tensor& grad, const std::optional<Tensor>& grad_weights, const Tensor& x,
                           const Tensor& keys, const std::optional<Tensor>& factor, const Tensor& values,
                           const Tensor& gain, const Tensor& weights, const Tensor& scale, int64_t heads,
                           bool normalise, const Tensor& grad_x, const Tensor& grad_keys, const Tensor& grad_places,
                           const std::optional<Tensor>& grad_factor, const Tensor& grad_values,
                           const Tensor& grad_gain) {
  using T = Computed<S>;
  const int64_t B = x.size(0), n = x.size(1), C = x.size(2), K = keys.size(1), width = padded(K), parts = grad_gain.size(1);
  const int64_t components = K / heads;
  T* const keys_at = data<T>(keys);
  T* const values_at = data<T>(values);
  T* const grad_keys_at = data<T>(grad_keys);
  T* const grad_values_at = data<T>(grad_values);
  T* const grad_gain_at = data<T>(grad_gain);
  S* const x_at = data<S>(x);
  S* const grad_at = data<S>(grad);
  T* const scale_at = data<T>(scale);
  T* const weights_at = data<T>(weights);
  T* const factor_at = data<T>(factor);
  T* const gain_at = data<T>(gain);
  T* const grad_places_at = data<T>(grad_places);
  S* const grad_x_at = data<S>(grad_x);
  T* const grad_factor_at = data<T>(grad_factor);
  T* const grad_weights_at = data<T>(grad_weights);
  over_parts(B, n, PART, [&](int64_t b, int64_t part, int64_t first, int64_t last) {
    const T *key = keys_at + b * K * C, *value = values_at + b * K * C;
    const std::vector<T> turned = columns(value, K, C);
    T* sum_keys = grad_keys_at + (b * parts + part) * K * C;
    T* sum_values = grad_values_at + (b * parts + part) * K * C;
    T* sum_gain = grad_gain_at + (b * parts + part) * C;
    std::vector<T> space(BLOCK * C), grad_space(BLOCK * C), factors(BLOCK * C), change(BLOCK * C), sums(BLOCK * width);
    std::vector<T> rows(BLOCK * K), thinned(BLOCK * K), slopes(BLOCK * K), thin(BLOCK * K, T(1));
    for (int64_t start = first; start < last; start += BLOCK) {
      const int64_t P = std::min<int64_t>(BLOCK, last - start);
      const T* pixels = opened(x_at + (b * n + start) * C, space.data(), P * C);
      const T* above = opened(grad_at + (b * n + start) * C, grad_space.data(), P * C);
      const T* roots = scale_at + b * n + start;
      fetch(weights_at + b * K * n + start, rows.data(), P, K, n);
      if (factor_at) fetch(factor_at + b * K * n + start, thin.data(), P, K, n);
#pragma omp simd
      for (int64_t i = 0; i < K * BLOCK; ++i) thinned[i] = rows[i] * thin[i];

      // The gradient of what x is multiplied with: of values, gain and weights.
      for (int64_t p = 0; p < P; ++p) {
        std::copy_n(gain_at, C, factors.data() + p * C);
        const T *from = pixels + p * C, *slope = above + p * C, root = roots[p];
        T* to = change.data() + p * C;
#pragma omp simd
        for (int64_t c = 0; c < C; ++c) {
          to[c] = slope[c] * from[c] * root;
          sum_gain[c] += to[c];
        }
      }
      expand(thinned.data(), value, factors.data(), P, K, C);
      reduce(thinned.data(), change.data(), sum_values, P, K, C);
      dots(change.data(), turned.data(), sums.data(), P, C, width);
      turn(sums.data(), slopes.data(), P, K);

      // Through the normalisation: change becomes the gradient of x.
      for (int64_t p = 0; p < P; ++p) {
        const T *from = pixels + p * C, *slope = above + p * C, *times = factors.data() + p * C, root = roots[p];
        T* to = change.data() + p * C;
        T along = 0;
#pragma omp simd reduction(+ : along)
        for (int64_t c = 0; c < C; ++c) {
          to[c] = slope[c] * times[c] * root;
          along += to[c] * from[c];
        }
        if (normalise) {
          along *= root * root / C;
#pragma omp simd
          for (int64_t c = 0; c < C; ++c) to[c] -= along * from[c];
        }
      }

      // Through the softmax.
      if (grad_factor_at)
        for (int64_t k = 0; k < K; ++k)
          for (int64_t p = 0; p < P; ++p)
            grad_factor_at[(b * K + k) * n + start + p] = slopes[k * BLOCK + p] * rows[k * BLOCK + p];
#pragma omp simd
      for (int64_t i = 0; i < K * BLOCK; ++i) slopes[i] *= thin[i];
      if (grad_weights_at)
        for (int64_t k = 0; k < K; ++k)
          for (int64_t p = 0; p < P; ++p) slopes[k * BLOCK + p] += grad_weights_at[(b * K + k) * n + start + p];
      for (int64_t h = 0; h < heads; ++h) {
        T mean[BLOCK] = {};
        for (int64_t k = h * components; k < (h + 1) * components; ++k)
          for (int p = 0; p < BLOCK; ++p) mean[p] += rows[k * BLOCK + p] * slopes[k * BLOCK + p];
        for (int64_t k = h * components; k < (h + 1) * components; ++k)
          for (int p = 0; p < BLOCK; ++p) slopes[k * BLOCK + p] = rows[k * BLOCK + p] * (slopes[k * BLOCK + p] - mean[p]);
      }
      put(slopes.data(), grad_places_at + b * K * n + start, P, K, n);
      expand(slopes.data(), key, change.data(), P, K, C);
      reduce(slopes.data(), pixels, sum_keys, P, K, C);
      S* to = grad_x_at + (b * n + start) * C;
      for (int64_t i = 0; i < P * C; ++i) to[i] = narrow<S>(change[i]);
    }
  });
}

template <typename S>
void gather_typed(const Tensor& x, const Tensor& keys, const Tensor& places, const Tensor& sums_out,
                  const Tensor& scores, const Tensor& most_out, const Tensor& total_out) {
  using T = Computed<S>;
  const int64_t B = x.size(0), n = x.size(1), C = x.size(2), K = keys.size(1), width = padded(K), parts = most_out.size(1);
  T* const keys_at = data<T>(keys);
  T* const sums_out_at = data<T>(sums_out);
  T* const most_out_at = data<T>(most_out);
  T* const total_out_at = data<T>(total_out);
  S* const x_at = data<S>(x);
  T* const places_at = data<T>(places);
  T* const scores_at = data<T>(scores);
  over_parts(B, n, PART, [&](int64_t b, int64_t part, int64_t first, int64_t last) {
    const std::vector<T> turned = columns(keys_at + b * K * C, K, C);
    T* sum = sums_out_at + (b * parts + part) * K * C;
    T* most = most_out_at + (b * parts + part) * K;
    T* total = total_out_at + (b * parts + part) * K;
    std::vector<T> space(BLOCK * C), sums(BLOCK * width), rows(BLOCK * K);
    for (int64_t start = first; start < last; start += BLOCK) {
      const int64_t P = std::min<int64_t>(BLOCK, last - start);
      const T* pixels = opened(x_at + (b * n + start) * C, space.data(), P * C);
      fetch(places_at + b * K * n + start, rows.data(), P, K, n);
      dots(pixels, turned.data(), sums.data(), P, C, width);
      for (int64_t k = 0; k < K; ++k) {
        T* row = rows.data() + k * BLOCK;
        T highest = start == first ? row[0] + sums[k] : most[k];
        for (int64_t p = 0; p < P; ++p) {
          row[p] += sums[p * width + k];
          highest = std::max(highest, row[p]);
        }
        std::copy_n(row, P, scores_at + (b * K + k) * n + start);
        if (start > first && highest > most[k]) {  // what has been added up so far was relative to a lower maximum
          const T shrunk = exponential(most[k] - highest);
          total[k] *= shrunk;
#pragma omp simd
          for (int64_t c = 0; c < C; ++c) sum[k * C + c] *= shrunk;
        }
        most[k] = highest;
        for (int64_t p = 0; p < P; ++p) {
          row[p] = exponential(row[p] - highest);
          total[k] += row[p];
        }
      }
      reduce(rows.data(), pixels, sum, P, K, C);
    }
  });
}

template <typename S>
void gather_backward_typed(const Tensor& grad_sums, const Tensor& along, const std::optional<Tensor>& grad_weights,
                           const Tensor& x, const Tensor& keys, const Tensor& weights, const Tensor& grad_x,
                           const Tensor& grad_keys, const Tensor& grad_places) {
  using T = Computed<S>;
  const int64_t B = x.size(0), n = x.size(1), C = x.size(2), K = keys.size(1), width = padded(K), parts = grad_keys.size(1);
  T* const keys_at = data<T>(keys);
  T* const grad_sums_at = data<T>(grad_sums);
  T* const grad_keys_at = data<T>(grad_keys);
  S* const x_at = data<S>(x);
  T* const weights_at = data<T>(weights);
  T* const along_at = data<T>(along);
  T* const grad_weights_at = data<T>(grad_weights);
  T* const grad_places_at = data<T>(grad_places);
  S* const grad_x_at = data<S>(grad_x);
  over_parts(B, n, PART, [&](int64_t b, int64_t part, int64_t first, int64_t last) {
    const T *key = keys_at + b * K * C, *above = grad_sums_at + b * K * C;
    const std::vector<T> turned = columns(above, K, C);
    T* sum_keys = grad_keys_at + (b * parts + part) * K * C;
    std::vector<T> space(BLOCK * C), change(BLOCK * C), sums(BLOCK * width), rows(BLOCK * K), slopes(BLOCK * K);
    for (int64_t start = first; start < last; start += BLOCK) {
      const int64_t P = std::min<int64_t>(BLOCK, last - start);
      const T* pixels = opened(x_at + (b * n + start) * C, space.data(), P * C);
      fetch(weights_at + b * K * n + start, rows.data(), P, K, n);
      dots(pixels, turned.data(), sums.data(), P, C, width);
      turn(sums.data(), slopes.data(), P, K);
      for (int64_t k = 0; k < K; ++k) {
        const T mean = along_at[b * K + k];
        for (int64_t p = 0; p < P; ++p) {
          T& slope = slopes[k * BLOCK + p];
          if (grad_weights_at) slope += grad_weights_at[(b * K + k) * n + start + p];
          slope = rows[k * BLOCK + p] * (slope - mean);
        }
      }
      put(slopes.data(), grad_places_at + b * K * n + start, P, K, n);
      std::fill_n(change.data(), P * C, T(0));
      expand(rows.data(), above, change.data(), P, K, C);
      expand(slopes.data(), key, change.data(), P, K, C);
      reduce(slopes.data(), pixels, sum_keys, P, K, C);
      S* to = grad_x_at + (b * n + start) * C;
      for (int64_t i = 0; i < P * C; ++i) to[i] = narrow<S>(change[i]);
    }
  });
}

std::tuple<Tensor, Tensor, Tensor> attend(Tensor x, Tensor keys, Tensor places, std::optional<Tensor> factor,
                                          Tensor values, Tensor gain, int64_t heads, bool normalise) {
  Tensor y = torch::stable::empty_like(x);
  Tensor weights = torch::stable::empty_like(places);
  Tensor scale = torch::stable::new_empty(keys, {x.size(0), x.size(1)});
  typed(x, [&](auto value) {
    attend_typed<decltype(value)>(x, keys, places, factor, values, gain, heads, normalise, y, weights, scale);
  });
  return {y, weights, scale};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> attend_backward(
    Tensor grad, std::optional<Tensor> grad_weights, Tensor x, Tensor keys, std::optional<Tensor> factor, Tensor values,
    Tensor gain, Tensor weights, Tensor scale, int64_t heads, bool normalise, bool of_factor) {
  const int64_t B = x.size(0), C = x.size(2), K = keys.size(1), parts = parts_of(x.size(1));
  Tensor grad_x = torch::stable::empty_like(x);
  Tensor grad_keys = torch::stable::new_zeros(keys, {B, parts, K, C});
  Tensor grad_values = torch::stable::new_zeros(keys, {B, parts, K, C});
  Tensor grad_gain = torch::stable::new_zeros(keys, {B, parts, C});
  Tensor grad_places = torch::stable::empty_like(weights);
  std::optional<Tensor> grad_factor;
  if (of_factor) grad_factor = torch::stable::empty_like(weights);
  typed(x, [&](auto value) {
    attend_backward_typed<decltype(value)>(grad, grad_weights, x, keys, factor, values, gain, weights, scale, heads,
                                           normalise, grad_x, grad_keys, grad_places, grad_factor, grad_values,
                                           grad_gain);
  });
  return {grad_x, grad_keys, grad_places, of_factor ? *grad_factor : torch::stable::new_empty(keys, {0}), grad_values,
          grad_gain};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gather(Tensor x, Tensor keys, Tensor places) {
  const int64_t B = x.size(0), C = x.size(2), K = keys.size(1), parts = parts_of(x.size(1));
  Tensor sums = torch::stable::new_zeros(keys, {B, parts, K, C});
  Tensor scores = torch::stable::empty_like(places);
  Tensor most = torch::stable::new_empty(keys, {B, parts, K});
  Tensor total = torch::stable::new_zeros(keys, {B, parts, K});
  typed(x, [&](auto value) { gather_typed<decltype(value)>(x, keys, places, sums, scores, most, total); });
  return {sums, scores, most, total};
}

std::tuple<Tensor, Tensor, Tensor> gather_backward(Tensor grad_sums, Tensor along, std::optional<Tensor> grad_weights,
                                                   Tensor x, Tensor keys, Tensor weights) {
  const int64_t B = x.size(0), C = x.size(2), K = keys.size(1);
  Tensor grad_x = torch::stable::empty_like(x);
  Tensor grad_keys = torch::stable::new_zeros(keys, {B, parts_of(x.size(1)), K, C});
  Tensor grad_places = torch::stable::empty_like(weights);
  typed(x, [&](auto value) {
    gather_backward_typed<decltype(value)>(grad_sums, along, grad_weights, x, keys, weights, grad_x, grad_keys,
                                           grad_places);
  });
  return {grad_x, grad_keys, grad_places};
}

}  // namespace
}  // namespace ganformer

STABLE_TORCH_LIBRARY_FRAGMENT(ganformer, library) {
  library.def(
      "attend(Tensor x, Tensor keys, Tensor places, Tensor? factor, Tensor values, Tensor gain, int heads, "
      "bool normalise) -> (Tensor, Tensor, Tensor)");
  library.def(
      "attend_backward(Tensor grad, Tensor? grad_weights, Tensor x, Tensor keys, Tensor? factor, Tensor values, "
      "Tensor gain, Tensor weights, Tensor scale, int heads, bool normalise, bool of_factor) "
      "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def("gather(Tensor x, Tensor keys, Tensor places) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "gather_backward(Tensor grad_sums, Tensor along, Tensor? grad_weights, Tensor x, Tensor keys, Tensor weights) "
      "-> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(ganformer, CPU, library) {
  library.impl("attend", TORCH_BOX(&ganformer::attend));
  library.impl("attend_backward", TORCH_BOX(&ganformer::attend_backward));
  library.impl("gather", TORCH_BOX(&ganformer::gather));
  library.impl("gather_backward", TORCH_BOX(&ganformer::gather_backward));
}
