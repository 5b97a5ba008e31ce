/**
 * Fuzzes the door for agents: whole connections of made and mutated frames into the real ingest, with and without agent keys,
 * beside an honest peer that must go on being acknowledged. Input: a seed and how many frames; output: counts, or an error
 * that names the seed. Frames are made by property (every kind, sound in itself) and mutated in their bytes.
 */
import fc from 'fast-check';
import { AgentRegistry } from '../../aggregator/identity/agent-registry.ts';
import { SecurityLog } from '../../aggregator/identity/security-log.ts';
import { createIngest, type Ingest } from '../../aggregator/ingest/ingest.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/log.ts';
import { createBlockEncoder } from '../../shared/net/blocks.ts';
import { ChannelBase } from '../../shared/net/channel-base.ts';
import { type Codec, createCodec } from '../../shared/net/codec.ts';
import type { Transport } from '../../shared/net/transport.ts';
import { createPrng, type Prng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame } from '../../shared/protocol/frames.ts';
import { frame } from '../support/frame-arbitrary.ts';
import { eventFrame, helloFrame, inventoryFrame, resultFrame, rowsOf, vmUuid } from '../support/wire-world.ts';

export interface FrameFuzzFigures {
  frames: number;
  connections: number;
  /** Ended by an error of the catalogue. */
  refused: number;
  byCode: Record<string, number>;
  honestAcknowledged: number;
}

/** An end of a connection whose other end is bytes at hand. */
class HandTransport extends ChannelBase implements Transport {
  readonly peer = 'fuzz';
  readonly lossy = false;
  readonly bufferedBytes = 0;
  readonly binding = '';
  readonly local: boolean;
  readonly #onSend: (message: Uint8Array) => void;

  constructor(local: boolean, onSend: (message: Uint8Array) => void) {
    super();
    this.local = local;
    this.#onSend = onSend;
  }

  send(message: Uint8Array): boolean {
    this.#onSend(message);
    return true;
  }

  close(): void {
    this.ended();
  }
}

const SCRIPTS = 64;
/** New ones are made after so many frames. */
const SCRIPTS_FRAMES = 100_000;
const YIELD_FRAMES = 500;
/** Tokens of msgpack that promise much or open something. */
const TOKENS = [
  0x90, 0x91, 0xdc, 0xdd, 0x81, 0xde, 0xdf, 0xd4, 0x72, 0x40, 0x5f, 0xa1, 0xd9, 0xdb, 0xc4, 0xc6, 0xc7, 0xc1, 0xcb, 0xcf, 0xff, 0x00,
];

/** A conversation as bytes: the codec names shapes once, so its order is part of it. */
function script(made: readonly Frame[], index: number): Uint8Array[] {
  const codec = createCodec({ maxBytes: FRAME_BYTES_MAX });
  const encoder = createBlockEncoder(64);
  const vms = [vmUuid(index), vmUuid(index + 1)];
  const host = `fuzz-${index}`;
  const telemetry = (seq: number): Frame => ({
    ...{ type: 'telemetry', lane: 'live', seq, wallMs: 1, monotonicMs: 1 },
    blocks: vms.map((vm) => encoder.encode(rowsOf(vm, [seq * 1000, seq * 1000 + 1]))),
  });
  const proof: Frame = { type: 'proof', publicKey: 'A'.repeat(43), signature: 'A'.repeat(86), token: null, next: null };
  const opening = [helloFrame({ host, bootId: `boot-${index}` }), ...(index % 4 === 0 ? [proof] : []), inventoryFrame(vms)];
  const honest: Frame[] = [
    telemetry(1),
    eventFrame('x', vms[0]!),
    telemetry(2),
    resultFrame(vms[1]!),
    telemetry(3),
    { type: 'ping', id: 1 },
  ];
  return [...opening, ...honest, ...made].map((each) => new Uint8Array(codec.encode(each)));
}

function mutate(bytes: Uint8Array, prng: Prng): Uint8Array {
  const copy = bytes.slice();
  switch (prng.below(6)) {
    case 0:
      for (let i = prng.below(4); i >= 0; i--) copy[prng.below(copy.length)] = prng.below(256);
      return copy;
    case 1:
      return copy.subarray(0, prng.below(copy.length));
    case 2:
      for (let i = prng.below(3); i >= 0; i--) copy[prng.below(copy.length)] = TOKENS[prng.below(TOKENS.length)]!;
      return copy;
    case 3:
      copy[prng.below(copy.length)]! ^= 1 << prng.below(8);
      return copy;
    case 4: {
      const [from, to] = [prng.below(copy.length), prng.below(copy.length)];
      copy.copyWithin(to, from, Math.min(copy.length, from + prng.below(64)));
      return copy;
    }
    default:
      return Uint8Array.from({ length: 1 + prng.below(120) }, () => (prng.below(2) ? prng.below(256) : TOKENS[prng.below(TOKENS.length)]!));
  }
}

interface Door {
  ingest: Ingest;
  codes: Record<string, number>;
}

async function door(withKeys: boolean): Promise<Door> {
  const ledger = createMemoryLedgerStore();
  const security = new SecurityLog(
    ledger,
    systemClock,
    createLogger(() => undefined, systemClock, 'error'),
  );
  const identities = await AgentRegistry.load({
    ...{ ledger, clock: systemClock, security, always: true, keyMsMax: 1e12 },
    evict: () => undefined,
  });
  const codes: Record<string, number> = {};
  const ingest = createIngest({
    clock: systemClock,
    store: { append: async () => undefined },
    sink: {},
    epoch: 1,
    ownsVm: () => null,
    limits: { peersMax: 500, collectMs: 1 },
    ...(withKeys ? { identities } : {}),
    onProblem: (_peer, error, agent) => {
      codes[error.code] = (codes[error.code] ?? 0) + 1;
      security.refuseAgent('fuzz', error, agent);
    },
  });
  return { ingest, codes };
}

/** Sends a batch at a time and counts what comes back. */
class HonestPeer {
  acknowledged = 0;
  #seq = 0;
  readonly #codec: Codec = createCodec({ maxBytes: FRAME_BYTES_MAX });
  readonly #encoder = createBlockEncoder(64);
  readonly #transport: HandTransport;

  constructor(ingest: Ingest) {
    const reader = createCodec({ maxBytes: FRAME_BYTES_MAX });
    this.#transport = new HandTransport(true, (message) => {
      const heard = reader.decode(new Uint8Array(message));
      if (heard.type === 'ack') this.acknowledged += heard.toSeq - heard.fromSeq + 1;
      if (heard.type === 'ping') this.#say({ type: 'pong', id: heard.id });
    });
    ingest.accept(this.#transport);
    this.#say(helloFrame({ host: 'honest' }));
    this.#say(inventoryFrame([vmUuid(9_000_000)]));
  }

  send(): void {
    const seq = ++this.#seq;
    const blocks = [this.#encoder.encode(rowsOf(vmUuid(9_000_000), [seq * 1000]))];
    this.#say({ type: 'telemetry', lane: 'live', seq, wallMs: 1, monotonicMs: 1, blocks });
  }

  get outstanding(): number {
    return this.#seq - this.acknowledged;
  }

  #say(said: Frame): void {
    this.#transport.received(new Uint8Array(this.#codec.encode(said)));
  }
}

export async function fuzzFrames(seed: number, frames: number, tell: (done: number) => void = () => undefined): Promise<FrameFuzzFigures> {
  const prng = createPrng(seed, 'frames');
  const open = await door(false);
  const locked = await door(true);
  const honest = new HonestPeer(open.ingest);
  let scripts: Uint8Array[][] = [];
  let [sent, connections, nextScripts, nextYield] = [0, 0, 0, 0];
  while (sent < frames) {
    if (sent >= nextScripts) {
      const made = fc.sample(frame, { numRuns: SCRIPTS * 8, seed: seed + sent });
      scripts = Array.from({ length: SCRIPTS }, (_, i) => script(made.slice(8 * i, 8 * i + 8), i));
      nextScripts += SCRIPTS_FRAMES;
      tell(sent);
    }
    const { ingest } = prng.below(8) === 0 ? locked : open;
    const transport = new HandTransport(prng.below(16) !== 0, () => undefined);
    ingest.accept(transport);
    connections++;
    for (const bytes of scripts[prng.below(SCRIPTS)]!) {
      transport.received(prng.below(6) === 0 ? mutate(bytes, prng) : bytes);
      sent++;
      if (transport.closed) break;
    }
    transport.ended();
    if (sent < nextYield) continue;
    nextYield = sent + YIELD_FRAMES;
    honest.send();
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (let i = 0; honest.outstanding > 0 && i < 500; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  if (honest.outstanding > 0) throw new Error(`${honest.outstanding} honest batches were never acknowledged; SEED=${seed}`);
  await Promise.all([open.ingest.stop(), locked.ingest.stop()]);
  const byCode = { ...open.codes };
  for (const [code, count] of Object.entries(locked.codes)) byCode[code] = (byCode[code] ?? 0) + count;
  if (byCode.INVARIANT_BROKEN) throw new Error(`${byCode.INVARIANT_BROKEN} frames broke an invariant of ours; SEED=${seed}`);
  const refused = Object.values(byCode).reduce((sum, count) => sum + count, 0);
  return { frames: sent, connections, refused, byCode, honestAcknowledged: honest.acknowledged };
}
