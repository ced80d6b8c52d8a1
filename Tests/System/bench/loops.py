"""Clients that connect, stay for a moment and connect again, for as long as standard input is open. Prints what they met, as JSON.

    loops.py PORT CLIENTS"""

import asyncio
import collections
import json
import random
import sys

met = collections.Counter()
"""refused: nobody listened. reset, ended: a connection was taken and then dropped without an answer. unavailable: 503."""
statuses = collections.Counter()


async def connect(port):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        met["refused"] += 1
        return
    except OSError as error:
        met[f"connect: {error}"] += 1
        return
    try:
        writer.write(b"GET /ws/logs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split(b" ", 2)[1].decode()
        statuses[status] += 1
        if status == "101":
            met["connected"] += 1
            try:
                await asyncio.wait_for(reader.read(1000), random.uniform(0.05, 0.4))
            except asyncio.TimeoutError:
                pass
        else:
            met["unavailable"] += 1
            await asyncio.sleep(0.05)
    except asyncio.IncompleteReadError:
        met["ended"] += 1
    except ConnectionError:
        met["reset"] += 1
    finally:
        writer.close()


async def main():
    port, clients = int(sys.argv[1]), int(sys.argv[2])
    over = asyncio.Event()

    async def loop():
        while not over.is_set():
            await connect(port)

    loops = [asyncio.create_task(loop()) for _ in range(clients)]
    print("running", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    over.set()
    await asyncio.gather(*loops)
    print(json.dumps({**met, "statuses": statuses}), flush=True)


asyncio.run(main())
