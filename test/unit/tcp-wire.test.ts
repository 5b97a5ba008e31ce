/** Goal: the wire that tests cut passes everything while it is whole, nothing and no word of it while it is cut, and all of it after. */

import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { TcpWire } from '../support/tcp-wire.ts';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('whole, cut and mended', async (t) => {
  const server = createServer((socket) => socket.pipe(socket).on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const wire = await TcpWire.to((server.address() as AddressInfo).port);
  const ends: Socket[] = [];
  t.teardown(() => {
    for (const end of ends) end.destroy();
    wire.close();
    server.close();
  });
  const heard = new Map<Socket, string>();
  const open = (): Socket => {
    const socket = connect(wire.port, '127.0.0.1');
    ends.push(socket);
    heard.set(socket, '');
    socket.on('data', (chunk) => heard.set(socket, heard.get(socket) + chunk.toString()));
    return socket;
  };
  const until = async (socket: Socket, text: string): Promise<void> => {
    for (let i = 0; heard.get(socket) !== text && i < 200; i++) await pause(10);
    t.equal(heard.get(socket), text);
  };
  const first = open();
  first.write('a');
  await until(first, 'a');
  wire.cut();
  const late = open();
  let closed = false;
  first.on('close', () => {
    closed = true;
  });
  first.write('b');
  late.write('c');
  await pause(150);
  t.same([heard.get(first), heard.get(late), closed], ['a', '', false]);
  wire.mend();
  await until(first, 'ab');
  await until(late, 'c');
});
