// What the known ioctl commands write through their third argument. A command that is not known
// taints the trace, unless it failed: its structure may hold pointers to further buffers.
#include <asm/ioctls.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/nsfs.h>
#include <linux/random.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cstdio>

#include "machine/syscalls/commands.h"

namespace heddle {
namespace {

struct Command {
  uint32_t number;
  const char* name;
  uint32_t writes;  // bytes
};

constexpr uint32_t kTermios = 36, kTermios2 = 44, kTermio = 18, kIfreq = 40;

// Sizes are what the kernel writes, which is not always what _IOC_SIZE says: the file flags are
// declared as long and written as int.
constexpr Command kCommands[] = {
    // Terminals: drivers/tty
    {TCGETS, "TCGETS", kTermios},
    {TCSETS, "TCSETS", 0},
    {TCSETSW, "TCSETSW", 0},
    {TCSETSF, "TCSETSF", 0},
    {TCGETA, "TCGETA", kTermio},
    {TCSETA, "TCSETA", 0},
    {TCSETAW, "TCSETAW", 0},
    {TCSETAF, "TCSETAF", 0},
    {0x802c542a, "TCGETS2", kTermios2},
    {0x402c542b, "TCSETS2", 0},
    {0x402c542c, "TCSETSW2", 0},
    {0x402c542d, "TCSETSF2", 0},
    {TCSBRK, "TCSBRK", 0},
    {TCSBRKP, "TCSBRKP", 0},
    {TCXONC, "TCXONC", 0},
    {TCFLSH, "TCFLSH", 0},
    {TIOCSBRK, "TIOCSBRK", 0},
    {TIOCCBRK, "TIOCCBRK", 0},
    {TIOCEXCL, "TIOCEXCL", 0},
    {TIOCNXCL, "TIOCNXCL", 0},
    {TIOCSCTTY, "TIOCSCTTY", 0},
    {TIOCNOTTY, "TIOCNOTTY", 0},
    {TIOCGPGRP, "TIOCGPGRP", 4},
    {TIOCSPGRP, "TIOCSPGRP", 0},
    {TIOCGSID, "TIOCGSID", 4},
    {TIOCOUTQ, "TIOCOUTQ", 4},
    {TIOCSTI, "TIOCSTI", 0},
    {TIOCGWINSZ, "TIOCGWINSZ", 8},
    {TIOCSWINSZ, "TIOCSWINSZ", 0},
    {TIOCMGET, "TIOCMGET", 4},
    {TIOCMBIS, "TIOCMBIS", 0},
    {TIOCMBIC, "TIOCMBIC", 0},
    {TIOCMSET, "TIOCMSET", 0},
    {TIOCGSOFTCAR, "TIOCGSOFTCAR", 4},
    {TIOCSSOFTCAR, "TIOCSSOFTCAR", 0},
    {FIONREAD, "FIONREAD", 4},
    {TIOCCONS, "TIOCCONS", 0},
    {TIOCPKT, "TIOCPKT", 0},
    {FIONBIO, "FIONBIO", 0},
    {TIOCSETD, "TIOCSETD", 0},
    {TIOCGETD, "TIOCGETD", 4},
    {TIOCGPTN, "TIOCGPTN", 4},
    {TIOCSPTLCK, "TIOCSPTLCK", 0},
    {TIOCGDEV, "TIOCGDEV", 4},
    {TIOCSIG, "TIOCSIG", 0},
    {TIOCVHANGUP, "TIOCVHANGUP", 0},
    {TIOCGPKT, "TIOCGPKT", 4},
    {TIOCGPTLCK, "TIOCGPTLCK", 4},
    {TIOCGEXCL, "TIOCGEXCL", 4},
    {TIOCGPTPEER, "TIOCGPTPEER", 0},
    // Any descriptor
    {FIONCLEX, "FIONCLEX", 0},
    {FIOCLEX, "FIOCLEX", 0},
    {FIOASYNC, "FIOASYNC", 0},
    {FIOQSIZE, "FIOQSIZE", 8},
    // Files: fs/ioctl.c
    {FIGETBSZ, "FIGETBSZ", 4},
    {FIBMAP, "FIBMAP", 4},
    {FIFREEZE, "FIFREEZE", 0},
    {FITHAW, "FITHAW", 0},
    {FICLONE, "FICLONE", 0},
    {FICLONERANGE, "FICLONERANGE", 0},
    {FS_IOC_GETFLAGS, "FS_IOC_GETFLAGS", 4},
    {FS_IOC_SETFLAGS, "FS_IOC_SETFLAGS", 0},
    {FS_IOC_GETVERSION, "FS_IOC_GETVERSION", 4},
    {FS_IOC_SETVERSION, "FS_IOC_SETVERSION", 0},
    {FS_IOC_FSGETXATTR, "FS_IOC_FSGETXATTR", 28},
    {FS_IOC_FSSETXATTR, "FS_IOC_FSSETXATTR", 0},
    {FS_IOC_GETFSLABEL, "FS_IOC_GETFSLABEL", 256},
    {FS_IOC_SETFSLABEL, "FS_IOC_SETFSLABEL", 0},
    // Block devices: block/ioctl.c
    {BLKROGET, "BLKROGET", 4},
    {BLKROSET, "BLKROSET", 0},
    {BLKGETSIZE, "BLKGETSIZE", 8},
    {BLKFLSBUF, "BLKFLSBUF", 0},
    {BLKRAGET, "BLKRAGET", 8},
    {BLKSSZGET, "BLKSSZGET", 4},
    {BLKBSZGET, "BLKBSZGET", 4},
    {BLKGETSIZE64, "BLKGETSIZE64", 8},
    {BLKIOMIN, "BLKIOMIN", 4},
    {BLKIOOPT, "BLKIOOPT", 4},
    {BLKALIGNOFF, "BLKALIGNOFF", 4},
    {BLKPBSZGET, "BLKPBSZGET", 4},
    {BLKROTATIONAL, "BLKROTATIONAL", 2},
    // Sockets and interfaces: net/socket.c, net/core/dev_ioctl.c
    {SIOCATMARK, "SIOCATMARK", 4},
    {FIOSETOWN, "FIOSETOWN", 0},
    {SIOCSPGRP, "SIOCSPGRP", 0},
    {FIOGETOWN, "FIOGETOWN", 4},
    {SIOCGPGRP, "SIOCGPGRP", 4},
    {0x8906, "SIOCGSTAMP", 16},
    {0x8907, "SIOCGSTAMPNS", 16},
    {SIOCGIFNAME, "SIOCGIFNAME", kIfreq},
    {SIOCGIFFLAGS, "SIOCGIFFLAGS", kIfreq},
    {SIOCGIFADDR, "SIOCGIFADDR", kIfreq},
    {SIOCGIFDSTADDR, "SIOCGIFDSTADDR", kIfreq},
    {SIOCGIFBRDADDR, "SIOCGIFBRDADDR", kIfreq},
    {SIOCGIFNETMASK, "SIOCGIFNETMASK", kIfreq},
    {SIOCGIFMETRIC, "SIOCGIFMETRIC", kIfreq},
    {SIOCGIFMTU, "SIOCGIFMTU", kIfreq},
    {SIOCGIFHWADDR, "SIOCGIFHWADDR", kIfreq},
    {SIOCGIFINDEX, "SIOCGIFINDEX", kIfreq},
    {SIOCGIFTXQLEN, "SIOCGIFTXQLEN", kIfreq},
    {SIOCGIFMAP, "SIOCGIFMAP", kIfreq},
    {SIOCOUTQNSD, "SIOCOUTQNSD", 4},
    {SIOCGSKNS, "SIOCGSKNS", 0},
    {TUNSETIFF, "TUNSETIFF", kIfreq},
    {TUNGETIFF, "TUNGETIFF", kIfreq},
    {TUNGETFEATURES, "TUNGETFEATURES", 4},
    // Timers: fs/timerfd.c
    {0x40085400, "TFD_IOC_SET_TICKS", 0},
    // Namespaces and chance
    {NS_GET_USERNS, "NS_GET_USERNS", 0},
    {NS_GET_PARENT, "NS_GET_PARENT", 0},
    {NS_GET_NSTYPE, "NS_GET_NSTYPE", 0},
    {NS_GET_OWNER_UID, "NS_GET_OWNER_UID", 4},
    {RNDGETENTCNT, "RNDGETENTCNT", 4},
    // net/vmw_vsock/af_vsock.c
    {0x7b9, "IOCTL_VM_SOCKETS_GET_LOCAL_CID", 4},
};

const Command* known(uint64_t command) {
  for (const auto& entry : kCommands)
    if (entry.number == static_cast<uint32_t>(command)) return &entry;
  return nullptr;
}

// struct ifconf: the buffer at `buffer` holds what `length` says after the call.
void interfaces(const CompletedCall& call, std::vector<MemoryRange>& out) {
  const uint64_t at = call.arguments[2];
  const auto length = call.memory.load<uint32_t>(at);
  const auto buffer = call.memory.load<uint64_t>(at + 8);
  out.push_back({at, 4});
  if (length && buffer && *buffer != 0) out.push_back({*buffer, *length});
}

// struct fiemap: its header, then as many extents as it says were mapped and had room.
void extents(const CompletedCall& call, std::vector<MemoryRange>& out) {
  struct Header {
    uint64_t start, length;
    uint32_t flags, mapped, room, reserved;
  };
  const auto map = call.memory.load<Header>(call.arguments[2]);
  if (!map) return;
  const uint64_t count = map->room == 0 ? 0 : map->mapped;
  out.push_back({call.arguments[2], sizeof(fiemap) + count * sizeof(fiemap_extent)});
}

}  // namespace

void ioctl_effects(const CompletedCall& call, std::vector<MemoryRange>& out) {
  if (call.result < 0) return;
  const auto command = static_cast<uint32_t>(call.arguments[1]);
  if (command == SIOCGIFCONF) return interfaces(call, out);
  if (command == FS_IOC_FIEMAP) return extents(call, out);
  if (const auto* entry = known(command))
    out.push_back({call.arguments[2], entry->writes});
  else if (_IOC_DIR(command) & _IOC_READ)
    out.push_back({call.arguments[2], _IOC_SIZE(command)});
}

std::string ioctl_taint(const CompletedCall& call) {
  const auto command = static_cast<uint32_t>(call.arguments[1]);
  if (call.result < 0 || known(command) || command == SIOCGIFCONF || command == FS_IOC_FIEMAP)
    return {};
  char text[64];
  std::snprintf(text, sizeof text, "ioctl 0x%x is not known: what it wrote may be missing",
                command);
  return text;
}

const char* ioctl_name(uint64_t command) {
  const auto* entry = known(command);
  return entry ? entry->name : nullptr;
}

}  // namespace heddle
