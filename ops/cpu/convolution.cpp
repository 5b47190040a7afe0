// 3 x 3 convolutions that keep the size, by minimal filtering F(4 x 4, 3 x 3) (Winograd; Lavin & Gray 2016, section 4):
// a tile of 4 x 4 results takes 36 multiplications for each pair of channels instead of 144.
//
//   result = At [(G w Gt) * (Bt patch B)] A,    patch: the 6 x 6 pixels that the tile depends on
//
// The transposed equations give the gradient of the weight. The matrices interpolate at 0, +-5/8, +-3/2 and infinity,
// where rounding is about twice that of a direct convolution; the usual 0, +-1, +-2 has five times.
//
// B images, H x W pixels, I and O channels; the channels of a pixel lie together in memory.

#include <cstdlib>

#include "parts.h"
#include "vectors.h"

namespace ganformer {
namespace {

constexpr int TILE = 4, PATCH = 6, PLACES = PATCH * PATCH;
constexpr int64_t TILES = 48;         // computed together by one thread
constexpr int64_t GRADIENT_TILES = 96;  // whose products are added to the gradient of the weight together
constexpr double A = 0.625, B = 1.5, A2 = A * A, B2 = B * B, A3 = A2 * A, B3 = B2 * B;
constexpr double SHARE_0 = 1 / (A2 * B2), SHARE_A = 1 / (2 * A2 * (A2 - B2)), SHARE_B = 1 / (2 * B2 * (B2 - A2));

// A product keeps 6 rows of WIDEST vectors in registers: of 32 of 64 or 16 bytes, or of 16.
#if defined(__AVX512F__)
constexpr int VECTOR = 64, WIDEST = 4;
#elif defined(__AVX__)
constexpr int VECTOR = 32, WIDEST = 2;
#elif defined(__aarch64__)
constexpr int VECTOR = 16, WIDEST = 4;
#else
constexpr int VECTOR = 16, WIDEST = 2;
#endif

template <typename T>
constexpr int FULL = VECTOR / sizeof(T);  // values in a vector

template <typename T>
constexpr int PANEL = WIDEST * FULL<T>;  // columns of a product that one pass computes

// Memory for `count` values, not initialised, that begins with a line of the cache.
template <typename T>
struct Buffer {
  explicit Buffer(int64_t count) : at(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64))) {
    STD_TORCH_CHECK(at != nullptr, "no memory for ", count, " values");
  }
  ~Buffer() { std::free(at); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* const at;
};

// The one-dimensional transforms: from[i * from_step] -> to[i * to_step].

constexpr auto transform_patch = [](const auto* from, auto* to, int from_step, int to_step) {  // Bt: 6 -> 6
  using T = std::decay_t<decltype(from[0][0])>;
  const auto d0 = from[0], d1 = from[from_step], d2 = from[2 * from_step];
  const auto d3 = from[3 * from_step], d4 = from[4 * from_step], d5 = from[5 * from_step];
  const auto even_a = d4 - T(B2) * d2, odd_a = T(A) * (d3 - T(B2) * d1);
  const auto even_b = d4 - T(A2) * d2, odd_b = T(B) * (d3 - T(A2) * d1);
  to[0] = T(A2 * B2) * d0 - T(A2 + B2) * d2 + d4;
  to[to_step] = even_a + odd_a;
  to[2 * to_step] = even_a - odd_a;
  to[3 * to_step] = even_b + odd_b;
  to[4 * to_step] = even_b - odd_b;
  to[5 * to_step] = T(A2 * B2) * d1 - T(A2 + B2) * d3 + d5;
};

constexpr auto transform_weight = [](const auto* from, auto* to, int from_step, int to_step) {  // G: 3 -> 6
  using T = std::decay_t<decltype(from[0][0])>;
  const auto g0 = from[0], g1 = from[from_step], g2 = from[2 * from_step];
  const auto even_a = T(SHARE_A) * g0 + T(A2 * SHARE_A) * g2, odd_a = T(A * SHARE_A) * g1;
  const auto even_b = T(SHARE_B) * g0 + T(B2 * SHARE_B) * g2, odd_b = T(B * SHARE_B) * g1;
  to[0] = T(SHARE_0) * g0;
  to[to_step] = even_a + odd_a;
  to[2 * to_step] = even_a - odd_a;
  to[3 * to_step] = even_b + odd_b;
  to[4 * to_step] = even_b - odd_b;
  to[5 * to_step] = g2;
};

constexpr auto gather_weight = [](const auto* from, auto* to, int from_step, int to_step) {  // Gt: 6 -> 3
  using T = std::decay_t<decltype(from[0][0])>;
  const auto sum_a = from[from_step] + from[2 * from_step], gap_a = from[from_step] - from[2 * from_step];
  const auto sum_b = from[3 * from_step] + from[4 * from_step], gap_b = from[3 * from_step] - from[4 * from_step];
  to[0] = T(SHARE_0) * from[0] + T(SHARE_A) * sum_a + T(SHARE_B) * sum_b;
  to[to_step] = T(A * SHARE_A) * gap_a + T(B * SHARE_B) * gap_b;
  to[2 * to_step] = T(A2 * SHARE_A) * sum_a + T(B2 * SHARE_B) * sum_b + from[5 * from_step];
};

constexpr auto gather_tile = [](const auto* from, auto* to, int from_step, int to_step) {  // At: 6 -> 4
  using T = std::decay_t<decltype(from[0][0])>;
  const auto sum_a = from[from_step] + from[2 * from_step], gap_a = from[from_step] - from[2 * from_step];
  const auto sum_b = from[3 * from_step] + from[4 * from_step], gap_b = from[3 * from_step] - from[4 * from_step];
  to[0] = from[0] + sum_a + sum_b;
  to[to_step] = T(A) * gap_a + T(B) * gap_b;
  to[2 * to_step] = T(A2) * sum_a + T(B2) * sum_b;
  to[3 * to_step] = T(A3) * gap_a + T(B3) * gap_b + from[5 * from_step];
};

constexpr auto transform_tile = [](const auto* from, auto* to, int from_step, int to_step) {  // A: 4 -> 6
  using T = std::decay_t<decltype(from[0][0])>;
  const auto y0 = from[0], y1 = from[from_step], y2 = from[2 * from_step], y3 = from[3 * from_step];
  const auto even_a = y0 + T(A2) * y2, odd_a = T(A) * y1 + T(A3) * y3;
  const auto even_b = y0 + T(B2) * y2, odd_b = T(B) * y1 + T(B3) * y3;
  to[0] = y0;
  to[to_step] = even_a + odd_a;
  to[2 * to_step] = even_a - odd_a;
  to[3 * to_step] = even_b + odd_b;
  to[4 * to_step] = even_b - odd_b;
  to[5 * to_step] = y3;
};

// A one-dimensional transform along both axes: from [FROM, FROM] -> to [TO, TO].
template <int FROM, int TO, typename V, typename Line>
inline void along_both(const V* from, V* to, const Line& line) {
  V rows[FROM * TO];
  for (int i = 0; i < FROM; ++i) line(from + i * FROM, rows + i * TO, 1, 1);
  for (int j = 0; j < TO; ++j) line(rows + j, to + j, TO, TO);
}

// Images that are cut into tiles.
struct Grid {
  int64_t height, width, down, across;
  Grid(const Tensor& x)
      : height(x.size(1)), width(x.size(2)), down((height + TILE - 1) / TILE), across((width + TILE - 1) / TILE) {}
  int64_t tiles(int64_t images) const { return images * down * across; }
  int64_t image(int64_t tile) const { return tile / (down * across); }
  int64_t top(int64_t tile) const { return tile / across % down * TILE; }
  int64_t left(int64_t tile) const { return tile % across * TILE; }
};

// The values of a tile's pixels from `margin` before its first one, SIZE x SIZE of them; zero outside the image.
template <int SIZE, int N, typename S, typename V>
inline void read(const S* image, const Grid& grid, int64_t top, int64_t left, int64_t channels, int64_t c, V* values) {
  for (int64_t i = 0; i < SIZE; ++i)
    for (int64_t j = 0; j < SIZE; ++j) {
      const int64_t h = top + i, w = left + j;
      const bool inside = h >= 0 && h < grid.height && w >= 0 && w < grid.width;
      values[i * SIZE + j] = inside ? take<N>(image + (h * grid.width + w) * channels + c) : V{};
    }
}

// Transformed pixels of `count` tiles from `first`: to [PLACES, room, channels]. Of each tile SIZE x SIZE pixels are
// read, from `margin` before its first one.
template <int SIZE, typename S, typename Line, typename T = Computed<S>>
inline void transform(const S* x, const Grid& grid, int64_t margin, const Line& line, int64_t channels, int64_t first,
                      int64_t count, int64_t room, T* to) {
  constexpr int N = FULL<T>;
  using V = typename Lanes<T, N>::type;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t tile = first + t;
    const S* from = x + grid.image(tile) * grid.height * grid.width * channels;
    for (int64_t c = 0; c < channels; c += N) {
      V values[SIZE * SIZE], all[PLACES];
      read<SIZE, N>(from, grid, grid.top(tile) - margin, grid.left(tile) - margin, channels, c, values);
      along_both<SIZE, PATCH>(values, all, line);
      for (int p = 0; p < PLACES; ++p) store<T, N>(to + (p * room + t) * channels + c, all[p]);
    }
  }
}

// Results of `count` tiles from `first`: sums [PLACES, room, channels] -> y.
template <typename S, typename T = Computed<S>>
void write_tiles(const T* sums, const Grid& grid, int64_t channels, int64_t first, int64_t count, int64_t room, S* y) {
  constexpr int N = FULL<T>;
  using V = typename Lanes<T, N>::type;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t tile = first + t, top = grid.top(tile), left = grid.left(tile);
    const int64_t height = std::min<int64_t>(TILE, grid.height - top), width = std::min<int64_t>(TILE, grid.width - left);
    S* to = y + (grid.image(tile) * grid.height * grid.width + top * grid.width + left) * channels;
    for (int64_t c = 0; c < channels; c += N) {
      V all[PLACES], values[TILE * TILE];
      for (int p = 0; p < PLACES; ++p) all[p] = load<T, N>(sums + (p * room + t) * channels + c);
      along_both<PATCH, TILE>(all, values, gather_tile);
      for (int64_t i = 0; i < height; ++i)
        for (int64_t j = 0; j < width; ++j) give<N>(to + (i * grid.width + j) * channels + c, values[i * TILE + j]);
    }
  }
}

// out[r][c] (+)= sum_k a[r * a_row + k * a_step] * b[k * b_row + c] for ROWS x (WIDE vectors) values.
template <int ROWS, int WIDE, bool ADD, typename T>
inline void multiply_tile(const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_row, T* out, int64_t out_row,
                          int64_t depth) {
  constexpr int N = FULL<T>;
  using V = typename Lanes<T, N>::type;
  V total[ROWS][WIDE];
  for (int r = 0; r < ROWS; ++r)
    for (int w = 0; w < WIDE; ++w) total[r][w] = ADD ? load<T, N>(out + r * out_row + w * N) : V{};
  for (int64_t k = 0; k < depth; ++k, a += a_step, b += b_row) {
    V value[WIDE];
    for (int w = 0; w < WIDE; ++w) value[w] = load<T, N>(b + w * N);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
      for (int w = 0; w < WIDE; ++w) total[r][w] += a[r * a_row] * value[w];
  }
  for (int r = 0; r < ROWS; ++r)
    for (int w = 0; w < WIDE; ++w) store<T, N>(out + r * out_row + w * N, total[r][w]);
}

// The same for any number of rows.
template <int WIDE, bool ADD, typename T>
inline void multiply_rows(const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_row, T* out, int64_t out_row,
                          int64_t rows, int64_t depth) {
  int64_t r = 0;
  const auto by = [&](auto size) {
    constexpr int ROWS = decltype(size)::value;
    for (; r + ROWS <= rows; r += ROWS)
      multiply_tile<ROWS, WIDE, ADD>(a + r * a_row, a_row, a_step, b, b_row, out + r * out_row, out_row, depth);
  };
  by(std::integral_constant<int, 6>());
  by(std::integral_constant<int, 3>());
  by(std::integral_constant<int, 1>());
}

// Calls part(wide, c, columns) for panels of columns that together are all of them; a panel has `wide` vectors.
template <typename T, typename Part>
inline void panels(int64_t columns, const Part& part) {
  int64_t c = 0;
  for (; c + PANEL<T> <= columns; c += PANEL<T>) part(std::integral_constant<int, WIDEST>(), c);
  for (; c + 2 * FULL<T> <= columns; c += 2 * FULL<T>) part(std::integral_constant<int, 2>(), c);
  for (; c < columns; c += FULL<T>) part(std::integral_constant<int, 1>(), c);
}

// Copies weights of `columns` outputs and `rows` inputs to [9, rows, columns], or back from there.
template <bool BACK, typename S, typename T>
inline void turn_weights(S* weight, int64_t of_output, int64_t of_input, bool reversed, T* local, int64_t rows,
                         int64_t columns) {
  for (int64_t o = 0; o < columns; ++o)
    for (int64_t i = 0; i < rows; ++i)
      for (int k = 0; k < 9; ++k) {
        S& there = weight[o * of_output + i * of_input + (reversed ? 8 - k : k)];
        T& here = local[(k * rows + i) * columns + o];
        if constexpr (BACK)
          there = narrow<S>(here);
        else
          here = widen(there);
      }
}

constexpr int64_t ROWS = 4;  // input channels whose weights are transformed together

// The weight [O, I, 3, 3] transformed, for products with rows of `inputs` channels: [PLACES, panels of outputs, inputs,
// a panel's columns]. The adjoint convolution has the channels exchanged and the weight turned round.
template <typename S, typename T = Computed<S>>
void transform_weights(S* weight, int64_t inputs, int64_t outputs, bool adjoint, T* to) {
  constexpr int N = FULL<T>;
  using V = typename Lanes<T, N>::type;
  const int64_t of_output = adjoint ? 9 : inputs * 9, of_input = adjoint ? outputs * 9 : 9;
  torch::stable::parallel_for(0, inputs / ROWS, 4, [&](int64_t begin, int64_t end) {
    Buffer<T> local(9 * ROWS * PANEL<T>), all(PLACES * ROWS * PANEL<T>);
    for (int64_t i = begin * ROWS; i < end * ROWS; i += ROWS)
      panels<T>(outputs, [&](auto wide, int64_t c) {
        constexpr int64_t COLUMNS = decltype(wide)::value * N, SIZE = ROWS * COLUMNS;
        turn_weights<false>(weight + c * of_output + i * of_input, of_output, of_input, adjoint, local.at, ROWS, COLUMNS);
        for (int64_t at = 0; at < SIZE; at += N) {
          V values[9], results[PLACES];
          for (int k = 0; k < 9; ++k) values[k] = load<T, N>(local.at + k * SIZE + at);
          along_both<3, PATCH>(values, results, transform_weight);
          for (int p = 0; p < PLACES; ++p) store<T, N>(all.at + p * SIZE + at, results[p]);
        }
        for (int64_t p = 0; p < PLACES; ++p)
          std::copy_n(all.at + p * SIZE, SIZE, to + p * inputs * outputs + c * inputs + i * COLUMNS);
      });
  });
}

// The gradient [O, I, 3, 3] of the weight from sums [PLACES, I, O].
template <typename S, typename T = Computed<S>>
void gather_weights(const T* sums, int64_t inputs, int64_t outputs, S* gradient) {
  constexpr int N = FULL<T>;
  using V = typename Lanes<T, N>::type;
  torch::stable::parallel_for(0, inputs / ROWS, 4, [&](int64_t begin, int64_t end) {
    Buffer<T> local(9 * ROWS * PANEL<T>);
    for (int64_t i = begin * ROWS; i < end * ROWS; i += ROWS)
      panels<T>(outputs, [&](auto wide, int64_t c) {
        constexpr int64_t COLUMNS = decltype(wide)::value * N, SIZE = ROWS * COLUMNS;
        for (int64_t r = 0; r < ROWS; ++r)
          for (int64_t o = 0; o < COLUMNS; o += N) {
            V all[PLACES], values[9];
            for (int p = 0; p < PLACES; ++p) all[p] = load<T, N>(sums + (p * inputs + i + r) * outputs + c + o);
            along_both<PATCH, 3>(all, values, gather_weight);
            for (int k = 0; k < 9; ++k) store<T, N>(local.at + k * SIZE + r * COLUMNS + o, values[k]);
          }
        turn_weights<true>(gradient + (c * inputs + i) * 9, inputs * 9, 9, false, local.at, ROWS, COLUMNS);
      });
  });
}

// x [B, H, W, inputs] -> y [B, H, W, outputs]
template <typename S>
void convolve_typed(const Tensor& x, const Tensor& weight, bool adjoint, const Tensor& y) {
  using T = Computed<S>;
  const int64_t inputs = x.size(3), outputs = y.size(3);
  const Grid grid(x);
  const int64_t tiles = grid.tiles(x.size(0)), room = std::min(TILES, tiles);
  Buffer<T> weights(PLACES * inputs * outputs);
  transform_weights(data<S>(weight), inputs, outputs, adjoint, weights.at);
  const S* const x_at = data<S>(x);
  S* const y_at = data<S>(y);
  torch::stable::parallel_for(0, (tiles + TILES - 1) / TILES, 1, [&](int64_t begin, int64_t end) {
    Buffer<T> patches(PLACES * room * inputs), sums(PLACES * room * outputs);
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * TILES, count = std::min(TILES, tiles - first);
      transform<PATCH>(x_at, grid, 1, transform_patch, inputs, first, count, room, patches.at);
      for (int p = 0; p < PLACES; ++p)
        panels<T>(outputs, [&](auto wide, int64_t c) {
          constexpr int WIDE = decltype(wide)::value;
          multiply_rows<WIDE, false>(patches.at + p * room * inputs, inputs, 1,
                                     weights.at + p * inputs * outputs + c * inputs, WIDE * FULL<T>,
                                     sums.at + p * room * outputs + c, outputs, count, inputs);
        });
      write_tiles(sums.at, grid, outputs, first, count, room, y_at);
    }
  });
}

// x [B, H, W, I], grad [B, H, W, O] -> the gradient of the weight [O, I, 3, 3]. Products are added in the order of the
// tiles, whatever the number of threads.
template <typename S>
void weight_gradient_typed(const Tensor& x, const Tensor& grad, const Tensor& gradient) {
  using T = Computed<S>;
  const int64_t I = x.size(3), O = grad.size(3);
  const Grid grid(x);
  const int64_t tiles = grid.tiles(x.size(0)), room = std::min(GRADIENT_TILES, tiles);
  const S* const x_at = data<S>(x);
  const S* const grad_at = data<S>(grad);
  Buffer<T> patches(PLACES * room * I), above(PLACES * room * O), sums(PLACES * I * O);
  for (int64_t first = 0; first < tiles; first += GRADIENT_TILES) {
    const int64_t count = std::min(GRADIENT_TILES, tiles - first);
    torch::stable::parallel_for(0, count, 4, [&](int64_t begin, int64_t end) {
      transform<PATCH>(x_at, grid, 1, transform_patch, I, first + begin, end - begin, room, patches.at + begin * I);
      transform<TILE>(grad_at, grid, 0, transform_tile, O, first + begin, end - begin, room, above.at + begin * O);
    });
    torch::stable::parallel_for(0, PLACES, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p)
        panels<T>(O, [&](auto wide, int64_t c) {
          constexpr int WIDE = decltype(wide)::value;
          const T *a = patches.at + p * room * I, *b = above.at + p * room * O + c;
          T* out = sums.at + p * I * O + c;
          if (first)
            multiply_rows<WIDE, true>(a, 1, I, b, O, out, O, I, count);
          else
            multiply_rows<WIDE, false>(a, 1, I, b, O, out, O, I, count);
        });
    });
  }
  gather_weights(sums.at, I, O, data<S>(gradient));
}

// x [B, H, W, inputs], weight [O, I, 3, 3] -> [B, H, W, outputs]; inputs and outputs are I and O, adjoint O and I.
Tensor convolve(Tensor x, Tensor weight, bool adjoint) {
  Tensor y = torch::stable::new_empty(x, {x.size(0), x.size(1), x.size(2), weight.size(adjoint ? 1 : 0)});
  typed(x, [&](auto value) { convolve_typed<decltype(value)>(x, weight, adjoint, y); });
  return y;
}

Tensor weight_gradient(Tensor x, Tensor grad) {
  Tensor gradient = torch::stable::new_empty(x, {grad.size(3), x.size(3), 3, 3});
  typed(x, [&](auto value) { weight_gradient_typed<decltype(value)>(x, grad, gradient); });
  return gradient;
}

}  // namespace
}  // namespace ganformer

STABLE_TORCH_LIBRARY_FRAGMENT(ganformer, library) {
  library.def("convolve(Tensor x, Tensor weight, bool adjoint) -> Tensor");
  library.def("weight_gradient(Tensor x, Tensor grad) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganformer, CPU, library) {
  library.impl("convolve", TORCH_BOX(&ganformer::convolve));
  library.impl("weight_gradient", TORCH_BOX(&ganformer::weight_gradient));
}
