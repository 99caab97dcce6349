"""fork, vfork by subprocess, pipes, and a child that fails to execute."""
import os
import subprocess

pid = os.fork()
if pid == 0:
    os._exit(3)
print("forked:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print("spawned:", subprocess.run(["/bin/echo", "hello"], stdout=subprocess.PIPE).stdout)
try:
    subprocess.run(["/nonexistent"])
except FileNotFoundError as error:
    print("not found:", error.errno)
