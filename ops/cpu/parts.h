// Parts of images that threads take.
#pragma once

#include <algorithm>

#include "../common.h"

namespace ganformer {

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
