// Zero insertion, padding, a separable filter and decimation in one pass. The equations are those of the PyTorch
// definition in ../upfirdn2d.py. Inserted zeros are never multiplied: every result has its own list of taps.
//
// B images, H x W pixels, C channels, the last of which lie together in memory.

#include "parts.h"
#include "vectors.h"

namespace ganformer {
namespace {

// The taps of a result along one axis, and the input that the first of them is multiplied with.
struct Reach {
  int64_t first;
  std::vector<double> taps;
};

// Reaches of all results along an axis of `size` inputs; `taps` is the filter of a true convolution.
std::vector<Reach> reaches(const std::vector<double>& taps, int64_t size, int64_t up, int64_t down, int64_t before,
                           int64_t results) {
  const int64_t length = taps.size();
  std::vector<Reach> all(results);
  for (int64_t o = 0; o < results; ++o) {
    Reach& reach = all[o];
    reach.first = 0;
    for (int64_t t = 0; t < length; ++t) {  // position o * down + t of the padded image meets tap length - 1 - t
      const int64_t place = o * down + t - before;
      if (place < 0 || place % up || place / up >= size) continue;
      if (reach.taps.empty()) reach.first = place / up;
      reach.taps.push_back(taps[length - 1 - t]);
    }
  }
  return all;
}

// to[i] = sum_t taps[t] * from[t * step + i] for i < length.
template <typename In, typename Out, typename T = Computed<Out>>
inline void weighted(const In* from, const std::vector<double>& taps, int64_t step, int64_t length, Out* to) {
  const int64_t count = taps.size();
  pieces<T>(length, [&](auto lanes, auto wide, int64_t i) {
    constexpr int N = decltype(lanes)::value, WIDE = decltype(wide)::value;
    typename Lanes<T, N>::type total[WIDE] = {};
    for (int64_t t = 0; t < count; ++t) {
      const T weight = taps[t];
      for (int w = 0; w < WIDE; ++w) total[w] += weight * take<N>(from + t * step + i + w * N);
    }
    for (int w = 0; w < WIDE; ++w) give<N>(to + i + w * N, total[w]);
  });
}

// `length` of the filter, and `step`: the larger one of up and down.
template <typename S>
void filter_typed(const Tensor& x, const std::vector<Reach>& vertical, const std::vector<Reach>& horizontal,
                  int64_t length, int64_t step, const Tensor& y) {
  using T = Computed<S>;
  const int64_t B = x.size(0), H = x.size(1), W = x.size(2), C = x.size(3);
  const int64_t height = vertical.size(), width = horizontal.size();
  const S* const x_at = data<S>(x);
  S* const y_at = data<S>(y);
  // Results that have all taps, and neighbouring inputs, are one long sum.
  const auto has_all = [&](int64_t p) { return step == 1 && int64_t(horizontal[p].taps.size()) == length; };
  int64_t begin = 0;
  while (begin < width && !has_all(begin)) ++begin;
  int64_t end = begin;
  while (end < width && has_all(end)) ++end;
  over_parts(B, height, 8, [&](int64_t b, int64_t, int64_t first, int64_t last) {
    std::vector<T> row(W * C);
    for (int64_t o = first; o < last; ++o) {
      const Reach& down = vertical[o];
      weighted(x_at + (b * H + down.first) * W * C, down.taps, W * C, W * C, row.data());
      S* to = y_at + (b * height + o) * width * C;
      for (int64_t p = 0; p < width; ++p) {
        const Reach& across = horizontal[p];
        const int64_t results = p == begin ? end - begin : 1;
        weighted(row.data() + across.first * C, across.taps, C, results * C, to + p * C);
        p += results - 1;
      }
    }
  });
}

// x [B, H, W, C] -> [B, height, width, C]; `filter` has the taps of both axes, `gain` multiplies the result.
Tensor upfirdn2d(Tensor x, Tensor filter, int64_t up, int64_t down, int64_t left, int64_t top, int64_t height,
                 int64_t width, double gain) {
  Tensor y = torch::stable::new_empty(x, {x.size(0), height, width, x.size(3)});
  std::vector<double> taps(filter.size(0));
  typed(filter, [&](auto value) {
    for (size_t i = 0; i < taps.size(); ++i) taps[i] = widen(data<decltype(value)>(filter)[i]);
  });
  const std::vector<Reach> horizontal = reaches(taps, x.size(2), up, down, left, width);
  for (double& tap : taps) tap *= gain;
  const std::vector<Reach> vertical = reaches(taps, x.size(1), up, down, top, height);
  typed(x, [&](auto value) { filter_typed<decltype(value)>(x, vertical, horizontal, taps.size(), std::max(up, down), y); });
  return y;
}

}  // namespace
}  // namespace ganformer

STABLE_TORCH_LIBRARY_FRAGMENT(ganformer, library) {
  library.def(
      "upfirdn2d(Tensor x, Tensor taps, int up, int down, int left, int top, int height, int width, float gain) "
      "-> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganformer, CPU, library) { library.impl("upfirdn2d", TORCH_BOX(&ganformer::upfirdn2d)); }
