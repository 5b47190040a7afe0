// Zero insertion, padding, a separable filter and decimation in one pass. The equations are those of the PyTorch
// definition in ../upfirdn2d.py. Inserted zeros are never multiplied.
//
// B images, H x W pixels, C channels, the last of which lie together in memory.

#include "launch.h"

namespace ganformer {
namespace {

// A thread computes RUN results below one another: it filters each row of inputs across once, and adds it to all
// results that it reaches.
template <typename S, int WIDTH>
struct Filter {
  using T = Computed<S>;
  static constexpr int RUN = WIDTH > 4 ? 4 : 8;
  const S* x;
  const T* taps;
  S* y;
  int H, W, C, height, width, length, up, down, left, top;
  T gain;
  Lanes lanes;
  int across, runs;  // blocks along both axes of an image

  GANFORMER_DEVICE void operator()(const Block& block) const {
    int64_t rest = block.index;
    const int tile = static_cast<int>(rest % lanes.tiles);
    rest /= lanes.tiles;
    const int column = static_cast<int>(rest % across);
    rest /= across;
    const int start = static_cast<int>(rest % runs) * RUN;
    const int64_t b = rest / runs;
    T* const turned = block.shared<T>();  // taps in the order of the inputs that they meet
    block.each([&](int thread) {
      for (int i = thread; i < length; i += THREADS) turned[i] = taps[length - 1 - i];
    });
    block.each([&](int thread) {
      const int c = (tile * lanes.count + lanes.lane(thread)) * WIDTH;
      const int p = column * lanes.slots() + lanes.slot(thread);
      if (c >= C || p >= width) return;
      // Across: the first tap that meets an input, that input, and the number of inputs, one every `up` taps.
      const int place = p * down - left;
      const int skipped = place < 0 ? -place : (up - place % up) % up;
      const int first = (place + skipped) / up;
      const int fitting = skipped < length ? (length - skipped + up - 1) / up : 0;
      const int count = fitting < W - first ? fitting : W - first;
      // Down: all inputs that a result of this run reaches.
      const int begin = start * down - top;
      const int end = ((start + RUN < height ? start + RUN : height) - 1) * down - top + length;  // behind the last
      const int first_row = begin > 0 ? (begin + up - 1) / up : 0;
      const int end_row = end > 0 ? (end + up - 1) / up : 0;
      T sums[RUN][WIDTH] = {};
      for (int row = first_row; row < end_row && row < H; ++row) {
        const S* from = x + ((b * H + row) * W + first) * C + c;
        T filtered[WIDTH] = {};
        for (int i = 0; i < count; ++i) {
          const T weight = turned[skipped + i * up];
          const Pack<S, WIDTH> values = fetch<WIDTH>(from + int64_t(i) * C);
          for (int w = 0; w < WIDTH; ++w) filtered[w] += weight * widen(values.values[w]);
        }
        const int offset = row * up - begin;
#pragma unroll
        for (int r = 0; r < RUN; ++r) {
          const int tap = offset - r * down;
          if (tap < 0 || tap >= length) continue;
          const T weight = turned[tap];
          for (int w = 0; w < WIDTH; ++w) sums[r][w] += weight * filtered[w];
        }
      }
#pragma unroll
      for (int r = 0; r < RUN; ++r) {
        if (start + r >= height) continue;
        Pack<S, WIDTH> to;
        for (int w = 0; w < WIDTH; ++w) to.values[w] = narrow<S>(sums[r][w] * gain);
        store(y + ((b * height + start + r) * width + p) * C + c, to);
      }
    });
  }
};

// x [B, H, W, C] -> [B, height, width, C]; `taps` are those of both axes, `gain` multiplies the result.
Tensor upfirdn2d(Tensor x, Tensor taps, int64_t up, int64_t down, int64_t left, int64_t top, int64_t height,
                 int64_t width, double gain) {
  const int64_t B = x.size(0), H = x.size(1), W = x.size(2), C = x.size(3), length = taps.size(0);
  Tensor y = torch::stable::new_empty(x, {B, height, width, C});
  typed(x, [&](auto value) {
    using S = decltype(value);
    using T = Computed<S>;
    in_packs<S, 16 / sizeof(S)>(C, {data<S>(x), data<S>(y)}, [&](auto pack) {
      using Kernel = Filter<S, pack>;
      const Lanes lanes = Lanes::of(divided(C, pack));
      const int64_t across = divided(width, lanes.slots()), runs = divided(height, Kernel::RUN);
      const Kernel kernel = {data<S>(x),  data<T>(taps), data<S>(y),  int(H),    int(W),   int(C),    int(height),
                             int(width),  int(length),   int(up),     int(down), int(left), int(top), T(gain),
                             lanes,       int(across),   int(runs)};
      launch(x, B * runs * across * lanes.tiles, length * sizeof(T), kernel);
    });
  });
  return y;
}

}  // namespace
}  // namespace ganformer

STABLE_TORCH_LIBRARY_IMPL(ganformer, GANFORMER_KEY, library) {
  library.impl("upfirdn2d", TORCH_BOX(&ganformer::upfirdn2d));
}
