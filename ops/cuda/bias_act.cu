// Scale, noise, bias, activation, gain and clamp of features in one pass forward and one backward. The equations are
// those of the PyTorch definition in ../bias_act.py, whose names are used here.
//
// x [B, C, H, W] in channels_last memory: B images of N pixels, whose C channels lie together.

#include "launch.h"

namespace ganformer {
namespace {

constexpr int EACH = 16;  // pixels of a thread

// The activation: multiplied with `positive` above zero, with `negative` elsewhere, and limited to +-`limit` unless 0.
template <typename T>
struct Activation {
  T positive, negative, limit;
};

// Blocks of `rows` pixels of an image and a tile of its channels.
struct Tiles {
  int64_t N, C;
  Lanes lanes;
  int64_t rows, parts;

  Tiles(int64_t N, int64_t C, int width) : N(N), C(C), lanes(Lanes::of(divided(C, width))) {
    rows = EACH * lanes.slots();
    parts = divided(N, rows);
  }

  int64_t blocks(int64_t images) const { return images * parts * lanes.tiles; }
  constexpr int64_t tile(int64_t block) const { return block % lanes.tiles; }
  constexpr int64_t part(int64_t block) const { return block / lanes.tiles % parts; }
  constexpr int64_t image(int64_t block) const { return block / lanes.tiles / parts; }
};

template <typename S, int WIDTH>
struct Forward {
  using T = Computed<S>;
  const S* x;
  const T *scale, *noise, *bias;
  Activation<T> act;
  S* y;
  Tiles tiles;

  GANFORMER_DEVICE void operator()(const Block& block) const {
    const int64_t b = tiles.image(block.index), first = tiles.part(block.index) * tiles.rows;
    const int64_t last = first + tiles.rows < tiles.N ? first + tiles.rows : tiles.N;
    const Lanes& lanes = tiles.lanes;
    block.each([&](int thread) {
      const int64_t c = (tiles.tile(block.index) * lanes.count + lanes.lane(thread)) * WIDTH;
      if (c >= tiles.C) return;
      T times[WIDTH], plus[WIDTH];
      for (int w = 0; w < WIDTH; ++w) {
        times[w] = scale ? scale[b * tiles.C + c + w] : T(1);
        plus[w] = bias ? bias[c + w] : T(0);
      }
#pragma unroll 4
      for (int64_t n = first + lanes.slot(thread); n < last; n += lanes.slots()) {
        const int64_t at = (b * tiles.N + n) * tiles.C + c;
        const T drawn = noise ? noise[b * tiles.N + n] : T(0);
        const Pack<S, WIDTH> from = fetch<WIDTH>(x + at);
        Pack<S, WIDTH> to;
        for (int w = 0; w < WIDTH; ++w) {
          const T sum = widen(from.values[w]) * times[w] + (drawn + plus[w]);
          T value = sum * (sum > 0 ? act.positive : act.negative);
          if (act.limit > 0) {
            value = value > act.limit ? act.limit : value;
            value = value < -act.limit ? -act.limit : value;
          }
          to.values[w] = narrow<S>(value);
        }
        store(y + at, to);
      }
    });
  }
};

// The gradient of x; sums over the pixels of each part in `grad_scale` and `grad_bias` [B, parts, C], over the channels
// of each tile in `grad_noise` [B, tiles, N], each unless null.
template <typename S, int WIDTH>
struct Backward {
  using T = Computed<S>;
  const S *grad, *y, *x;
  const T* scale;
  Activation<T> act;
  S* grad_x;
  T *grad_scale, *grad_noise, *grad_bias;
  Tiles tiles;

  struct Sums {
    T of_scale[WIDTH], of_bias[WIDTH];
  };

  // Shared memory has the sums of rows, lane by lane, in rows of an odd length, then those of channels, slot by slot.
  constexpr int stride() const { return tiles.lanes.count | 1; }
  int64_t shared() const {
    const int64_t sums = int64_t(THREADS) * WIDTH * (grad_scale || grad_bias ? 2 : 0);
    return sizeof(T) * std::max(sums, grad_noise ? tiles.rows * stride() : int64_t(0));
  }

  GANFORMER_DEVICE void operator()(const Block& block) const {
    const int64_t b = tiles.image(block.index), part = tiles.part(block.index), tile = tiles.tile(block.index);
    const int64_t first = part * tiles.rows, C = tiles.C, N = tiles.N;
    const int rows = static_cast<int>(tiles.rows < N - first ? tiles.rows : N - first);
    const Lanes& lanes = tiles.lanes;
    T* const space = block.shared<T>();
    auto own = block.own<Sums>();
    block.each([&](int thread) {
      const int64_t c = (tile * lanes.count + lanes.lane(thread)) * WIDTH;
      const bool is_inside = c < C;
      Sums sums = {};
      T times[WIDTH];
      for (int w = 0; w < WIDTH; ++w) times[w] = scale && is_inside ? scale[b * C + c + w] : T(1);
#pragma unroll 2
      for (int row = lanes.slot(thread); row < rows; row += lanes.slots()) {
        T total = 0;
        if (is_inside) {
          const int64_t at = (b * N + first + row) * C + c;
          const Pack<S, WIDTH> above = fetch<WIDTH>(grad + at), results = fetch<WIDTH>(y + at);
          Pack<S, WIDTH> to, from = {};
          if (grad_scale) from = fetch<WIDTH>(x + at);
          for (int w = 0; w < WIDTH; ++w) {
            const T result = widen(results.values[w]);
            T slope = result > 0 ? act.positive : act.negative;
            if (act.limit > 0 && !(result < act.limit && result > -act.limit)) slope = 0;
            const T inner = widen(above.values[w]) * slope;
            to.values[w] = narrow<S>(inner * times[w]);
            sums.of_bias[w] += inner;
            sums.of_scale[w] += inner * widen(from.values[w]);
            total += inner;
          }
          store(grad_x + at, to);
        }
        if (grad_noise) space[row * stride() + lanes.lane(thread)] = total;
      }
      own[thread] = sums;
    });
    if (grad_noise)
      block.each([&](int thread) {
        for (int row = thread; row < rows; row += THREADS) {
          T total = 0;
          for (int lane = 0; lane < lanes.count; ++lane) total += space[row * stride() + lane];
          grad_noise[(b * lanes.tiles + tile) * N + first + row] = total;
        }
      });
    if (!grad_scale && !grad_bias) return;
    const int width = lanes.count * WIDTH;
    block.each([&](int thread) {
      for (int w = 0; w < WIDTH; ++w) {
        const int at = lanes.slot(thread) * width + lanes.lane(thread) * WIDTH + w;
        space[at] = own[thread].of_scale[w];
        space[THREADS * WIDTH + at] = own[thread].of_bias[w];
      }
    });
    block.each([&](int thread) {
      for (int i = thread; i < width; i += THREADS) {
        const int64_t c = tile * width + i;
        if (c >= C) continue;
        T of_scale = 0, of_bias = 0;
        for (int slot = 0; slot < lanes.slots(); ++slot) {
          of_scale += space[slot * width + i];
          of_bias += space[THREADS * WIDTH + slot * width + i];
        }
        if (grad_scale) grad_scale[(b * tiles.parts + part) * C + c] = of_scale;
        if (grad_bias) grad_bias[(b * tiles.parts + part) * C + c] = of_bias;
      }
    });
  }
};

template <typename S>
constexpr int PACK = 16 / sizeof(S);  // channels in 16 bytes

Tensor bias_act(Tensor x, std::optional<Tensor> scale, std::optional<Tensor> noise, std::optional<Tensor> bias,
                double alpha, double gain, double clamp) {
  Tensor y = torch::stable::empty_like(x);
  const int64_t B = x.size(0), C = x.size(1), N = x.size(2) * x.size(3);
  typed(x, [&](auto value) {
    using S = decltype(value);
    using T = Computed<S>;
    in_packs<S, PACK<S>>(C, {data<S>(x), data<S>(y)}, [&](auto width) {
      const Tiles tiles(N, C, width);
      const Forward<S, width> kernel = {data<S>(x),    data<T>(scale),
                                        data<T>(noise), data<T>(bias),
                                        {T(gain), T(gain * alpha), T(clamp)},
                                        data<S>(y),    tiles};
      launch(x, tiles.blocks(B), 0, kernel);
    });
  });
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> bias_act_backward(Tensor grad, Tensor y, std::optional<Tensor> x,
                                                             std::optional<Tensor> scale, double alpha, double gain,
                                                             double clamp, bool of_noise, bool of_bias) {
  const int64_t B = grad.size(0), C = grad.size(1), H = grad.size(2), W = grad.size(3), N = H * W;
  const auto type = computed_type(grad);
  const Tensor none = torch::stable::new_empty(grad, {0}, type);
  Tensor grad_x = torch::stable::empty_like(grad), grad_scale = none, grad_noise = none, grad_bias = none;
  typed(grad, [&](auto value) {
    using S = decltype(value);
    using T = Computed<S>;
    in_packs<S, PACK<S>>(C, {data<S>(grad), data<S>(y), data<S>(x), data<S>(grad_x)}, [&](auto width) {
      const Tiles tiles(N, C, width);
      if (x) grad_scale = torch::stable::new_empty(grad, {B, tiles.parts, C}, type);
      if (of_noise) grad_noise = torch::stable::new_empty(grad, {B, tiles.lanes.tiles, H, W}, type);
      if (of_bias) grad_bias = torch::stable::new_empty(grad, {B, tiles.parts, C}, type);
      const Backward<S, width> kernel = {data<S>(grad),
                                         data<S>(y),
                                         data<S>(x),
                                         data<T>(scale),
                                         {T(gain), T(gain * alpha), T(clamp)},
                                         data<S>(grad_x),
                                         x ? data<T>(grad_scale) : nullptr,
                                         of_noise ? data<T>(grad_noise) : nullptr,
                                         of_bias ? data<T>(grad_bias) : nullptr,
                                         tiles};
      launch(grad, tiles.blocks(B), kernel.shared(), kernel);
    });
  });
  if (of_noise && grad_noise.size(1) > 1) {
    const int64_t dims[] = {1};
    grad_noise = torch::stable::sum(grad_noise, torch::headeronly::IntHeaderOnlyArrayRef(dims, 1), true);
  }
  return {grad_x, grad_scale, grad_noise, grad_bias};
}

}  // namespace
}  // namespace ganformer

STABLE_TORCH_LIBRARY_IMPL(ganformer, GANFORMER_KEY, library) {
  library.impl("bias_act", TORCH_BOX(&ganformer::bias_act));
  library.impl("bias_act_backward", TORCH_BOX(&ganformer::bias_act_backward));
}
