// One module of the guest and what is known of its code, read when it is first asked for.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/stacks/debug_info.h"
#include "machine/stacks/elf_image.h"
#include "machine/stacks/go_functions.h"

namespace heddle {

class LoadedModule {
 public:
  explicit LoadedModule(std::unique_ptr<ElfImage> image) : image_(std::move(image)) {}

  const ElfImage& image() const { return *image_; }
  const DebugInfo& debug_info() const {
    if (!debug_info_) debug_info_ = std::make_unique<DebugInfo>(*image_);
    return *debug_info_;
  }
  // Null where there is no Go in it.
  const GoFunctions* go() const {
    if (!go_) go_ = GoFunctions::find(*image_);
    return go_->get();
  }

  // The Go function that `pc` is in.
  std::optional<GoFunctions::Function> go_function(uint64_t pc) const {
    return go() ? go()->function(pc) : std::nullopt;
  }

 private:
  std::unique_ptr<ElfImage> image_;
  mutable std::unique_ptr<DebugInfo> debug_info_;
  mutable std::optional<std::unique_ptr<GoFunctions>> go_;
};

}  // namespace heddle
