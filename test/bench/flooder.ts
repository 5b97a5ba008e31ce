/** The flooding agent of `bench flood`: sound frames as fast as the socket takes them, and again when it is thrown out. Input: the URL. */
import { WebSocket } from 'ws';
import { createCodec } from '../../shared/net/codec.ts';
import { AGENT_PATH } from '../../shared/net/websocket.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { eventFrame, helloFrame, inventoryFrame, vmUuid } from '../support/wire-world.ts';

const BUFFERED_MAX = 4 * 1024 * 1024;
const VMS = Array.from({ length: 200 }, (_, i) => vmUuid(8_000_000 + i));
const url = `${process.argv[2]!.replace(/^http/, 'ws')}${AGENT_PATH}`;

function flood(): void {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const codec = createCodec({ maxBytes: FRAME_BYTES_MAX });
  let ended = false;
  const pour = (): void => {
    if (ended) return;
    for (let i = 0; i < 200 && socket.bufferedAmount < BUFFERED_MAX; i++) {
      const frame = i % 10 === 0 ? inventoryFrame(VMS) : i % 2 === 0 ? eventFrame('flood', VMS[0]!) : ({ type: 'ping', id: i } as const);
      socket.send(new Uint8Array(codec.encode(frame)));
    }
    setTimeout(pour, 1);
  };
  socket.on('open', () => {
    socket.send(new Uint8Array(codec.encode(helloFrame({ host: 'flood', bootId: `flood-${Date.now()}` }))));
    pour();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    ended = true;
    setTimeout(flood, 50);
  });
}

flood();
