/**
 * The aggregator's ingest with nothing behind it: agents connect, are answered, and their rows acknowledged. Input: what to
 * do with blocks; output: its address.
 */
import { createIngest } from '../../aggregator/ingest/ingest.ts';
import { serveAgents } from '../../aggregator/ingest/serve-agents.ts';
import { systemClock } from '../../shared/clock.ts';
import type { HostId } from '../../shared/ids.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

export interface PlainIngest {
  url: string;
  stop(): Promise<void>;
}

export async function startPlainIngest(host: HostId, onBlocks: (blocks: readonly TelemetryBlock[]) => void): Promise<PlainIngest> {
  const nothing = (): undefined => undefined;
  const ingest = createIngest({
    clock: systemClock,
    // One peer sends what a fleet would.
    limits: { peerFramesPerSecond: 1e9, peerFramesBurst: 1e9 },
    store: { append: async () => undefined },
    sink: {
      onHello: nothing,
      onConnected: nothing,
      onDisconnected: nothing,
      onInventory: nothing,
      onEvent: nothing,
      onResult: nothing,
      onBlocks: (_host, blocks) => onBlocks(blocks),
    },
    epoch: 1,
    ownsVm: () => host,
  });
  const server = await serveAgents(ingest, { port: 0 });
  return {
    url: server.url,
    async stop() {
      await ingest.stop();
      await server.close();
    },
  };
}
