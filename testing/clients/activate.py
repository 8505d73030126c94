"""Makes a Unix socket at PATH with MODE and GID, as systemd does, and starts PROGRAM with it
(sd_listen_fds(3))."""
import os
import socket
import sys

path, mode, gid, *program = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(path)
os.chown(path, -1, int(gid))
os.chmod(path, int(mode, 8))
listener.listen()
os.dup2(listener.detach(), 3)
# It may have been 3 already, and then it would be closed at exec.
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(program[0], program)
