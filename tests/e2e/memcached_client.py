# memcached_client.py SOCKET [shutdown]: stores and reads values over four connections at a time.
import socket
import sys


def connect():
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(sys.argv[1])
    return connection


def ask(connection, text, end):
    connection.sendall(text.encode())
    answer = b""
    while not answer.endswith(end):
        part = connection.recv(4096)
        if not part:
            sys.exit("the server closed the connection")
        answer += part
    return answer


if sys.argv[2:] == ["shutdown"]:
    connect().sendall(b"shutdown\r\n")
    sys.exit(0)
connections = [connect() for _ in range(4)]
for n in range(200):
    connection = connections[n % 4]
    assert ask(connection, f"set k{n} 0 0 5\r\nv{n:04d}\r\n", b"\r\n") == b"STORED\r\n"
for n in range(200):
    connection = connections[(n + 1) % 4]
    assert f"v{n:04d}".encode() in ask(connection, f"get k{n}\r\n", b"END\r\n")
