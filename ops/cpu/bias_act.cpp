// Scale, noise, bias, activation, gain and clamp of features in one pass forward and one backward. The equations are
// those of the PyTorch definition in ../bias_act.py, whose names are used here.
//
// x [B, C, H, W] in channels_last memory: B images of N pixels, whose C channels lie together.

#include "parts.h"
#include "vectors.h"

namespace ganformer {
namespace {

constexpr int64_t ROWS = 16;  // pixels whose channels are handled piece by piece, so that they stay in the cache

// The activation: multiplied with `positive` above zero, with `negative` elsewhere, and limited to +-`limit` unless 0.
template <typename T>
struct Activation {
  T positive, negative, limit;
};

// WIDE * N channels of `rows` pixels.
template <int WIDE, int N, typename S, typename T = Computed<S>>
void forward_tile(const S* x, const T* scale, const T* noise, const T* bias, Activation<T> act, int64_t rows, int64_t C,
                  S* y) {
  using V = typename Lanes<T, N>::type;
  V times[WIDE], plus[WIDE];
  for (int w = 0; w < WIDE; ++w) {
    times[w] = scale ? load<T, N>(scale + w * N) : all<T, N>(1);
    plus[w] = bias ? load<T, N>(bias + w * N) : all<T, N>(0);
  }
  const V positive = all<T, N>(act.positive), negative = all<T, N>(act.negative), limit = all<T, N>(act.limit);
  for (int64_t n = 0; n < rows; ++n) {
    const T drawn = noise ? noise[n] : T(0);
    for (int w = 0; w < WIDE; ++w) {
      const V sum = take<N>(x + n * C + w * N) * times[w] + (drawn + plus[w]);
      V value = sum * (sum > 0 ? positive : negative);
      if (act.limit > 0) {
        value = value > limit ? limit : value;
        value = value < -limit ? -limit : value;
      }
      give<N>(y + n * C + w * N, value);
    }
  }
}

template <typename S>
void forward_typed(const Tensor& x, const std::optional<Tensor>& scale, const std::optional<Tensor>& noise,
                   const std::optional<Tensor>& bias, double alpha, double gain, double clamp, const Tensor& y) {
  using T = Computed<S>;
  const int64_t B = x.size(0), C = x.size(1), N = x.size(2) * x.size(3);
  const S* const x_at = data<S>(x);
  const T *const scale_at = data<T>(scale), *const noise_at = data<T>(noise), *const bias_at = data<T>(bias);
  S* const y_at = data<S>(y);
  const Activation<T> act = {T(gain), T(gain * alpha), T(clamp)};
  over_parts(B, N, PART, [&](int64_t b, int64_t, int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n += ROWS) {
      const int64_t start = b * N + n, rows = std::min(ROWS, last - n);
      pieces<T>(C, [&](auto lanes, auto wide, int64_t c) {
        forward_tile<decltype(wide)::value, decltype(lanes)::value>(
            x_at + start * C + c, scale_at ? scale_at + b * C + c : nullptr, noise_at ? noise_at + start : nullptr,
            bias_at ? bias_at + c : nullptr, act, rows, C, y_at + start * C + c);
      });
    }
  });
}

// WIDE * N channels of `rows` pixels: the gradient of x, and sums over the pixels added to `to_scale` and `to_bias`, over
// the channels to `to_noise`, each unless null.
template <int WIDE, int N, typename S, typename T = Computed<S>>
void backward_tile(const S* grad, const S* y, const S* x, const T* scale, Activation<T> act, int64_t rows, int64_t C,
                   S* grad_x, T* to_scale, T* to_noise, T* to_bias) {
  using V = typename Lanes<T, N>::type;
  V times[WIDE], of_scale[WIDE], of_bias[WIDE];
  for (int w = 0; w < WIDE; ++w) {
    times[w] = scale ? load<T, N>(scale + w * N) : all<T, N>(1);
    of_scale[w] = of_bias[w] = all<T, N>(0);
  }
  const V positive = all<T, N>(act.positive), negative = all<T, N>(act.negative), limit = all<T, N>(act.limit);
  for (int64_t n = 0; n < rows; ++n) {
    V total = all<T, N>(0);
    for (int w = 0; w < WIDE; ++w) {
      const int64_t at = n * C + w * N;
      const V result = take<N>(y + at);
      V slope = result > 0 ? positive : negative;
      if (act.limit > 0) slope = (result < limit) & (result > -limit) ? slope : all<T, N>(0);
      const V inner = take<N>(grad + at) * slope;
      give<N>(grad_x + at, inner * times[w]);
      of_bias[w] += inner;
      if (to_scale) of_scale[w] += inner * take<N>(x + at);
      if (to_noise) total += inner;
    }
    if (to_noise)
      for (int i = 0; i < N; ++i) to_noise[n] += total[i];
  }
  for (int w = 0; w < WIDE; ++w) {
    if (to_bias) store<T, N>(to_bias + w * N, load<T, N>(to_bias + w * N) + of_bias[w]);
    if (to_scale) store<T, N>(to_scale + w * N, load<T, N>(to_scale + w * N) + of_scale[w]);
  }
}

template <typename S>
void backward_typed(const Tensor& grad, const Tensor& y, const std::optional<Tensor>& x,
                    const std::optional<Tensor>& scale, double alpha, double gain, double clamp, const Tensor& grad_x,
                    const std::optional<Tensor>& grad_scale, const std::optional<Tensor>& grad_noise,
                    const std::optional<Tensor>& grad_bias) {
  using T = Computed<S>;
  const int64_t B = grad.size(0), C = grad.size(1), N = grad.size(2) * grad.size(3), parts = parts_of(N);
  const S *const grad_at = data<S>(grad), *const y_at = data<S>(y), *const x_at = data<S>(x);
  const T* const scale_at = data<T>(scale);
  S* const grad_x_at = data<S>(grad_x);
  T *const grad_scale_at = data<T>(grad_scale), *const grad_noise_at = data<T>(grad_noise);
  T* const grad_bias_at = data<T>(grad_bias);
  const Activation<T> act = {T(gain), T(gain * alpha), T(clamp)};
  over_parts(B, N, PART, [&](int64_t b, int64_t part, int64_t first, int64_t last) {
    const int64_t sums = (b * parts + part) * C;
    for (int64_t n = first; n < last; n += ROWS) {
      const int64_t start = b * N + n, rows = std::min(ROWS, last - n);
      pieces<T>(C, [&](auto lanes, auto wide, int64_t c) {
        backward_tile<decltype(wide)::value, decltype(lanes)::value>(
            grad_at + start * C + c, y_at + start * C + c, x_at ? x_at + start * C + c : nullptr,
            scale_at ? scale_at + b * C + c : nullptr, act, rows, C, grad_x_at + start * C + c,
            grad_scale_at ? grad_scale_at + sums + c : nullptr, grad_noise_at ? grad_noise_at + start : nullptr,
            grad_bias_at ? grad_bias_at + sums + c : nullptr);
      });
    }
  });
}

Tensor bias_act(Tensor x, std::optional<Tensor> scale, std::optional<Tensor> noise, std::optional<Tensor> bias,
                double alpha, double gain, double clamp) {
  Tensor y = torch::stable::empty_like(x);
  typed(x, [&](auto value) { forward_typed<decltype(value)>(x, scale, noise, bias, alpha, gain, clamp, y); });
  return y;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> bias_act_backward(Tensor grad, Tensor y, std::optional<Tensor> x,
                                                             std::optional<Tensor> scale, double alpha, double gain,
                                                             double clamp, bool of_noise, bool of_bias) {
  const int64_t B = grad.size(0), C = grad.size(1), N = grad.size(2) * grad.size(3), parts = parts_of(N);
  const auto type = computed_type(grad);
  Tensor grad_x = torch::stable::empty_like(grad);
  std::optional<Tensor> grad_scale, grad_noise, grad_bias;
  if (x) grad_scale = torch::stable::new_zeros(grad, {B, parts, C}, type);
  if (of_noise) grad_noise = torch::stable::new_zeros(grad, {B, 1, grad.size(2), grad.size(3)}, type);
  if (of_bias) grad_bias = torch::stable::new_zeros(grad, {B, parts, C}, type);
  typed(grad, [&](auto value) {
    backward_typed<decltype(value)>(grad, y, x, scale, alpha, gain, clamp, grad_x, grad_scale, grad_noise, grad_bias);
  });
  const Tensor none = torch::stable::new_empty(grad, {0}, type);
  return {grad_x, grad_scale.value_or(none), grad_noise.value_or(none), grad_bias.value_or(none)};
}

}  // namespace
}  // namespace ganformer

STABLE_TORCH_LIBRARY_FRAGMENT(ganformer, library) {
  library.def(
      "bias_act(Tensor x, Tensor? scale, Tensor? noise, Tensor? bias, float alpha, float gain, float clamp) -> Tensor");
  library.def(
      "bias_act_backward(Tensor grad, Tensor y, Tensor? x, Tensor? scale, float alpha, float gain, float clamp, "
      " bool of_noise, bool of_bias) -> (Tensor, Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(ganformer, CPU, library) {
  library.impl("bias_act", TORCH_BOX(&ganformer::bias_act));
  library.impl("bias_act_backward", TORCH_BOX(&ganformer::bias_act_backward));
}
