"""Where a recording's time and memory go: one run of it under perf, looked at from outside.

The tracee's samples are told apart by their address: in a code arena by the instruction there, which
is one of the guest's or one that the translator adds (machine/translator/transfers.cpp).
"""
import collections, os, re, shutil, subprocess, time

# machine/tracee/layout.h
ARENAS = ((0x70000000, 128 << 20), (0x555545554000, 128 << 20), (0x7FFFD0000000, 128 << 20))
RUNTIME, MISSES, RUNTIME_END = 0x60100000, 0x60108000, 0x60110000
# Offsets in the first page of an arena (machine/runtime/task_state.h)
COUNTERS = ((0x00, 0x08), (0x100, 0x138))

PARTS = ("code", "ticks", "dispatch", "misses", "translate", "calls", "stops", "kernel")
# code      the guest's own instructions
# ticks     counting them, and their checks
# dispatch  indirect transfers: look-ups, landing pads, lent registers
# misses    in the tracee: waiting for a translation, filling counters
# translate in the supervisor: decoding, translating, reading and writing kept translations
# calls     in the tracee: system calls served there
# stops     in the supervisor: all else
# kernel    of both


def in_arena(address):
    return any(start <= address < start + size for start, size in ARENAS)


def part_of(code, address):
    """What the instruction at `address` is for; `code` is what memory has from there on."""
    start = next(start for start, size in ARENAS if start <= address < start + size)
    for length, modrm, immediate in ((7, 2, 0), (8, 2, 1), (10, 1, 4), (6, 1, 0)):
        # With a rip-relative operand; in front of it REX or nothing, and an opcode.
        if len(code) < length or code[modrm] & 0xC7 != 5:
            continue
        displacement = int.from_bytes(code[modrm + 1:modrm + 5], "little", signed=True)
        field = address + modrm + 5 + immediate + displacement - start
        if not 0 <= field < 0x1000:
            continue
        return "ticks" if any(a <= field < b for a, b in COUNTERS) else "dispatch"
    dispatch = (b"\x45\x0f\xb7\xd3",  # movzx r10d,r11w
                b"\x42\xff\x24\xd5",  # jmp [table+r10*8]
                b"\x49\x89\xca", b"\x4c\x8b\xd1",  # mov r10,rcx
                b"\x4c\x89\xd1", b"\x49\x8b\xca",  # mov rcx,r10
                b"\x4a\x8d\x0c\x19",  # lea rcx,[rcx+r11]
                b"\xe3",  # jrcxz
                b"\x48\xb9\xff", b"\x48\xc7\xc1\xff",  # mov rcx,-pc
                b"\x41\x5b")  # pop r11
    return "dispatch" if code.startswith(dispatch) else "code"


class Watched:
    """A recording under way: its supervisor's memory, and its tracees' code."""

    def __init__(self):
        self.supervisor = None
        self.peak = 0  # bytes
        self.code = {}  # by address of an arena

    def look(self, root):
        try:
            self.supervisor = self.supervisor or children(root)[0]
            with open(f"/proc/{self.supervisor}/status") as status:
                peak = re.search(r"VmHWM:\s*(\d+) kB", status.read())
            self.peak = max(self.peak, int(peak[1]) << 10) if peak else self.peak
            for tracee in children(self.supervisor):
                with open(f"/proc/{tracee}/mem", "rb", 0) as memory:
                    for start, size in ARENAS:
                        self.read(memory, start, size)
        except (OSError, IndexError):
            pass

    def read(self, memory, start, size):
        """The arena is filled upwards: what lies behind a megabyte of nothing is not used."""
        step = 1 << 20
        found = self.code.get(start, b"")
        at = max(len(found) - step, 0)
        memory.seek(start + at)
        found = found[:at]
        while len(found) < size:
            part = memory.read(step)
            if not any(part):
                break
            found += part
        if len(found) >= len(self.code.get(start, b"")):
            self.code[start] = found


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def profile(heddle, command, scratch):
    """MB of the supervisor at most, MB of translations, and percent for each of PARTS; None where
    there is no perf, or nothing was sampled."""
    if not shutil.which("perf"):
        return [None] * (2 + len(PARTS))
    os.makedirs(scratch)
    data = f"{scratch}/perf.data"
    child = subprocess.Popen(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", "2999", "-o", data, "--",
         heddle, "record", "-q", "-o", f"{scratch}/trace", "--"] + command,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watched = Watched()
    while child.poll() is None:
        watched.look(child.pid)
        time.sleep(0.02)
    script = subprocess.run(["perf", "script", "-i", data, "-F", "pid,ip,sym"],
                            capture_output=True, text=True)
    shutil.rmtree(scratch)
    parts = collections.Counter()
    for line in script.stdout.splitlines():
        pid, address, symbol = (line.split(None, 2) + [""])[:3]
        parts[sample(watched, int(pid), int(address, 16), symbol)] += 1
    total = sum(parts.values())
    cache = sum(len(code.rstrip(b"\0")) for code in watched.code.values())
    shares = [100 * parts[part] / total if total else None for part in PARTS]
    return [watched.peak / 1e6 or None, cache / 1e6 or None] + shares


TRANSLATING = re.compile(r"translator::|Zydis|Zyan|asmjit|CodeCache|SavedTranslations|XXH")


def sample(watched, pid, address, symbol):
    if address >> 63:
        return "kernel"
    if pid == watched.supervisor:
        return "translate" if TRANSLATING.search(symbol) else "stops"
    if MISSES <= address < RUNTIME_END:
        return "misses"
    if RUNTIME <= address < MISSES:
        return "calls"
    if not in_arena(address):
        return "stops"
    for start, code in watched.code.items():
        if start <= address < start + len(code):
            return part_of(code[address - start:address - start + 16], address)
    return "code"
