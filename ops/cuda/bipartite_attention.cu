// Attention between an image and a few components. The equations are those of the PyTorch definition in
// ../bipartite_attention.py, whose names are used here.
//
// B images, n pixels, C channels, K = heads x components rows of keys, values and weights.
//
// Blocks of TILE pixels take the products over channels, the softmax over components, and the sums over components;
// blocks of PART pixels and a tile of channels take the sums over pixels. These are added up in PyTorch.

#include "launch.h"

namespace ganformer {
namespace {

constexpr double EPSILON = 1e-8;
constexpr int TILE = 32;               // pixels of a block
constexpr int GROUPS = THREADS / TILE;  // threads that share a pixel
constexpr int KEYS = 4;                // of a thread at once
constexpr int CHUNK = 32;              // channels in shared memory at once
constexpr int STRIDE = CHUNK + 4;      // of pixels in shared memory, so that neighbours lie in different banks
constexpr int WIDTH = 4;               // channels of a pack
constexpr int PIXELS = 4;              // of a thread at once, where it sums over components
constexpr int PART = 256;              // pixels whose sums are added up together
constexpr int ROWS = 16;               // keys of a block that sums over pixels
constexpr int STAGE = 64;              // pixels whose weights are in shared memory at once
constexpr int STAGE_STRIDE = ROWS + 4;
static_assert(CHUNK == GROUPS * WIDTH);

// A tile of pixels: `first` of image b, and `count` of them.
struct Tile {
  int64_t b, first;
  int count;
};

GANFORMER_DEVICE inline Tile tile_of(int64_t block, int64_t n) {
  const int64_t tiles = divided(n, TILE), first = block % tiles * TILE;
  return {block / tiles, first, static_cast<int>(n - first < TILE ? n - first : TILE)};
}

// Shared memory of the products of a tile: `pixels` [TILE, STRIDE], `keys` [GROUPS * KEYS, CHUNK], and `others`
// [GROUPS, TILE].
template <typename T>
struct Products {
  static constexpr int64_t SIZE = TILE * STRIDE + GROUPS * KEYS * CHUNK + GROUPS * TILE;
  T *pixels, *keys, *others;

  GANFORMER_DEVICE explicit Products(T* space)
      : pixels(space), keys(pixels + TILE * STRIDE), others(keys + GROUPS * KEYS * CHUNK) {}

  struct Sums {
    T of_keys[KEYS], other;
  };

  // Calls result(k, p, sum_c row(p, c) * from[k, c]) for all rows of `from` [K, C] and TILE pixels, where row is 0 behind
  // the last one, and puts sum_c other(c, row(p, c)) in `others`, in GROUPS summands.
  template <typename Row, typename Other, typename Result>
  GANFORMER_DEVICE void sum(const Block& block, const T* from, int K, int C, int count, const Row& row,
                            const Other& other, const Result& result) const {
    for (int k = 0; k < K; k += GROUPS * KEYS) {
      auto own = block.own<Sums>();
      for (int c = 0; c < C; c += CHUNK) {
        block.each([&](int thread) {
          for (int i = thread; i < TILE * CHUNK; i += THREADS) {
            const int p = i / CHUNK, channel = c + i % CHUNK;
            pixels[p * STRIDE + i % CHUNK] = p < count && channel < C ? row(p, channel) : T(0);
          }
          for (int i = thread; i < GROUPS * KEYS * CHUNK; i += THREADS) {
            const int key = k + i / CHUNK, channel = c + i % CHUNK;
            keys[i] = key < K && channel < C ? from[int64_t(key) * C + channel] : T(0);
          }
        });
        block.each([&](int thread) {
          const int p = thread % TILE, group = thread / TILE;
          Sums sums = own[thread];
          for (int i = 0; i < CHUNK; i += WIDTH) {
            const Pack<T, WIDTH> x = load<WIDTH>(pixels + p * STRIDE + i);
#pragma unroll
            for (int j = 0; j < KEYS; ++j) {
              if (k + group + j * GROUPS >= K) break;  // the same in all threads of a warp
              const Pack<T, WIDTH> key = load<WIDTH>(keys + (group + j * GROUPS) * CHUNK + i);
              for (int w = 0; w < WIDTH; ++w) sums.of_keys[j] += x.values[w] * key.values[w];
            }
          }
          if (k == 0)
            for (int w = 0; w < WIDTH; ++w) {
              const int i = group * WIDTH + w;
              if (c + i < C) sums.other += other(c + i, pixels[p * STRIDE + i]);
            }
          own[thread] = sums;
        });
      }
      block.each([&](int thread) {
        const int p = thread % TILE, group = thread / TILE;
        const Sums& sums = own[thread];
#pragma unroll
        for (int j = 0; j < KEYS; ++j)
          if (k + group + j * GROUPS < K) result(k + group + j * GROUPS, p, sums.of_keys[j]);
        if (k == 0) others[group * TILE + p] = sums.other;
      });
    }
  }

  GANFORMER_DEVICE T other(int p) const {
    T sum = 0;
    for (int group = 0; group < GROUPS; ++group) sum += others[group * TILE + p];
    return sum;
  }
};

// Adds sum_k weights[k, p] * rows[k, c] to PIXELS pixels from p on; weights [K, TILE] lie in shared memory.
template <int N, typename T>
GANFORMER_DEVICE inline void expand(const T* weights, const T* rows, int K, int C, int p, int c, T (&sums)[PIXELS][N]) {
  for (int k = 0; k < K; ++k) {
    const Pack<T, N> row = fetch<N>(rows + int64_t(k) * C + c);
    const Pack<T, PIXELS> weight = load<PIXELS>(weights + k * TILE + p);
#pragma unroll
    for (int i = 0; i < PIXELS; ++i)
      for (int w = 0; w < N; ++w) sums[i][w] += weight.values[i] * row.values[w];
  }
}

// Calls work(p, c) for packs of N channels of PIXELS pixels that together are the tile.
template <int N, typename Work>
GANFORMER_DEVICE inline void over_tile(const Lanes& lanes, int thread, int C, int count, const Work& work) {
  for (int p = lanes.slot(thread) * PIXELS; p < count; p += lanes.slots() * PIXELS)
    for (int c = lanes.lane(thread) * N; c < C; c += lanes.count * N) work(p, c);
}

template <typename S, int N>
struct Attend {
  using T = Computed<S>;
  const S* x;
  const T *keys, *places, *factor, *values, *gain;
  S* y;
  T *weights, *scale;
  int64_t n;
  int C, K, heads;
  bool normalise;
  Lanes lanes;

  int64_t shared() const { return sizeof(T) * (Products<T>::SIZE + TILE + int64_t(K) * TILE); }

  GANFORMER_DEVICE void operator()(const Block& block) const {
    const Tile tile = tile_of(block.index, n);
    const int64_t b = tile.b;
    const int count = tile.count;
    const S* const pixels = x + (b * n + tile.first) * C;
    const Products<T> products(block.shared<T>());
    T* const roots = block.shared<T>() + Products<T>::SIZE;
    T* const rows = roots + TILE;  // scores, then weights [K, TILE]
    products.sum(
        block, keys + b * K * C, K, C, count, [&](int p, int c) { return widen(pixels[int64_t(p) * C + c]); },
        [](int, T value) { return value * value; },
        [&](int k, int p, T sum) {
          rows[k * TILE + p] = p < count ? sum + places[(b * K + k) * n + tile.first + p] : T(0);
        });
    block.each([&](int thread) {
      const int components = K / heads;
      for (int i = thread; i < TILE * heads; i += THREADS) {
        const int p = i % TILE, head = i / TILE * components;
        T* const row = rows + head * TILE + p;
        T most = row[0], total = 0;
        for (int k = 1; k < components; ++k) most = row[k * TILE] > most ? row[k * TILE] : most;
        for (int k = 0; k < components; ++k) total += row[k * TILE] = std::exp(row[k * TILE] - most);
        for (int k = 0; k < components; ++k) {
          T weight = row[k * TILE] / total;
          if (p < count) {
            const int64_t at = (b * K + head + k) * n + tile.first + p;
            weights[at] = weight;
            if (factor) weight *= factor[at];
          }
          row[k * TILE] = weight;
        }
      }
      if (thread < count) {
        roots[thread] = normalise ? 1 / std::sqrt(products.other(thread) / C + T(EPSILON)) : T(1);
        scale[b * n + tile.first + thread] = roots[thread];
      }
    });
    block.each([&](int thread) {
      over_tile<N>(lanes, thread, C, count, [&](int p, int c) {
        T sums[PIXELS][N];
        for (int i = 0; i < PIXELS; ++i)
          for (int w = 0; w < N; ++w) sums[i][w] = gain[c + w];
        expand<N>(rows, values + b * K * C, K, C, p, c, sums);
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
          if (p + i >= count) continue;
          const Pack<S, N> from = fetch<N>(pixels + int64_t(p + i) * C + c);
          Pack<S, N> to;
          for (int w = 0; w < N; ++w) to.values[w] = narrow<S>(widen(from.values[w]) * roots[p + i] * sums[i][w]);
          store(y + (b * n + tile.first + p + i) * C + c, to);
        }
      });
    });
  }
};

// The gradients of x, places and factor; those of keys, values and gain are sums over pixels, see Sum.
template <typename S, int N>
struct AttendBackward {
  using T = Computed<S>;
  const S* grad;
  const T* grad_weights;
  const S* x;
  const T *keys, *factor, *values, *gain, *weights, *scale;
  S* grad_x;
  T *grad_places, *grad_factor;
  int64_t n;
  int C, K, heads;
  bool normalise;
  Lanes lanes;

  int64_t shared() const { return sizeof(T) * (Products<T>::SIZE + 2 * TILE + 2 * int64_t(K) * TILE); }

  GANFORMER_DEVICE void operator()(const Block& block) const {
    const Tile tile = tile_of(block.index, n);
    const int64_t b = tile.b, start = (b * n + tile.first) * C;
    const int count = tile.count;
    const Products<T> products(block.shared<T>());
    T* const roots = block.shared<T>() + Products<T>::SIZE;
    T* const along = roots + TILE;          // what the normalisation takes away from the gradient of x, per x
    T* const slopes = along + TILE;         // gradients of the weights, then of the scores [K, TILE]
    T* const thinned = slopes + K * TILE;  // weights times factor [K, TILE]
    block.each([&](int thread) {
      if (thread < TILE) roots[thread] = thread < count ? scale[b * n + tile.first + thread] : T(0);
    });
    // Rows are the gradient of what x is multiplied with.
    products.sum(
        block, values + b * K * C, K, C, count,
        [&](int p, int c) {
          const int64_t at = start + int64_t(p) * C + c;
          return widen(grad[at]) * widen(x[at]) * roots[p];
        },
        [&](int c, T value) { return gain[c] * value; }, [&](int k, int p, T sum) { slopes[k * TILE + p] = sum; });
    block.each([&](int thread) {
      for (int i = thread; i < K * TILE; i += THREADS) {
        const int p = i % TILE, k = i / TILE;
        const int64_t at = (b * K + k) * n + tile.first + p;
        const T weight = p < count ? weights[at] : T(0), thin = factor && p < count ? factor[at] : T(1);
        thinned[i] = weight * thin;
        if (grad_factor && p < count) grad_factor[at] = slopes[i] * weight;
      }
    });
    block.each([&](int thread) {
      if (thread >= TILE) return;
      T sum = products.other(thread);
      for (int k = 0; k < K; ++k) sum += thinned[k * TILE + thread] * slopes[k * TILE + thread];
      along[thread] = normalise ? sum * roots[thread] * roots[thread] / C : T(0);
    });
    block.each([&](int thread) {
      const int components = K / heads;
      for (int i = thread; i < TILE * heads; i += THREADS) {
        const int p = i % TILE, head = i / TILE * components;
        if (p >= count) {
          for (int k = 0; k < components; ++k) slopes[(head + k) * TILE + p] = 0;
          continue;
        }
        T mean = 0;
        for (int k = head; k < head + components; ++k) {
          const int64_t at = (b * K + k) * n + tile.first + p;
          T slope = slopes[k * TILE + p];
          if (factor) slope *= factor[at];
          if (grad_weights) slope += grad_weights[at];
          slopes[k * TILE + p] = slope;
          mean += weights[at] * slope;
        }
        for (int k = head; k < head + components; ++k) {
          const int64_t at = (b * K + k) * n + tile.first + p;
          grad_places[at] = slopes[k * TILE + p] = weights[at] * (slopes[k * TILE + p] - mean);
        }
      }
    });
    block.each([&](int thread) {
      over_tile<N>(lanes, thread, C, count, [&](int p, int c) {
        T sums[PIXELS][N];
        for (int i = 0; i < PIXELS; ++i)
          for (int w = 0; w < N; ++w) sums[i][w] = gain[c + w];
        expand<N>(thinned, values + b * K * C, K, C, p, c, sums);
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
          if (p + i >= count) continue;
          const int64_t at = start + int64_t(p + i) * C + c;
          const Pack<S, N> above = fetch<N>(grad + at), from = fetch<N>(x + at);
          for (int w = 0; w < N; ++w)
            sums[i][w] = widen(above.values[w]) * sums[i][w] * roots[p + i] - along[p + i] * widen(from.values[w]);
        }
        expand<N>(slopes, keys + b * K * C, K, C, p, c, sums);
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
          if (p + i >= count) continue;
          Pack<S, N> to;
          for (int w = 0; w < N; ++w) to.values[w] = narrow<S>(sums[i][w]);
          store(grad_x + start + int64_t(p + i) * C + c, to);
        }
      });
    });
  }
};

template <typename S>
struct Scores {
  using T = Computed<S>;
  const S* x;
  const T *keys, *places;
  T* scores;
  int64_t n;
  int C, K;

  int64_t shared() const { return sizeof(T) * Products<T>::SIZE; }

  GANFORMER_DEVICE void operator()(const Block& block) const {
    const Tile tile = tile_of(block.index, n);
    const S* const pixels = x + (tile.b * n + tile.first) * C;
    Products<T>(block.shared<T>())
        .sum(
            block, keys + tile.b * K * C, K, C, tile.count,
            [&](int p, int c) { return widen(pixels[int64_t(p) * C + c]); }, [](int, T) { return T(0); },
            [&](int k, int p, T sum) {
              const int64_t at = (tile.b * K + k) * n + tile.first + p;
              if (p < tile.count) scores[at] = sum + places[at];
            });
  }
};

// Of each part of a row of scores [B, K, n]: the highest one, and the sum of exponentials relative to it [B, parts, K].
template <typename T>
struct Tops {
  static_assert(PART == THREADS);
  const T* scores;
  T *most, *total;
  int64_t n, parts;
  int K;

  int64_t shared() const { return sizeof(T) * THREADS; }

  GANFORMER_DEVICE void operator()(const Block& block) const {
    const int64_t part = block.index / K % parts, b = block.index / K / parts, k = block.index % K, first = part * PART;
    const int count = static_cast<int>(n - first < PART ? n - first : PART);
    const T* const row = scores + (b * K + k) * n + first;
    T* const space = block.shared<T>();
    block.each([&](int thread) { space[thread] = row[thread < count ? thread : 0]; });
    for (int half = THREADS / 2; half > 0; half /= 2)
      block.each([&](int thread) {
        if (thread < half && space[thread + half] > space[thread]) space[thread] = space[thread + half];
      });
    T highest = 0;
    block.each([&](int) { highest = space[0]; });
    block.each([&](int thread) { space[thread] = thread < count ? std::exp(row[thread] - highest) : T(0); });
    for (int half = THREADS / 2; half > 0; half /= 2)
      block.each([&](int thread) {
        if (thread < half) space[thread] += space[thread + half];
      });
    block.each([&](int thread) {
      if (thread != 0) return;
      most[(b * parts + part) * K + k] = highest;
      total[(b * parts + part) * K + k] = space[0];
    });
  }
};

template <typename S, int N>
struct GatherBackward {
  using T = Computed<S>;
  const T *grad_sums, *along, *grad_weights;
  const S* x;
  const T *keys, *weights;
  S* grad_x;
  T* grad_places;
  int64_t n;
  int C, K;
  Lanes lanes;

  int64_t shared() const { return sizeof(T) * (Products<T>::SIZE + 2 * int64_t(K) * TILE); }

  GANFORMER_DEVICE void operator()(const Block& block) const {
    const Tile tile = tile_of(block.index, n);
    const int64_t b = tile.b, start = (b * n + tile.first) * C;
    const Products<T> products(block.shared<T>());
    T* const slopes = block.shared<T>() + Products<T>::SIZE;  // gradients of the scores [K, TILE]
    T* const rows = slopes + K * TILE;                        // weights [K, TILE]
    products.sum(
        block, grad_sums + b * K * C, K, C, tile.count,
        [&](int p, int c) { return widen(x[start + int64_t(p) * C + c]); }, [](int, T) { return T(0); },
        [&](int k, int p, T sum) {
          T weight = 0, slope = 0;
          if (p < tile.count) {
            const int64_t at = (b * K + k) * n + tile.first + p;
            weight = weights[at];
            slope = weight * (sum + (grad_weights ? grad_weights[at] : T(0)) - along[b * K + k]);
            grad_places[at] = slope;
          }
          rows[k * TILE + p] = weight;
          slopes[k * TILE + p] = slope;
        });
    block.each([&](int thread) {
      over_tile<N>(lanes, thread, C, tile.count, [&](int p, int c) {
        T sums[PIXELS][N] = {};
        expand<N>(rows, grad_sums + b * K * C, K, C, p, c, sums);
        expand<N>(slopes, keys + b * K * C, K, C, p, c, sums);
#pragma unroll
        for (int i = 0; i < PIXELS; ++i) {
          if (p + i >= tile.count) continue;
          Pack<S, N> to;
          for (int w = 0; w < N; ++w) to.values[w] = narrow<S>(sums[i][w]);
          store(grad_x + start + int64_t(p + i) * C + c, to);
        }
      });
    });
  }
};

// sums [B, parts, K, C] of weights[k, p] * x[p, c] over the pixels of each part. Unless null, `most` [B, parts, K] makes
// weights [B, K, n] exponentials of scores relative to it, they are multiplied with `factor` [B, K, n] and `scale` [B, n],
// x with `grad`, and `extra` [B, parts, C] has the sum of scale[p] * x[p, c] * grad[p, c].
template <typename S>
struct Sum {
  using T = Computed<S>;
  const S *x, *grad;
  const T *weights, *most, *factor, *scale;
  T *sums, *extra;
  int64_t n, parts;
  int C, K;
  Lanes lanes;
  static constexpr int ALL = ROWS + 1;

  struct Own {
    T rows[ALL];
  };

  int64_t rows() const { return divided(K, ROWS); }
  int64_t blocks(int64_t images) const { return images * parts * lanes.tiles * rows(); }
  int64_t shared() const { return sizeof(T) * (STAGE * (STAGE_STRIDE + 1) + THREADS * ALL); }

  GANFORMER_DEVICE void operator()(const Block& block) const {
    int64_t rest = block.index;
    const int groups = static_cast<int>(divided(K, ROWS)), row = static_cast<int>(rest % groups) * ROWS;
    rest /= groups;
    const int tile = static_cast<int>(rest % lanes.tiles);
    rest /= lanes.tiles;
    const int64_t part = rest % parts, b = rest / parts, first = part * PART;
    const int count = static_cast<int>(n - first < PART ? n - first : PART);
    T* const stage = block.shared<T>();                  // weights [STAGE, STAGE_STRIDE]
    T* const others = stage + STAGE * STAGE_STRIDE;      // scale [STAGE]
    T* const results = others + STAGE;                   // [slots, ALL, lanes]
    auto own = block.own<Own>();
    for (int begin = 0; begin < count; begin += STAGE) {
      block.each([&](int thread) {
        for (int i = thread; i < STAGE * ROWS; i += THREADS) {
          const int p = i % STAGE, k = i / STAGE;
          T weight = 0;
          if (begin + p < count && row + k < K) {
            const int64_t at = (b * K + row + k) * n + first + begin + p;
            weight = weights[at];
            if (most) weight = std::exp(weight - most[(b * parts + part) * K + row + k]);
            if (factor) weight *= factor[at];
            if (scale) weight *= scale[b * n + first + begin + p];
          }
          stage[p * STAGE_STRIDE + k] = weight;
        }
        if (thread < STAGE)
          others[thread] = scale && begin + thread < count ? scale[b * n + first + begin + thread] : T(0);
      });
      block.each([&](int thread) {
        const int c = tile * lanes.count + lanes.lane(thread);
        if (c >= C) return;
        Own found = own[thread];
        for (int p = lanes.slot(thread); p < STAGE && begin + p < count; p += lanes.slots()) {
          const int64_t at = (b * n + first + begin + p) * C + c;
          const T value = grad ? widen(x[at]) * widen(grad[at]) : widen(x[at]);
#pragma unroll
          for (int k = 0; k < ROWS; k += WIDTH) {
            const Pack<T, WIDTH> weight = load<WIDTH>(stage + p * STAGE_STRIDE + k);
            for (int w = 0; w < WIDTH; ++w) found.rows[k + w] += weight.values[w] * value;
          }
          found.rows[ROWS] += others[p] * value;
        }
        own[thread] = found;
      });
    }
    block.each([&](int thread) {
#pragma unroll
      for (int k = 0; k < ALL; ++k)
        results[(lanes.slot(thread) * ALL + k) * lanes.count + lanes.lane(thread)] = own[thread].rows[k];
    });
    block.each([&](int thread) {
      for (int i = thread; i < ALL * lanes.count; i += THREADS) {
        const int k = i / lanes.count, c = tile * lanes.count + i % lanes.count;
        if (c >= C) continue;
        T sum = 0;
        for (int slot = 0; slot < lanes.slots(); ++slot) sum += results[slot * ALL * lanes.count + i];
        if (k < ROWS && row + k < K) sums[((b * parts + part) * K + row + k) * C + c] = sum;
        if (k == ROWS && extra && row == 0) extra[(b * parts + part) * C + c] = sum;
      }
    });
  }
};

constexpr int CHANNELS = 128;  // at most, of a block that sums over pixels

// Sizes of what an operation is given.
struct Sizes {
  int64_t B, n, C, K, parts, tiles;

  Sizes(const Tensor& x, const Tensor& keys)
      : B(x.size(0)),
        n(x.size(1)),
        C(x.size(2)),
        K(keys.size(1)),
        parts(divided(n, PART)),
        tiles(B * divided(n, TILE)) {}
};

// Launches the sum over pixels; the arguments are named as in Sum.
template <typename S>
void sum_pixels(const Tensor& x, const S* grad, const Computed<S>* weights, const Computed<S>* most,
                const Computed<S>* factor, const Computed<S>* scale, Computed<S>* sums, Computed<S>* extra,
                const Sizes& sizes) {
  const Sum<S> kernel = {data<S>(x), grad,    weights,     most,           factor,       scale,
                         sums,       extra,   sizes.n,     sizes.parts,    int(sizes.C), int(sizes.K),
                         Lanes::of(sizes.C, CHANNELS)};
  launch(x, kernel.blocks(sizes.B), kernel.shared(), kernel);
}

std::tuple<Tensor, Tensor, Tensor> attend(Tensor x, Tensor keys, Tensor places, std::optional<Tensor> factor,
                                          Tensor values, Tensor gain, int64_t heads, bool normalise) {
  const Sizes sizes(x, keys);
  Tensor y = torch::stable::empty_like(x);
  Tensor weights = torch::stable::empty_like(places);
  Tensor scale = torch::stable::new_empty(keys, {sizes.B, sizes.n});
  typed(x, [&](auto value) {
    using S = decltype(value);
    using T = Computed<S>;
    in_packs<T, WIDTH>(sizes.C, {data<S>(x), data<T>(values), data<S>(y)}, [&](auto width) {
      const Attend<S, width> kernel = {data<S>(x),       data<T>(keys), data<T>(places),  data<T>(factor),
                                       data<T>(values),  data<T>(gain), data<S>(y),       data<T>(weights),
                                       data<T>(scale),   sizes.n,       int(sizes.C),     int(sizes.K),
                                       int(heads),       normalise,     Lanes::of(divided(sizes.C, width))};
      launch(x, sizes.tiles, kernel.shared(), kernel);
    });
  });
  return {y, weights, scale};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> attend_backward(
    Tensor grad, std::optional<Tensor> grad_weights, Tensor x, Tensor keys, std::optional<Tensor> factor, Tensor values,
    Tensor gain, Tensor weights, Tensor scale, int64_t heads, bool normalise, bool of_factor) {
  const Sizes sizes(x, keys);
  Tensor grad_x = torch::stable::empty_like(x);
  Tensor grad_keys = torch::stable::new_empty(keys, {sizes.B, sizes.parts, sizes.K, sizes.C});
  Tensor grad_values = torch::stable::new_empty(keys, {sizes.B, sizes.parts, sizes.K, sizes.C});
  Tensor grad_gain = torch::stable::new_empty(keys, {sizes.B, sizes.parts, sizes.C});
  Tensor grad_places = torch::stable::empty_like(weights);
  Tensor grad_factor = of_factor ? torch::stable::empty_like(weights) : torch::stable::new_empty(keys, {0});
  typed(x, [&](auto value) {
    using S = decltype(value);
    using T = Computed<S>;
    const std::initializer_list<const void*> packed = {data<S>(x), data<S>(grad), data<T>(values), data<T>(keys),
                                                       data<S>(grad_x)};
    in_packs<T, WIDTH>(sizes.C, packed, [&](auto width) {
      const AttendBackward<S, width> kernel = {data<S>(grad),
                                               data<T>(grad_weights),
                                               data<S>(x),
                                               data<T>(keys),
                                               data<T>(factor),
                                               data<T>(values),
                                               data<T>(gain),
                                               data<T>(weights),
                                               data<T>(scale),
                                               data<S>(grad_x),
                                               data<T>(grad_places),
                                               of_factor ? data<T>(grad_factor) : nullptr,
                                               sizes.n,
                                               int(sizes.C),
                                               int(sizes.K),
                                               int(heads),
                                               normalise,
                                               Lanes::of(divided(sizes.C, width))};
      launch(x, sizes.tiles, kernel.shared(), kernel);
    });
    sum_pixels<S>(x, data<S>(grad), data<T>(weights), nullptr, data<T>(factor), data<T>(scale), data<T>(grad_values),
                  data<T>(grad_gain), sizes);
    sum_pixels<S>(x, nullptr, data<T>(grad_places), nullptr, nullptr, nullptr, data<T>(grad_keys), nullptr, sizes);
  });
  return {grad_x, grad_keys, grad_places, grad_factor, grad_values, grad_gain};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> gather(Tensor x, Tensor keys, Tensor places) {
  const Sizes sizes(x, keys);
  Tensor sums = torch::stable::new_empty(keys, {sizes.B, sizes.parts, sizes.K, sizes.C});
  Tensor scores = torch::stable::empty_like(places);
  Tensor most = torch::stable::new_empty(keys, {sizes.B, sizes.parts, sizes.K});
  Tensor total = torch::stable::new_empty(keys, {sizes.B, sizes.parts, sizes.K});
  typed(x, [&](auto value) {
    using S = decltype(value);
    using T = Computed<S>;
    const Scores<S> products = {data<S>(x), data<T>(keys), data<T>(places), data<T>(scores),
                                sizes.n,    int(sizes.C),  int(sizes.K)};
    launch(x, sizes.tiles, products.shared(), products);
    const Tops<T> tops = {data<T>(scores), data<T>(most), data<T>(total), sizes.n, sizes.parts, int(sizes.K)};
    launch(x, sizes.B * sizes.parts * sizes.K, tops.shared(), tops);
    sum_pixels<S>(x, nullptr, data<T>(scores), data<T>(most), nullptr, nullptr, data<T>(sums), nullptr, sizes);
  });
  return {sums, scores, most, total};
}

std::tuple<Tensor, Tensor, Tensor> gather_backward(Tensor grad_sums, Tensor along, std::optional<Tensor> grad_weights,
                                                   Tensor x, Tensor keys, Tensor weights) {
  const Sizes sizes(x, keys);
  Tensor grad_x = torch::stable::empty_like(x);
  Tensor grad_keys = torch::stable::new_empty(keys, {sizes.B, sizes.parts, sizes.K, sizes.C});
  Tensor grad_places = torch::stable::empty_like(weights);
  typed(x, [&](auto value) {
    using S = decltype(value);
    using T = Computed<S>;
    in_packs<T, WIDTH>(sizes.C, {data<S>(x), data<T>(grad_sums), data<T>(keys), data<S>(grad_x)},
                       [&](auto width) {
                      const GatherBackward<S, width> kernel = {data<T>(grad_sums),
                                                               data<T>(along),
                                                               data<T>(grad_weights),
                                                               data<S>(x),
                                                               data<T>(keys),
                                                               data<T>(weights),
                                                               data<S>(grad_x),
                                                               data<T>(grad_places),
                                                               sizes.n,
                                                               int(sizes.C),
                                                               int(sizes.K),
                                                               Lanes::of(divided(sizes.C, width))};
                      launch(x, sizes.tiles, kernel.shared(), kernel);
                    });
    sum_pixels<S>(x, nullptr, data<T>(grad_places), nullptr, nullptr, nullptr, data<T>(grad_keys), nullptr, sizes);
  });
  return {grad_x, grad_keys, grad_places};
}

}  // namespace
}  // namespace ganformer

STABLE_TORCH_LIBRARY_IMPL(ganformer, GANFORMER_KEY, library) {
  library.impl("attend", TORCH_BOX(&ganformer::attend));
  library.impl("attend_backward", TORCH_BOX(&ganformer::attend_backward));
  library.impl("gather", TORCH_BOX(&ganformer::gather));
  library.impl("gather_backward", TORCH_BOX(&ganformer::gather_backward));
}
