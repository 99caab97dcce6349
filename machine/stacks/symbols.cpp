#include "machine/stacks/symbols.h"

#include <algorithm>
#include <cstdio>

#include "machine/stacks/loaded_module.h"

namespace heddle {

Symbols::Symbols(const std::vector<Module>& modules) {
  for (const auto& module : modules) {
    auto image = ElfImage::open(module);
    if (!image) continue;
    const bool free = std::none_of(modules_.begin(), modules_.end(), [&](const auto& other) {
      return image->start() < other->image().end() && other->image().start() < image->end();
    });
    if (free) modules_.push_back(std::make_unique<LoadedModule>(std::move(image)));
  }
  std::sort(modules_.begin(), modules_.end(),
            [](const auto& a, const auto& b) { return a->image().start() < b->image().start(); });
}

Symbols::~Symbols() = default;

const LoadedModule* Symbols::module(uint64_t address) const {
  const auto it = std::upper_bound(
      modules_.begin(), modules_.end(), address,
      [](uint64_t value, const auto& module) { return value < module->image().start(); });
  if (it == modules_.begin()) return nullptr;
  const auto& found = *std::prev(it);
  return found->image().segment(address) ? found.get() : nullptr;
}

const LoadedModule* Symbols::go_module() const {
  const auto it = std::find_if(modules_.begin(), modules_.end(),
                               [](const auto& module) { return module->go() != nullptr; });
  return it != modules_.end() ? it->get() : nullptr;
}

const LoadedModule* Symbols::code_module(uint64_t address) const {
  const LoadedModule* found = module(address);
  return found && found->image().segment(address)->executable ? found : nullptr;
}

std::string Symbols::function(uint64_t pc) const {
  const LoadedModule* in = code_module(pc);
  if (!in) return {};
  if (const auto go = in->go_function(pc)) return std::string(go->name);
  return demangled(in->debug_info().symbol(pc));
}

const std::vector<Site>& Symbols::sites(uint64_t pc) const {
  const auto [it, fresh] = sites_.try_emplace(pc);
  if (!fresh) return it->second;
  const LoadedModule* in = code_module(pc);
  const auto go = in ? in->go_function(pc) : std::nullopt;
  if (go)
    it->second = in->go()->sites(*go, pc);
  else if (in)
    it->second = in->debug_info().sites(pc);
  else
    it->second.resize(1);
  for (auto& site : it->second)
    if (in) site.module = in->image().module().file.string();
  return it->second;
}

std::string Symbols::file(uint64_t pc) const {
  const LoadedModule* in = code_module(pc);
  return in && !in->go_function(pc) ? in->debug_info().file(pc) : "";
}

std::string Symbols::site(uint64_t pc) const {
  const Site& innermost = sites(pc).front();
  std::string out = innermost.function;
  if (out.empty()) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(pc));
    out = text;
  }
  if (!innermost.file.empty()) out += " " + innermost.file + ":" + std::to_string(innermost.line);
  return out;
}

std::string Symbols::library(uint64_t pc) const {
  const LoadedModule* in = module(pc);
  return in ? in->image().soname() : "";
}

std::string Symbols::variable(uint64_t address) const {
  const LoadedModule* in = module(address);
  return in ? in->debug_info().variable(address) : "";
}

std::optional<uint64_t> Symbols::address_of(const std::string& name) const {
  for (const auto& module : modules_) {
    if (const auto address = module->debug_info().address_of(name)) return address;
    if (const auto address = module->go() ? module->go()->address_of(name) : std::nullopt)
      return address;
  }
  return std::nullopt;
}

}  // namespace heddle
