/**
 * The host's side of one guest agent, real but for the VM: its channel, the host agent's relay and uplink, a WebSocket, the
 * aggregator's ingest. Input: the channel's socket; output: how many of the guest's rows have arrived behind ingest.
 */
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { GuestRelay } from '../../agent/loops/guest-relay.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { systemClock } from '../../shared/clock.ts';
import { hostId, type VmId } from '../../shared/ids.ts';
import { VirtioChannel } from '../../shared/net/virtio-channel.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, GUEST_FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { VM_GUEST_FIELDS } from '../../shared/telemetry.ts';
import { helloFrame, inventoryFrame } from '../support/wire-world.ts';
import { startPlainIngest } from './plain-ingest.ts';

export interface GuestHostSide {
  /** Samples of the guest so far; a slow collector's rows are not counted. */
  samples(): number;
  stop(): Promise<void>;
}

const HOST = hostId('host-a');

export async function startGuestHostSide(vm: VmId, channelPath: string): Promise<GuestHostSide> {
  let samples = 0;
  const ingest = await startPlainIngest(HOST, (blocks) => {
    for (const { subject, source, fields, timesMs } of blocks) {
      if (subject.id === vm && source === 'guest' && fields.length === VM_GUEST_FIELDS.length) samples += timesMs.length;
    }
  });
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const uplink: Uplink = createUplink({
    role: 'host',
    connect: webSocketConnect(ingest.url, FRAME_BYTES_MAX),
    clock: systemClock,
    prng: createPrng(1),
    hello: () => helloFrame({ host: HOST }),
    buffer,
    handlers: { onWelcome: () => uplink.send(inventoryFrame([vm])) },
  });
  const relay = new GuestRelay({
    clock: systemClock,
    buffer,
    openChannel: ({ path, name }, onSession) =>
      new VirtioChannel({ path, name, onSession, maxBytes: GUEST_FRAME_BYTES_MAX, clock: systemClock, prng: createPrng(2) }),
    epoch: () => 1,
    onResult: () => undefined,
  });
  uplink.start();
  relay.setChannels([{ vm, name: 'guest', path: channelPath }]);
  return {
    samples: () => samples,
    async stop() {
      relay.stop();
      await uplink.stop();
      await ingest.stop();
    },
  };
}
