// System calls on state that heddle keeps: signals, threads, processes, the fs base.
#include <sys/syscall.h>

#include "recorder/recorder.h"

namespace heddle {

void Recorder::virtual_call(Task& task, const Syscall& entry, const SyscallArguments& a) {
  auto& memory = task.memory();
  event::Syscall e{entry.number, a, 0, {}, {}, 0, false};
  const Registers before = task.context.registers;
  const auto finish = [&] {
    for (const auto& effect : e.effects)
      if (!memory.write_as_guest(effect.address, effect.bytes)) e.result = -EFAULT;
    if (e.result == -EFAULT) e.effects.clear();
    append(task, e, &before);
    task.context.complete_call(e.result);
  };
  const auto change_signals = [&] {
    e.result =
        *task.signals().call(entry.number, task.id, a, before[Register::rsp], memory, &e.effects);
  };
  switch (entry.number) {
    case SYS_rt_sigaction:
      change_signals();
      if (e.result == 0 && a[1] != 0) give_action(task, static_cast<int>(a[0]));
      finish();
      return;
    case SYS_rt_sigprocmask:
      change_signals();
      finish();
      mirror_mask(task);
      deliver_pending(task);
      return;
    case SYS_sigaltstack:
      change_signals();
      finish();
      return;
    case SYS_rt_sigreturn:
      if (!leave_handler(task.context, task.thread(), memory, task.signals())) {
        e.result = -EFAULT;  // the program does not see it: it gets a signal
        append(task, e, &before);
        task.context.complete_call(0);
        force(task, SIGSEGV);
        return;
      }
      append(task, e, &before);
      mirror_mask(task);
      deliver_pending(task);
      return;
    case SYS_arch_prctl:
      if (a[0] == 0x1002) {  // ARCH_SET_FS
        finish();
        task.context.registers[Register::fs_base] = a[1];
      } else if (a[0] == 0x1003) {  // ARCH_GET_FS
        const uint64_t base = before[Register::fs_base];
        const auto* raw = reinterpret_cast<const uint8_t*>(&base);
        e.effects.push_back({a[1], {raw, raw + sizeof base}});
        finish();
      } else {
        e.result = -EINVAL;
        finish();
      }
      return;
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork:
      clone(task, a);
      return;
    case SYS_execve:
    case SYS_execveat:
      execve(task, entry, a);
      return;
    case SYS_exit:
      exit_task(task);
      return;
    case SYS_exit_group:
      end_process(task, static_cast<int>((a[0] & 0xff) << 8), 0);
      return;
    default:
      throw std::logic_error("a virtualised call without code");
  }
}

}  // namespace heddle
